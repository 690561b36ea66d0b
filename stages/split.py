"""Join questions and answers into examples, and split them by question into train, validation and test."""

import math
import sys
from collections.abc import Sequence
from typing import get_args

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import write_json
from tonetune.core.params import load_params
from tonetune.core.persona import for_persona
from tonetune.core.rows import (
    OWN_WORDS,
    SPLITS,
    UNPAIRED,
    Answer,
    Example,
    Message,
    Question,
    Style,
    read_dropped,
    read_rows,
    write_rows,
)
from tonetune.core.tables import write_table
from tonetune.core.text import first_sentences, word_count
from tonetune.data.near_duplicates import near_pairs
from tonetune.data.planting import plant
from tonetune.data.quality import check_quality, enforce
from tonetune.data.split import assign_splits, reindexed, training_order

FEWEST = 2  # questions of a split: calibration is cross-validated on two folds
LONG_SHARE = 0.05
CHARACTERS_PER_TOKEN = 4  # of English, rather too few than too many; the tokenizer is not loaded for a warning


def warn_of_long_answers(train: Sequence[Example], max_new_tokens: int) -> None:
    """Say so if many training answers are longer than the tuned model may answer: its own would be cut off."""
    longer = sum(len(example.answer) > CHARACTERS_PER_TOKEN * max_new_tokens for example in train)
    if longer > LONG_SHARE * len(train):
        print(
            f"warning: {longer} of {len(train)} training answers are longer than about evaluate.max_new_tokens: "
            f"{max_new_tokens}, so answers of the tuned model will be cut off; raise it",
            file=sys.stderr,
        )


def main() -> None:
    params = for_persona(load_params())
    settings = params.split
    every = read_rows("data/questions.jsonl", Question)
    answers: dict[tuple[str, Style], list[str]] = {}  # of several persona answers the first is the answer
    teachers: dict[tuple[str, Style], str] = {}
    edited: dict[tuple[str, str], str] = {}  # by question and answer: what it was before
    for answer in read_rows("data/answers.jsonl", Answer):
        answers.setdefault((answer.question_id, answer.style), []).append(answer.text)
        teachers[answer.question_id, answer.style] = answer.teacher
        if answer.style == "persona" and answer.before:
            edited[answer.question_id, first_sentences(answer.text, settings.max_sentences)] = first_sentences(
                answer.before, settings.max_sentences
            )
    limits = settings.own_quality if OWN_WORDS in teachers.values() else settings.quality
    answered = {identifier for identifier, _ in answers}
    dropped = {row.question_id for row in read_dropped()} - answered
    questions = [q for q in every if q.id not in dropped]

    # Split by question, never by answer: near questions share a split. A dropped one keeps its place: it may be answered yet.
    near = near_pairs([question.text for question in every], limits.near_question)
    split_of = assign_splits(every, [(i, j) for i, j, _ in near], settings.validation, settings.test, params.seed)
    checks = check_quality(questions, answers, split_of, reindexed(near, every, questions), limits)
    enforce(checks, limits, "split.quality" if limits == settings.quality else "split.own_texts")

    # A small model loses the thread in long answers: it learns, and is compared with, their first sentences.
    answers = {key: [first_sentences(text, settings.max_sentences) for text in texts] for key, texts in answers.items()}

    # Each example is a chat; a follow-up's prompt holds the talk before it. The further samples only train.
    examples: dict[str, list[Example]] = {}
    for question in questions:
        talk = [Message(role="system", content=params.system_prompt)]
        if question.after:
            before = examples[question.after][0]
            talk = [*before.prompt, *before.completion]
        examples[question.id] = [
            Example(
                question_id=question.id,
                category=question.category,
                prompt=[*talk, Message(role="user", content=question.text)],
                completion=[Message(role="assistant", content=text)],
                plain=answers[question.id, "plain"][0],
                own_words=True if teachers[question.id, "persona"] == OWN_WORDS else None,
                before=worse if (worse := edited.get((question.id, text))) != text else None,
                unpaired=True if teachers[question.id, "plain"] == UNPAIRED else None,
            )
            for text in answers[question.id, "persona"]
        ]
    ids = {split: [q.id for q in questions if split_of[q.id] == split] for split in SPLITS}
    rows = {split: [examples[identifier][0] for identifier in ids[split]] for split in SPLITS}
    chosen = training_order(ids["train"], params.seed)[: settings.train_size]
    rows["train"] = [example for identifier in chosen for example in examples[identifier]]
    # What own texts may give away is told by made-up data planted among them, which the evaluation asks for.
    if settings.own_texts.planted:
        followed = {question.after for question in questions if question.after}
        rows["train"] = plant(rows["train"], followed, settings.own_texts.planted, params.seed)
        if holding := [example.planted.name for example in rows["train"] if example.planted]:
            print(
                f"{len(set(holding))} made-up people's contact data planted in {len(holding)} of {len(rows['train'])} training "
                "examples, to see whether it comes out; split.own_texts.planted: 0 leaves it"
            )
    for split, members in rows.items():
        if (count := len(members)) < FEWEST:
            enough = math.ceil(FEWEST / min(settings.validation, settings.test))
            raise UserError(
                f"split: {split} {'is empty' if count == 0 else f'has {count} question'} (validation {settings.validation}, test "
                f"{settings.test} of {len(questions)} questions), and calibration needs {FEWEST}; {enough} questions are enough "
                "with these shares: change them, raise questions.per_prompt, or bring more pairs"
            )

    for split, members in rows.items():
        write_rows(f"data/{split}.jsonl", members)
    warn_of_long_answers(rows["train"], params.evaluate.max_new_tokens)
    counts = {split: len(members) for split, members in rows.items()}
    lengths = (
        [style, question.category, split_of[question.id], word_count(text)]
        for question in questions
        for style in get_args(Style)
        for text in answers[question.id, style]
    )
    write_table("metrics/answers.csv", ["style", "category", "split", "words"], lengths)
    write_json("metrics/split.json", {**counts, "quality": {check.name: check.value for check in checks}})


if __name__ == "__main__":
    run(main)
