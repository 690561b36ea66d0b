"""A user's own question-answer pairs, turned into the recordings that a live teacher would have left."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tone.errors import UserError
from tone.params import Params
from tone.persona import Persona, load_exchanges
from tone.question_lists import format_question_list, parse_question_list
from tone.recordings import SHARED, Recording, read_recordings, recordings_path, write_recordings
from tone.rows import Message, Question, Row, Text, explain, question_id
from tone.teacher.requests import Asking

MOST_SHOWN = 20


class Pair(Row):
    """A line of an imported file."""

    question: Text
    persona_answer: Text
    plain_answer: Text
    category: Text = "imported"


def read_pairs(path: Path) -> list[Pair]:
    """Read pairs from .jsonl or .csv; the `UserError` lists every bad row with its line."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    pairs: list[Pair] = []
    bad: list[str] = []
    seen: dict[str, int] = {}
    for number, values in _rows(path, bad):
        try:
            pair = Pair.model_validate(values)
        except ValidationError as error:
            bad.append(f"line {number}: {explain(error)}")
            continue
        first = seen.setdefault(question_id(pair.question), number)
        if first != number and pair.category != "basics":
            bad.append(f"line {number}: question: the same as in line {first}")
        pairs.append(pair)
    if bad:
        rest = f"\n  and {len(bad) - MOST_SHOWN} more" if len(bad) > MOST_SHOWN else ""
        listed = "".join(f"\n  {line}" for line in bad[:MOST_SHOWN])
        raise UserError(f"{path}: {len(bad)} bad rows, nothing was written:{listed}{rest}")
    if not pairs:
        raise UserError(f"{path}: no rows; each needs question, persona_answer and plain_answer")
    return pairs


def _rows(path: Path, bad: list[str]) -> Iterator[tuple[int, Any]]:
    """(line number, values) of each row; lines that are not JSON go to `bad`."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".csv":
            reader = csv.DictReader(file)
            for values in reader:
                # csv keeps surplus cells under the key None, and leaves missing ones None
                yield reader.line_num, {str(key): value for key, value in values.items() if value is not None}
            return
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except json.JSONDecodeError as error:
                    bad.append(f"line {number}: not JSON ({error.msg})")


def import_pairs(
    pairs: Sequence[Pair], params: Params, persona_name: str, persona: Persona, teacher: str, per_request: int
) -> dict[str, int]:
    """Write the recordings that replay `pairs` under `params`; returns how many questions each category has.

    Pairs of the category `basics` answer the exchanges of personas/exchanges.yaml, in that file's order.
    """
    asking = Asking(params, persona)
    categories: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        categories[pair.category].append(pair)
    basics = categories.pop("basics", [])
    unknown = sorted(set(categories) - set(asking.prompts))
    if unknown:
        raise UserError(
            f"category {unknown[0]!r} has no prompt; give it one under `prompts:` in personas/{persona_name}.yaml, for "
            f"example\n  prompts: {{{unknown[0]}: Questions that came with the imported pairs.}}"
        )
    shared: list[Recording] = []
    answers: list[Recording] = []
    for category, members in categories.items():
        shared += _question_rounds(asking, category, members, teacher, per_request)
        for pair in members:
            question = Question(id=question_id(pair.question), category=category, text=pair.question)
            answers += _answers(asking, question, pair, [], teacher)
    answers += _basics(asking, basics, teacher)
    if persona.prompts:  # its own prompts, so the question lists are its own too
        answers += shared
    else:
        _merge(SHARED, shared)
    write_recordings(recordings_path(persona_name), answers)
    return {category: len(members) for category, members in categories.items()} | {"basics": len(basics)}


def _question_rounds(
    asking: Asking, category: str, members: Sequence[Pair], teacher: str, per_request: int
) -> list[Recording]:
    rounds: list[str] = []
    recordings = []
    for start in range(0, len(members), per_request):
        texts = [pair.question for pair in members[start : start + per_request]]
        response = format_question_list(texts)
        if parse_question_list(response) != texts:
            raise UserError(f"category {category}: a question is not one line of at least three words")
        request = asking.questions(category, rounds)
        recordings.append(Recording(request=request.key, about=category, teacher=teacher, text=response))
        rounds.append(response)
    return recordings


def _answers(
    asking: Asking, question: Question, pair: Pair, history: Sequence[Message], teacher: str
) -> list[Recording]:
    persona_request = asking.persona_answer(question, history)
    plain_request = asking.plain_answer(question, pair.persona_answer)
    return [
        Recording(request=persona_request.key, about=question.text, teacher=teacher, text=pair.persona_answer),
        Recording(request=plain_request.key, about=question.text, teacher=teacher, text=pair.plain_answer),
    ]


def _basics(asking: Asking, pairs: Sequence[Pair], teacher: str) -> list[Recording]:
    if not pairs:
        return []
    exchanges = load_exchanges()
    if [pair.question for pair in pairs] != [exchange.text for exchange in exchanges]:
        raise UserError("category basics: its questions must be those of personas/exchanges.yaml, in that order")
    talks: dict[str, list[Message]] = {}
    recordings = []
    for exchange, pair in zip(exchanges, pairs, strict=True):
        history = talks[exchange.after] if exchange.after else []
        recordings += _answers(asking, exchange, pair, history, teacher)
        talks[exchange.id] = [
            *history,
            Message(role="user", content=exchange.text),
            Message(role="assistant", content=pair.persona_answer),
        ]
    return recordings


def _merge(path: Path, added: Sequence[Recording]) -> None:
    """Add recordings to those in `path`; one that is there with another text is a `UserError`."""
    recordings = {recording.request: recording for recording in read_recordings(path)} if path.exists() else {}
    for recording in added:
        known = recordings.get(recording.request)
        if known is not None and known.text != recording.text:
            raise UserError(
                f"{path}: the prompt for {recording.about!r} has other questions already; give the persona its own "
                "`prompts:`"
            )
        recordings.setdefault(recording.request, recording)
    write_recordings(path, recordings.values())
