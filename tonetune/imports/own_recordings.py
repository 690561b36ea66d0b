"""Own texts as what the pipeline replays: questions, recordings of the answers, and neutral texts where no plain answer is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.persona import Persona, exchanges_of, load_exchanges
from tonetune.core.rows import BASICS, OWN_WORDS, UNPAIRED, Question, Recording, question_id
from tonetune.core.text import sentences, word_count
from tonetune.imports.examples import LONE, OwnExample
from tonetune.imports.pairs import ImportedPair, Talks, answer_recordings
from tonetune.teacher.endpoint.live import LiveTeacher
from tonetune.teacher.offline import Estimate, estimate_own_texts
from tonetune.teacher.own_questions import own_questions_path, read_own_questions, write_own_questions
from tonetune.teacher.own_texts import ask_plain_twins, ask_questions
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.recordings import PLAIN, read_recordings, recordings_path, write_recordings

EXCHANGES_SHARE, FEWEST_EXCHANGES = 0.1, 8
"""Of the examples so many are exchanges that say what it is, and decline: enough to be learnt, too few to drown the tone."""
SHIPPED = "general-purpose-language-model"
"""teacher.model of the recorded plain answers: with its name they are found, whoever is the teacher."""
FEWEST_EXAMPLES = 60  # with the shares of params.yaml, test and validation hold less than a handful otherwise


@dataclass(frozen=True)
class ImportedCounts:
    """How much an import wrote."""

    categories: Counter[str]
    exchanges: int
    plain: int
    """Own texts with a plain answer of their own; the others have a neutral text beside them."""


def write_own(params: Params, name: str, persona: Persona, examples: Sequence[OwnExample]) -> ImportedCounts:
    """Write the persona's questions and recordings, in place of any that it has."""
    prompts = TeacherPrompts(params, persona)
    neutral = _neutral_texts()
    questions: list[Question] = []
    recordings: list[Recording] = []
    talks: dict[str, Talks] = {}
    for example in examples:
        question = Question(id=example.id, category=example.category, text=example.question, after=example.after)
        plain = example.plain or _of_length(next(neutral), word_count(example.answer))
        pair = ImportedPair(question=example.question, persona_answer=example.answer, plain_answer=plain)
        before = talks[example.after] if example.after else Talks()
        plain_recording, own = answer_recordings(prompts, question, pair, before, OWN_WORDS)
        recordings += [
            plain_recording.model_copy(update={"teacher": example.plain_by if example.plain else UNPAIRED}),
            own,
        ]
        questions.append(question)
        talks[example.id] = before.after(pair)
    exchanges = _exchanges(params, prompts, max(FEWEST_EXCHANGES, round(EXCHANGES_SHARE * len(examples))))
    questions += [question for question, _ in exchanges]
    recordings += [recording for _, pair in exchanges for recording in pair]
    write_recordings(recordings_path(name), recordings)
    write_own_questions(name, questions)
    return ImportedCounts(
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


def _exchanges(params: Params, prompts: TeacherPrompts, count: int) -> list[tuple[Question, list[Recording]]]:
    """The first exchanges with answers that say that it is an AI: those of the persona file, else the recorded plain ones.

    Nobody wrote in chats what a model must say of itself; a plain answer in no tone is better than none.
    """
    persona = prompts.persona
    questions = exchanges_of(persona)
    own = {q.id: exchange.answer for q, exchange in zip(questions, persona.exchanges, strict=False)}
    recorded = [] if own else [recording for recording in read_recordings(PLAIN) if not recording.dropped]
    by_request = {recording.request: recording for recording in recorded}
    shipped = _prompts_of_recordings(params, persona)
    talks: dict[str, Talks] = {}
    found: list[tuple[Question, list[Recording]]] = []
    for question in questions:
        if len(found) == count:
            break
        before = talks.get(question.after) if question.after else Talks()
        if before is None:
            continue
        answer = by_request.get(shipped.plain_answer(question, before.plain).key)
        text, teacher = (answer.text, answer.teacher) if answer else (own.get(question.id), "the persona file")
        if text is None:
            continue
        pair = ImportedPair(question=question.text, persona_answer=text, plain_answer=text, category=BASICS)
        talks[question.id] = before.after(pair)
        found.append((question, answer_recordings(prompts, question, pair, before, teacher)))
    return found


def _prompts_of_recordings(params: Params, persona: Persona) -> TeacherPrompts:
    """What the recorded plain answers were asked with, whoever is the teacher now."""
    named = params.teacher.model_copy(update={"model": SHIPPED, "base_url": None, "extra_body": {}})
    return TeacherPrompts(params.model_copy(update={"teacher": named}), persona.model_copy(update={"consent": None}))


def kept_examples(params: Params, name: str, persona: Persona) -> list[OwnExample]:
    """What an earlier import of the persona wrote, as examples again, without the exchanges; none if there was no import."""
    questions = [question for question in read_own_questions(name) or [] if question.category != BASICS]
    by_request = (
        {recording.request: recording for recording in read_recordings(recordings_path(name))} if questions else {}
    )
    prompts = TeacherPrompts(params, persona)
    talks: dict[str, Talks] = {}
    kept = []
    for question in questions:
        before = talks.get(question.after) if question.after else Talks()
        plain = by_request.get(prompts.plain_answer(question, before.plain).key) if before else None
        if before is None or plain is None:
            continue
        own = by_request.get(prompts.persona_answer(question, plain.text, before.persona).key)
        if own is None or own.dropped:
            continue
        pair = ImportedPair(question=question.text, persona_answer=own.text, plain_answer=plain.text)
        talks[question.id] = before.after(pair)
        kept.append(
            OwnExample(
                id=question.id,
                category=question.category,
                question=question.text,
                answer=own.text,
                after=question.after,
                plain=None if plain.teacher == UNPAIRED else plain.text,
                plain_by=plain.teacher,
                made_question=question.text.startswith(LONE.partition("{")[0]),
            )
        )
    return kept


def _lone(examples: Sequence[OwnExample]) -> list[str]:
    """The texts that nobody had asked for."""
    return [example.answer for example in examples if example.made_question]


def asking_estimate(params: Params, persona: Persona, examples: Sequence[OwnExample]) -> list[Estimate]:
    """What `ask_teacher` would take for the examples; nothing is sent."""
    untwinned = [(None if e.made_question else e.question, e.answer) for e in examples if not e.plain]
    return estimate_own_texts(params, persona, _lone(examples), untwinned)


def ask_teacher(params: Params, persona: Persona, examples: Sequence[OwnExample]) -> list[OwnExample]:
    """The examples with what the live teacher adds: questions that lone texts answer, and missing plain answers.

    Where it has no usable one, or one that is another example's question, the example stays as it is.
    """
    prompts, teacher = TeacherPrompts(params, persona), LiveTeacher(params.teacher)
    lone = _lone(examples)

    async def work() -> list[OwnExample]:
        asked = dict(zip(lone, await ask_questions(prompts, teacher, lone), strict=True))
        taken = {example.id for example in examples}
        questioned = []
        for example in examples:
            question = asked.get(example.answer) if example.made_question else None
            identifier = question_id(question) if question else ""
            if question and identifier not in taken:
                taken.add(identifier)
                example = replace(example, id=identifier, question=question, made_question=False)
            questioned.append(example)
        untwinned = [example for example in questioned if not example.plain]
        twins = await ask_plain_twins(prompts, teacher, [(e.question, e.answer) for e in untwinned])
        plain = dict(zip((e.id for e in untwinned), twins, strict=True))
        model = params.teacher.model
        return [replace(e, plain=text, plain_by=model) if (text := plain.get(e.id)) else e for e in questioned]

    return teacher.run(work(), len(lone) + sum(not example.plain for example in examples), "own texts")


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
    best = min(range(1, len(parts) + 1), key=lambda n: abs(word_count(" ".join(parts[:n])) - words))
    return " ".join(parts[:best])
