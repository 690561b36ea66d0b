"""The thoughts that some models write before their answer, and the answer without them."""

import re

# How a thought that stands before the answer begins and ends.
THOUGHTS = [
    (re.compile(opening, re.I | re.S), re.compile(closing, re.I))
    for opening, closing in (
        (
            r"\s*<(?:think|thinking|thought|reasoning|seed:think)>",
            r"</(?:think|thinking|thought|reasoning|seed:think)>",
        ),
        (r"\s*\[THINK\]", r"\[/THINK\]"),
        (r"\s*◁think▷", r"◁/think▷"),
        (
            r"\s*(?:<\|start\|>assistant)?<\|channel\|>\s*(?:analysis|commentary)\b.{0,80}?<\|message\|>",
            r"<\|end\|>|(?=<\|start\|>assistant<\|channel\|>final)",
        ),
    )
]
FINAL_CHANNEL = re.compile(r"^\s*(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>|<\|(?:end|return)\|>\s*$")


def without_thoughts(text: str) -> tuple[str, bool, bool]:
    """The text without the thoughts before it; whether there were some; whether the last of them was closed.

    Where one never closes, all of it is thought. A chat template may have opened the first: then only its end is there.
    """
    thought = False
    while True:
        for opening, closing in THOUGHTS:
            begun = opening.match(text)
            ended = closing.search(text, begun.end() if begun else 0)
            if begun and not ended:
                return "", True, False
            if ended and (begun or not opening.search(text, 0, ended.start())) and not _harmony(begun, ended):
                text, thought = text[ended.end() :], True
                break
        else:
            return FINAL_CHANNEL.sub("", text).strip(), thought, True


def _harmony(begun: re.Match[str] | None, ended: re.Match[str]) -> bool:
    """An end that closes no thought: an answer ends in <|end|> too."""
    return begun is None and not ended.group().startswith(("</", "[/", "◁/"))
