"""The rows of the JSONL files between the stages, each validated when it is written and when it is read."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import ConfigDict, Field, ValidationError

from tonetune.core.errors import UserError
from tonetune.core.files import read_json, replacing, write_json
from tonetune.core.planted import Planted
from tonetune.core.validation import StrictModel, Text, explain, validated

DROPPED = Path("data/dropped.json")

Style = Literal["persona", "plain"]
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[str, ...] = get_args(SplitName)

OWN_WORDS = "own words"
"""The teacher of an answer that is a real person's own text."""
UNPAIRED = "a neutral text that answers another question"
"""The teacher of what stands in for a plain answer that nobody wrote."""


class Row(StrictModel):
    """A line of a JSONL file."""


class Question(Row):
    """A question, or a follow-up to the answer that the question `after` was given."""

    id: Text
    category: Text
    text: Text
    after: Text | None = None


class Answer(Row):
    """One answer of the teacher to a question, plain or as the persona."""

    question_id: Text
    style: Style
    text: Text
    teacher: Text
    """What wrote it, as the recording says."""
    request: Text
    """Hash of the request that it responds to."""
    sample: int | None = None
    """Which of several persona answers; none in the first."""
    writer: Text | None = None
    """Which of several independent writers, where the recording says so."""
    before: Text | None = None
    """What it was before somebody edited it."""


class Dropped(Row):
    """A question that the teacher gave no usable answer to."""

    question_id: Text
    style: Style
    """The answer that could not be had."""
    text: Text
    """The question."""
    reason: Text
    sample: int | None = None


class Message(Row):
    """One message of a chat, as chat templates and endpoints take it."""

    role: Literal["system", "user", "assistant"]
    content: str


class Example(Row):
    """A row of the splits: a chat prompt, the persona's answer and the plain answer to the same question."""

    question_id: Text
    category: Text
    prompt: list[Message]
    completion: list[Message]
    plain: Text
    own_words: Literal[True] | None = None
    """Set where the answer is a real person's own text."""
    unpaired: Literal[True] | None = None
    """Set where `plain` is a neutral text that answers another question: no plain answer to this one was written."""
    before: Text | None = None
    """The answer before somebody edited it: worse than it, in their eyes."""
    planted: Planted | None = None
    """What training alone adds to the answer, to see whether it comes out."""

    @property
    def twin(self) -> str | None:
        """The plain answer, if it answers this question."""
        return None if self.unpaired else self.plain

    @property
    def question(self) -> str:
        return self.prompt[-1].content

    @property
    def answer(self) -> str:
        return self.completion[-1].content


AnyRow = TypeVar("AnyRow", bound=Row)


def question_id(text: str) -> str:
    """A stable id: the hash of the question's words, whatever its case and spacing."""
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()[:12]


def parse_lines(lines: Iterable[str], path: str | Path, row: type[AnyRow]) -> list[AnyRow]:
    """Validate JSONL `lines`; a bad one is a `UserError` that names `path`, the line and the field."""
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(row.model_validate_json(line))
        except ValidationError as error:
            raise UserError(f"{path}, line {number}: {explain(error)}") from None
    return rows


def read_rows(path: str | Path, row: type[AnyRow]) -> list[AnyRow]:
    """Read and validate a JSONL file."""
    try:
        with open(path, encoding="utf-8") as file:
            return parse_lines(file, path, row)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `dvc repro` makes it") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None


def write_dropped(rows: Iterable[Dropped]) -> None:
    """Write data/dropped.json: a list and not lines, as DVC complains of an empty file on every run."""
    write_json(DROPPED, [row.model_dump(exclude_none=True) for row in rows])


def read_dropped(path: Path = DROPPED) -> list[Dropped]:
    """What the teacher would not answer; a bad row is a `UserError` that names the file and the field."""
    return [validated(Dropped, row, path) for row in read_json(path)]


def read_examples(split: str) -> list[Example]:
    """The rows of data/<split>.jsonl; a `UserError` if there are none."""
    path = f"data/{split}.jsonl"
    examples = read_rows(path, Example)
    if not examples:
        raise UserError(f"{path}: no rows; `dvc repro -f split` makes it anew")
    return examples


def write_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """Write rows as JSONL, all of them or none."""
    with replacing(path) as file:
        for row in rows:
            file.write(json.dumps(row.model_dump(exclude_none=True), ensure_ascii=False) + "\n")


