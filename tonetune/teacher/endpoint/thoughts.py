"""The thoughts that some models write before their answer, and the answer without them and what it is wrapped in."""

import re

# How a thought that stands before the answer begins and ends, and whether a chat template may have opened it, so that only
# its end is there. Where it may not, the end is something that an answer may hold as well.
THOUGHTS = [
    (re.compile(rf"\s*{opening}", re.I | re.S), re.compile(closing, re.I), unopened)
    for opening, closing, unopened in (
        (
            r"<(?:think|thinking|thoughts?|reasoning|seed:think)>",
            r"</(?:think|thinking|thoughts?|reasoning|seed:think)>",
            True,
        ),
        (r"\[THINK\]", r"\[/THINK\]", True),
        (r"◁think▷", r"◁/think▷", True),
        (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>", True),
        (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>", True),  # Cohere
        (r"<\|channel>\s*thought\b", r"<channel\|>", True),  # Gemma 4
        (r"<details\b[^>]{0,80}\btype=.?reasoning\b[^>]{0,200}>", r"</details>", False),
        (
            r"(?:<\|start\|>assistant)?<\|channel\|>\s*(?:analysis|commentary)\b.{0,80}?<\|message\|>",
            r"<\|end\|>|(?=<\|start\|>assistant<\|channel\|>final)",
            False,
        ),
    )
]
FINAL_CHANNEL = re.compile(r"^\s*(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>|<\|(?:end|return)\|>\s*$")
# Around the whole answer; of one that is cut off, the end is missing.
WRAPPERS = [
    re.compile(rf"\s*{opening}(.*?)(?:{closing}\s*)?", re.I | re.S)
    for opening, closing in (
        ("<answer>", "</answer>"),  # Hunyuan
        ("<response>", "</response>"),  # Granite
        (r"<\|begin_of_solution\|>", r"<\|end_of_solution\|>"),
        (r"<\|START_RESPONSE\|>", r"<\|END_RESPONSE\|>"),  # Cohere
    )
]
BOX = re.compile(r"<\|(?:begin|end)_of_box\|>")  # GLM's around the answer proper, words before it or not
# Ends of a turn that a server leaves in the text.
ENDS = re.compile(
    r"(?:\s*(?:<\|(?:im_end|eot_id|endoftext|end_of_text|eom_id|END_OF_TURN_TOKEN)\|>|</s>|<eos>|<end_of_turn>|<turn\|>|<｜end▁of▁sentence｜>))+\s*$"
)


def without_thoughts(text: str) -> tuple[str, bool, bool]:
    """The text without the thoughts before it; whether there were some; whether the last of them was closed.

    Where one never closes, all of it is thought. A chat template may have opened the first: then only its end is there.
    """
    thought = False
    while True:
        for opening, closing, unopened in THOUGHTS:
            begun = opening.match(text)
            ended = closing.search(text, begun.end() if begun else 0)
            if begun and not ended:
                return "", True, False
            if ended and (begun or (unopened and not opening.search(text, 0, ended.start()))):
                text, thought = text[ended.end() :], True
                break
        else:
            return _unwrapped(text), thought, True


def _unwrapped(text: str) -> str:
    """An answer without a channel, a box or tags around all of it, and without the ends of a turn."""
    text = ENDS.sub("", FINAL_CHANNEL.sub("", BOX.sub("", text)))
    whole = next((found for wrapper in WRAPPERS if (found := wrapper.fullmatch(text))), None)
    return (whole[1] if whole else text).strip()
