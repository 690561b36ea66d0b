"""Own texts as what the pipeline replays: questions, recordings of the answers, and neutral texts where no plain answer is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.persona import Persona, load_exchanges
from tonetune.core.rows import BASICS, OWN_WORDS, UNPAIRED, Question, Recording
from tonetune.core.text import sentences
from tonetune.imports.examples import OwnExample
from tonetune.imports.pairs import ImportedPair, Talks, answer_recordings
from tonetune.teacher.own_questions import own_questions_path, write_own_questions
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.recordings import PLAIN, read_recordings, recordings_path, write_recordings

EXCHANGES_SHARE, FEWEST_EXCHANGES = 0.1, 8
"""Of the examples so many are exchanges that say what it is, and decline: enough to be learnt, too few to drown the tone."""
FEWEST_EXAMPLES = 60  # with the shares of params.yaml, the test and validation sides hold less than a handful otherwise


@dataclass(frozen=True)
class Written:
    """What an import wrote."""

    categories: Counter[str]
    exchanges: int
    plain: int
    """Own texts with a plain answer of their own; the others have a neutral text beside them."""


def write_own(params: Params, name: str, persona: Persona, examples: Sequence[OwnExample]) -> Written:
    """Write the persona's questions and recordings, in place of any that it has."""
    prompts = TeacherPrompts(params, persona)
    neutral = _neutral_texts()
    questions: list[Question] = []
    recordings: list[Recording] = []
    talks: dict[str, Talks] = {}
    for example in examples:
        question = Question(id=example.id, category=example.category, text=example.question, after=example.after)
        plain = example.plain or _of_length(next(neutral), len(example.answer.split()))
        pair = ImportedPair(question=example.question, persona_answer=example.answer, plain_answer=plain)
        before = talks[example.after] if example.after else Talks()
        plain_recording, own = answer_recordings(prompts, question, pair, before, OWN_WORDS)
        recordings += [plain_recording.model_copy(update={"teacher": "import" if example.plain else UNPAIRED}), own]
        questions.append(question)
        talks[example.id] = before.after(pair)
    exchanges = _exchanges(prompts, max(FEWEST_EXCHANGES, round(EXCHANGES_SHARE * len(examples))))
    questions += [question for question, _ in exchanges]
    recordings += [recording for _, pair in exchanges for recording in pair]
    write_recordings(recordings_path(name), recordings)
    write_own_questions(name, questions)
    return Written(
        Counter(example.category for example in examples), len(exchanges), sum(bool(e.plain) for e in examples)
    )


def refuse_too_few(examples: Sequence[OwnExample]) -> None:
    """A `UserError` if there are not enough to train on and to score."""
    if len(examples) < FEWEST_EXAMPLES:
        raise UserError(
            f"{len(examples)} examples are too few to train on and to score: at least {FEWEST_EXAMPLES}; add more exports "
            "to the same command"
        )


def has_recordings(name: str) -> bool:
    """Whether the persona has any, which an import would replace."""
    return recordings_path(name).exists() or own_questions_path(name).exists()


def _exchanges(prompts: TeacherPrompts, count: int) -> list[tuple[Question, list[Recording]]]:
    """The first exchanges with their recorded plain answers, which say that it is an AI, in the persona's place too.

    Nobody wrote in chats what a model must say of itself; a plain answer in no tone is better than none.
    """
    recorded = {recording.request: recording for recording in read_recordings(PLAIN) if not recording.dropped}
    talks: dict[str, Talks] = {}
    found: list[tuple[Question, list[Recording]]] = []
    for question in load_exchanges():
        if len(found) == count:
            break
        before = talks.get(question.after) if question.after else Talks()
        answer = recorded.get(prompts.plain_answer(question, before.plain).key) if before else None
        if before is None or answer is None:
            continue
        pair = ImportedPair(
            question=question.text, persona_answer=answer.text, plain_answer=answer.text, category=BASICS
        )
        talks[question.id] = before.after(pair)
        found.append((question, answer_recordings(prompts, question, pair, before, answer.teacher)))
    return found


def _neutral_texts() -> Iterator[list[str]]:
    """Plain answers that a teacher wrote to other questions, as sentences, over and over in a fixed order."""
    exchanges = {question.text for question in load_exchanges()}
    rows = [row for row in read_recordings(PLAIN) if not row.dropped and row.about not in exchanges]
    if not rows:
        raise UserError(f"{PLAIN}: holds no plain answers; restore it with `git checkout {PLAIN}`")
    texts = [sentences(row.text) for row in sorted(rows, key=lambda row: row.request)]
    while True:
        yield from texts


def _of_length(parts: Sequence[str], words: int) -> str:
    """The first sentences, as many as come nearest to so many words: length must not tell the styles apart."""
    best = min(range(1, len(parts) + 1), key=lambda n: abs(len(" ".join(parts[:n]).split()) - words))
    return " ".join(parts[:best])