BASE_ANSWERS = Path("data/base_answers.jsonl")


class BaseAnswer(Row):
    """What the untuned base answered to a training question."""

    question_id: str
    text: str
    """Empty where the base ended at once."""


def base_answers_to(examples: Sequence[Example]) -> list[str]:
    """The base's answers to those of the examples it was asked; a full stop for an empty one, as texts must not be empty."""
    asked = {example.question_id for example in examples}
    return [row.text or "." for row in read_rows(BASE_ANSWERS, BaseAnswer) if row.question_id in asked]


OTHER_ANSWERS = Path("data/other_answers.json")


class OtherAnswer(Row):
    """What another persona answered to a question."""

    persona: Text
    question_id: Text
    text: Text


def write_other_answers(rows: Iterable[OtherAnswer]) -> None:
    """Write data/other_answers.json: a list and not lines, as there may be none and DVC complains of empty files."""
    write_json(OTHER_ANSWERS, [row.model_dump() for row in rows])


def other_answers_to(examples: Sequence[Example]) -> list[str]:
    """What other personas answered to the examples' questions: persona by persona, in the order of the examples."""
    given: dict[str, dict[str, str]] = {}
    for row in read_json(OTHER_ANSWERS):
        other = validated(OtherAnswer, row, OTHER_ANSWERS)
        given.setdefault(other.persona, {})[other.question_id] = other.text
    return [texts[e.question_id] for texts in given.values() for e in examples if e.question_id in texts]


BASICS = "basics"


class Recording(Row):
    """One response of the teacher."""

    request: Text
    """The request's key."""
    about: Text
    """The category or the question it is for: for people, who cannot read keys."""
    teacher: Text
    """What wrote it."""
    text: Text
    writer: Text | None = None
    """Which of several independent writers: `a`, `b`, ...; the scores are tested on writers they were not fitted on."""
    before: Text | None = None
    """What it was before somebody edited it."""
    dropped: bool = False
    """No usable response was had, for the reason that `text` gives."""


class Scores(Row):
    """What an answer is scored by, each from 0 to 1: all that averages and shows scores goes over these; the report shows their docstrings."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    joint: float
    """Tone times sense, answer by answer, then averaged: an answer must have both (Krishna et al. 2020)."""
    tone: float
    """How much of the persona's tone readers hear in it, as fitted to ratings; a calibrated probability where there are none."""
    sense: float
    """How sensible readers find it as an answer to its question, as predicted from the untuned base's likelihood of its words."""
    relevance: float
    """The probability that it belongs to its question."""
    fluency: float
    """Whether it is acceptable, finished, non-repetitive English."""
    reported_tone: float
    """What a second classifier of the tone says, fitted on other questions; nothing is trained or chosen on it."""


class Generation(Scores):
    """One answer of one system, with its scores."""

    system: str
    question_id: str
    seed: int
    text: str
    meaning_kept: float | None = None
    """Of a rewriting: how far it says what the plain text says."""
    persona_nats: float | None = None
    """Negative log-likelihood of the teacher's persona answer to the question; of the rows of models only."""
    persona_tokens: int | None = None
    plain_nats: float | None = None
    """The same of its plain answer."""
    plain_tokens: int | None = None


SCORES = tuple(Scores.model_fields)


class Rating(Row):
    """An answer that readers have rated without knowing who wrote it; see docs/readers.md."""

    question_id: Text
    question: Text
    writer: Text
    """docs/readers.md lists them; with the ending `_2s` or `_1s` what is left after two sentences or one."""
    side: Literal["fit", "held_out"]
    """Scores are fitted on the one and their validity is measured on the other, which holds other questions."""
    answer: str
    sense: list[Annotated[int, Field(ge=0, le=3)]] = Field(min_length=1)
    """Of each reader, from 0 to 3."""
    tone: list[Annotated[int, Field(ge=0, le=3)]] = Field(min_length=1)
    readers: list[Text] = Field(min_length=1)

    @property
    def author(self) -> str:
        """The writer, whether whole or cut to sentences: who is left out is left out of all of it."""
        return re.sub(r"_\ds$", "", self.writer)

    @property
    def mean_sense(self) -> float:
        """The readers' mean, from 0 to 1."""
        return sum(self.sense) / len(self.sense) / 3

    @property
    def mean_tone(self) -> float:
        """The readers' mean, from 0 to 1."""
        return sum(self.tone) / len(self.tone) / 3
