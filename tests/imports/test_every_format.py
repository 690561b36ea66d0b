"""An invented export of each format, of 400 messages, becomes recordings that the data stages replay and the gate lets through."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from scripts.recordings import main
from stages import answers, questions, split
from tests.support import exports
from tests.support.exports import ADA, WHATSAPP, Said, talk
from tonetune.core.params import load_params
from tonetune.core.persona import for_persona
from tonetune.core.rows import BASICS, OWN_WORDS, Answer, Example, read_rows

SAID = talk(1)
SEEDS = range(1, 7)  # so many talks where several paragraphs are one text
COLUMNS = ("question", "answer")
# By name of the file; `--from auto` finds the format.
EXPORTS: dict[str, tuple[str, Callable[[], str]]] = {
    "whatsapp": ("chat.txt", lambda: WHATSAPP["android, month first, 12 h"](SAID)),
    "telegram": ("result.json", lambda: exports.telegram(SAID)),
    "discord": ("general.json", lambda: exports.discord(SAID)),
    "x": ("tweets.js", lambda: exports.x_archive(SAID)),
    "messages": ("data.jsonl", lambda: exports.chat_rows(SAID, "messages")),
    "sharegpt": ("data.jsonl", lambda: exports.chat_rows(SAID, "sharegpt")),
    "alpaca": ("data.jsonl", lambda: exports.chat_rows(SAID, "alpaca")),
    "csv": ("answers.csv", lambda: exports.table(SAID, ",", COLUMNS)),
    "tsv": ("answers.tsv", lambda: exports.table(SAID, "\t", COLUMNS)),
    "markdown": ("diary.md", lambda: exports.markdown([*SAID, *talk(2)])),
    "plain text": ("letters.txt", lambda: "\n\n".join(letters([one for seed in SEEDS for one in talk(seed)]))),
}


def letters(said: Sequence[Said]) -> list[str]:
    """Ada's lines as paragraphs of ten, as somebody writes who does not chat."""
    lines = [one.text for one in said if one.author == ADA]
    return [" ".join(lines[start : start + 10]) for start in range(0, len(lines), 10)]


ONES_OWN = ("x", "messages", "sharegpt", "alpaca", "csv", "tsv", "markdown", "plain text")
"""Those that need no `--me`."""


def imported_and_split(space, file: str, *options: str) -> dict[str, list[Example]]:
    main(["import", file, "--from", "auto", *options, "--persona", "ada", "--yes"])
    space.set(persona="ada")
    for stage in (questions, answers, split):
        stage.main()
    return {side: read_rows(f"data/{side}.jsonl", Example) for side in ("train", "validation", "test")}


def check(sides: dict[str, list[Example]]) -> None:
    """On each side there are texts of one's own, each as it was written."""
    written = {a.text for a in read_rows("data/answers.jsonl", Answer) if a.teacher == OWN_WORDS}
    said = {word for seed in SEEDS for one in talk(seed) if one.author == ADA for word in one.text.split()}
    for examples in sides.values():
        own = [example for example in examples if example.own_words and not example.planted]
        assert len(own) >= 2
        assert {example.answer for example in own} <= written
    words = [word for text in written for word in text.split()]
    assert sum(word in said for word in words) > 0.95 * len(words)  # the rest are placeholders and second lines
    others = [e for examples in sides.values() for e in examples if not e.own_words]
    assert {example.category for example in others} == {BASICS}


@pytest.mark.parametrize("form", EXPORTS)
def test_each_format_goes_through_the_data_stages_and_the_gate(space, form):
    name, write = EXPORTS[form]
    Path(name).write_text(write(), encoding="utf-8")
    check(imported_and_split(space, name, *([] if form in ONES_OWN else ["--me", ADA])))


def test_mails_go_through_the_data_stages_and_the_gate(space):
    exports.mbox(SAID, Path("Sent.mbox"))
    check(imported_and_split(space, "Sent.mbox", "--me", ADA))


def test_own_texts_are_learnt_whole_unless_they_have_a_limit_of_their_own(space):
    Path("result.json").write_text(exports.telegram(SAID), encoding="utf-8")
    sides = imported_and_split(space, "result.json", "--me", ADA)
    several = "yesss finally someone asks \U0001f389 i'd carry that"  # one sentence by its marks, and a second message
    assert any("\n" in example.answer and several in example.answer for example in sides["train"])
    longest = max(len(example.answer) for example in sides["train"] if not example.planted)
    space.set(split__own_texts__max_sentences=1)
    split.main()
    cut = read_rows("data/train.jsonl", Example)
    assert max(len(example.answer) for example in cut if not example.planted and example.own_words) < longest


def test_only_a_persona_with_consent_has_the_lengths_of_own_texts(space):
    space.set(evaluate__own_texts__max_sentences=4, evaluate__max_sentences=1, split__max_sentences=2)
    assert [for_persona(load_params()).evaluate.max_sentences, for_persona(load_params()).split.max_sentences] == [1, 2]
    space.set(persona="ada")
    own = for_persona(load_params())
    assert (own.evaluate.max_sentences, own.split.max_sentences) == (4, None)
    assert own.evaluate.max_new_tokens == load_params().evaluate.max_new_tokens
