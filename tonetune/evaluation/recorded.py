"""Rivals whose answers are kept in git: `evaluate.rivals: [recorded:<name>]` needs neither their weights nor a server.

data/rivals/<name>.jsonl.gz holds the answers, data/rivals/<name>.yaml what gave them: the model, its files, the prompts and
the sampling (`python -m scripts.record_rival`). An answer is looked up by the whole chat, its seed and the sampling, so another
prompt never gets it.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tonetune.core.errors import UserError
from tonetune.core.files import content_key, read_gzip_lines, write_gzip
from tonetune.core.params import Evaluate, Params
from tonetune.core.rows import Example, Message, Row, parse_lines
from tonetune.core.validation import Text
from tonetune.evaluation.names import RECORDED
from tonetune.evaluation.systems import Prompting, Responder, TestSet
from tonetune.generation.sampling import answer_seed

FOLDER = Path("data/rivals")


class RecordedAnswer(Row):
    """One answer of a rival."""

    request: Text
    """The key of what was asked."""
    about: Text
    """The question: for people, who cannot read keys."""
    text: str
    """Empty where the model ended at once."""


def sampling_of(settings: Evaluate) -> dict[str, float | int | None]:
    """What of the params decides how an answer is sampled, beside its seed."""
    return {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_new_tokens": settings.max_new_tokens,
        "max_sentences": settings.max_sentences,
    }


def answer_key(chat: Sequence[Message], seed: int, settings: Evaluate) -> str:
    """The key of an answer: of the whole chat, the answer's own seed and the sampling."""
    return content_key([], [message.model_dump() for message in chat], seed, sampling_of(settings))


def answers_path(name: str) -> Path:
    """Where a rival's answers lie; a `UserError` if the name is no file name."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name):
        raise UserError(f"evaluate.rivals: {RECORDED + name!r}: a name has letters, digits, dots and hyphens only")
    return FOLDER / f"{name}.jsonl.gz"


def header_path(name: str) -> Path:
    """The YAML file beside a rival's answers that says which model and which runs they are from."""
    return answers_path(name).with_name(f"{name}.yaml")


def read_answers(name: str) -> dict[str, RecordedAnswer]:
    """A rival's recorded answers by their keys; a `UserError` if there are none or the file is broken."""
    path = answers_path(name)
    try:
        lines = read_gzip_lines(path, f"restore it with `git checkout {path}`")
    except FileNotFoundError:
        there = sorted(RECORDED + found.name.removesuffix(".jsonl.gz") for found in FOLDER.glob("*.jsonl.gz"))
        raise UserError(
            f"evaluate.rivals: {RECORDED + name!r}: no {path}; recorded are: {', '.join(there) or 'none'} "
            "(`python -m scripts.record_rival` records)"
        ) from None
    return {row.request: row for row in parse_lines(lines, path, RecordedAnswer)}


def write_answers(name: str, answers: Iterable[RecordedAnswer]) -> None:
    """Write a rival's answers, sorted by question: the same bytes for the same answers."""
    rows = sorted(answers, key=lambda row: (row.about, row.request))
    text = "".join(json.dumps(row.model_dump(), ensure_ascii=False) + "\n" for row in rows)
    write_gzip(answers_path(name), text)


@dataclass(frozen=True)
class CoveredPart:
    """One way to tell a model who to be, narrowed to what answers are recorded of."""

    prompting: Prompting
    """The way, with only the recorded wordings, validation questions and test questions."""
    indices: Sequence[int]
    """The index of each of these wordings among all the wordings of params.yaml."""
    test_set: TestSet
    """The recorded test questions and sampling seeds."""


class RecordedRival:
    """A rival's recorded answers, and what of a run's questions they cover."""

    def __init__(self, label: str, params: Params):
        """Of `label`, `recorded:<name>`; a `UserError` if nothing of that name is recorded."""
        self.label, self.settings = label, params.evaluate
        self.answers = read_answers(label.removeprefix(RECORDED))

    def responder(self) -> Responder:
        """Looks the answers up; it must only be asked for what is covered."""
        return Responder(self._answer)

    def _answer(self, chats: Sequence[Sequence[Message]], seeds: Sequence[int], label: str) -> list[str]:
        keys = [answer_key(chat, seed, self.settings) for chat, seed in zip(chats, seeds, strict=True)]
        return [self.answers[key].text for key in keys]

    def covered(self, ways: Mapping[str, Prompting], test_set: TestSet) -> tuple[dict[str, CoveredPart], str | None]:
        """The ways of which there are recordings, each with its covered part, and in words what is left out of them.

        A wording and a sampling seed count as recorded if any test question is, and a question if it is under each of
        these. A `UserError` if nothing is.
        """
        parts = {way: part for way, prompting in ways.items() if (part := self._part(prompting, test_set))}
        if not parts:
            raise UserError(
                f"evaluate.rivals: {self.label!r}: nothing that it would be asked in this run is recorded: another persona, "
                "other prompts, examples, questions, seeds or sampling"
            )
        gaps = [
            f"{way}: {missing}"
            for way, prompting in ways.items()
            if (missing := _missing(prompting, parts.get(way), test_set))
        ]
        return parts, "; ".join(gaps) or None

    def _part(self, prompting: Prompting, test_set: TestSet) -> CoveredPart | None:
        def has(example: Example, wording: str, seed: int) -> bool:
            chat = prompting.ask(example, wording)
            return answer_key(chat, answer_seed(example.question_id, seed), self.settings) in self.answers

        test, wordings = test_set.examples, prompting.wordings
        seeds = [s for s in test_set.seeds if any(has(e, w, s) for w in wordings for e in test)]
        indices = [i for i, w in enumerate(wordings) if any(has(e, w, s) for s in seeds for e in test)]
        kept = [wordings[i] for i in indices]
        asked = [e for e in test if all(has(e, w, s) for w in kept for s in seeds)]
        chosen_on = [e for e in prompting.validation if all(has(e, w, prompting.seed) for w in kept)]
        if not kept or not asked:
            return None
        if not chosen_on:  # nothing to choose by: the first counts
            indices, kept = indices[:1], kept[:1]
        narrowed = Prompting(prompting.ask, kept, chosen_on, asked, prompting.seed)
        return CoveredPart(narrowed, indices, test_set.part(asked, seeds))


def _missing(prompting: Prompting, part: CoveredPart | None, test_set: TestSet) -> str | None:
    """What of a way is not recorded, in words; None if all of it is."""
    if part is None:
        return "all of it"
    counts = (
        (len(part.indices), len(prompting.wordings), "wordings"),
        (len(part.test_set.examples), len(test_set.examples), "test questions"),
        (len(part.test_set.seeds), len(test_set.seeds), "sampling seeds"),
        (len(part.prompting.validation), len(prompting.validation), "validation questions"),
    )
    missing = [f"{whole - kept} of {whole} {what}" for kept, whole, what in counts if kept < whole]
    return ", ".join(missing) or None
