"""A user's own question-answer pairs, turned into the recordings that a live teacher would have left."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.persona import Persona, exchanges_of
from tonetune.core.rows import BASICS, Message, Question, Recording, Row, question_id
from tonetune.core.validation import Text, explain
from tonetune.imports.pair_rows import rows_of
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.question_list import format_question_list, parse_question_list
from tonetune.teacher.recordings import SHARED, merge_recordings, recordings_path, write_recordings

MOST_SHOWN = 20
LONGEST_LIST = 999  # questions: the parser reads numbers of three digits
NEXT = "Why is that so?"
# A last line without an end mark reads as cut off: something that is no question follows it.
CLOSING = "\n(end of the list)"


class ImportedPair(Row):
    """A line of an imported file."""

    question: Text
    persona_answer: Text
    plain_answer: Text
    category: Text = "imported"


def read_pairs(path: Path) -> dict[int, ImportedPair]:
    """Read pairs, by their line, from .jsonl or .csv; the `UserError` lists every bad row with its line."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    pairs: dict[int, ImportedPair] = {}
    bad: list[str] = []
    seen: dict[str, int] = {}
    for number, values in rows_of(path, list(ImportedPair.model_fields), bad):
        try:
            pair = ImportedPair.model_validate(values)
        except ValidationError as error:
            bad.append(f"line {number}: {explain(error)}")
            continue
        first = seen.setdefault(question_id(pair.question), number)
        if first != number and pair.category != BASICS:
            bad.append(f"line {number}: question: the same as in line {first}")
        elif pair.category != BASICS and (fault := _question_fault(pair.question)):
            bad.append(f"line {number}: question: {fault}, got {pair.question[:60]!r}")
        pairs[number] = pair
    if bad:
        rest = f"\n  and {len(bad) - MOST_SHOWN} more" if len(bad) > MOST_SHOWN else ""
        listed = "".join(f"\n  {line}" for line in bad[:MOST_SHOWN])
        raise UserError(f"{path}: {len(bad)} bad rows, nothing was written:{listed}{rest}")
    if not pairs:
        raise UserError(f"{path}: no rows; each needs question, persona_answer and plain_answer")
    return pairs


def _question_fault(text: str) -> str | None:
    """Why a list of questions would not give `text` back; None if it does."""
    if len(text.splitlines()) > 1:
        return "more than one line"
    if parse_question_list(format_question_list([text, NEXT]))[:1] == [text]:
        return None
    if text.strip('"*').strip() != text:
        return 'begins or ends with " or *, which lists of questions lose'
    return "fewer than three words and no question mark at the end"


def import_pairs(
    pairs: Mapping[int, ImportedPair],
    file: Path,
    params: Params,
    persona_name: str,
    persona: Persona,
    teacher: str,
    per_request: int,
) -> dict[str, int]:
    """Write the recordings that replay `pairs` of `file` under `params`; returns how many questions each category has.

    Pairs of the category `basics` answer the exchanges of personas/exchanges.yaml, in that file's order.
    """
    if not 1 <= per_request <= LONGEST_LIST:
        raise UserError(f"--per-request: {per_request}: a list holds 1 to {LONGEST_LIST} questions")
    prompts = TeacherPrompts(params, persona)
    categories: dict[str, list[ImportedPair]] = defaultdict(list)
    unknown: dict[str, int] = {}
    for line, pair in pairs.items():
        categories[pair.category].append(pair)
        if pair.category not in (*prompts.prompts, BASICS):
            unknown.setdefault(pair.category, line)
    basics = categories.pop(BASICS, [])
    if unknown:
        listed = ", ".join(f"{category!r} (line {line})" for category, line in unknown.items())
        example = ", ".join(f"{category}: Questions that came with the imported pairs." for category in unknown)
        raise UserError(
            f"{file}: categories without a prompt: {listed}; give each one under `prompts:` in "
            f"personas/{persona_name}.yaml (which replace those of params.yaml), for example\n  prompts: {{{example}}}"
        )
    shared: list[Recording] = []
    answers: list[Recording] = []
    for category, members in categories.items():
        shared += _question_rounds(prompts, category, members, teacher, per_request)
        for pair in members:
            question = Question(id=question_id(pair.question), category=category, text=pair.question)
            answers += answer_recordings(prompts, question, pair, Talks(), teacher)
    answers += _basics(prompts, basics, teacher)
    if persona.prompts:  # its own prompts, so the question lists are its own too
        answers += shared
    else:
        merge_recordings(SHARED, shared, "has other questions already; give the persona its own `prompts:`")
    write_recordings(recordings_path(persona_name), answers)
    return {category: len(members) for category, members in categories.items()} | {BASICS: len(basics)}


def _question_rounds(
    prompts: TeacherPrompts, category: str, members: Sequence[ImportedPair], teacher: str, per_request: int
) -> list[Recording]:
    rounds: list[str] = []
    recordings = []
    for start in range(0, len(members), per_request):
        texts = [pair.question for pair in members[start : start + per_request]]
        response = format_question_list(texts)
        if parse_question_list(response) != texts:
            response += CLOSING
        request = prompts.questions(category, rounds)
        recordings.append(Recording(request=request.key, about=category, teacher=teacher, text=response))
        rounds.append(response)
    return recordings


@dataclass
class Talks:
    """What was said before a question: in plain words, and in the persona's."""

    plain: list[Message] = field(default_factory=list)
    persona: list[Message] = field(default_factory=list)

    def after(self, pair: ImportedPair) -> "Talks":
        """The same with the pair's question and its answers."""
        asked = Message(role="user", content=pair.question)
        return Talks(
            [*self.plain, asked, Message(role="assistant", content=pair.plain_answer)],
            [*self.persona, asked, Message(role="assistant", content=pair.persona_answer)],
        )


def answer_recordings(
    prompts: TeacherPrompts, question: Question, pair: ImportedPair, before: Talks, teacher: str
) -> list[Recording]:
    """The recordings of the plain and the persona's answer to a question, which is asked after the talk `before`."""
    plain = prompts.plain_answer(question, before.plain)
    persona = prompts.persona_answer(question, pair.plain_answer, before.persona)
    return [
        Recording(request=plain.key, about=question.text, teacher=teacher, text=pair.plain_answer),
        Recording(request=persona.key, about=question.text, teacher=teacher, text=pair.persona_answer),
    ]


def _basics(prompts: TeacherPrompts, pairs: Sequence[ImportedPair], teacher: str) -> list[Recording]:
    if not pairs:
        return []
    exchanges = exchanges_of(prompts.persona)
    if [pair.question for pair in pairs] != [exchange.text for exchange in exchanges]:
        raise UserError(
            "category basics: its questions must be those of personas/exchanges.yaml, or of the persona's own exchanges, in that order"
        )
    talks: dict[str, Talks] = {}
    recordings = []
    for exchange, pair in zip(exchanges, pairs, strict=True):
        before = talks[exchange.after] if exchange.after else Talks()
        recordings += answer_recordings(prompts, exchange, pair, before, teacher)
        talks[exchange.id] = before.after(pair)
    return recordings
