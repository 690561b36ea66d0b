"""Join questions and answers into examples, and split them by question into train, validation and test."""

from collections import defaultdict
from typing import get_args

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import write_json
from tonetune.core.params import load_params
from tonetune.core.rows import Answer, Example, Message, Question, Style, read_dropped, read_rows, write_rows
from tonetune.core.tables import write_table
from tonetune.data.near_duplicates import near_pairs
from tonetune.data.quality import check_quality, enforce
from tonetune.data.split import assign_sides, training_order


def main() -> None:
    params = load_params()
    settings = params.split
    samples: dict[tuple[str, int], dict[Style, str]] = defaultdict(dict)
    for answer in read_rows("data/answers.jsonl", Answer):
        samples[answer.question_id, answer.sample or 0][answer.style] = answer.text
    every = read_rows("data/questions.jsonl", Question)
    dropped = {row.question_id for row in read_dropped()} - {key for key, _ in samples}
    questions = [q for q in every if q.id not in dropped]
    answers: dict[tuple[str, Style], str] = {}
    for (identifier, _), both in samples.items():  # the first sample is the answer, the others only train
        for style, text in both.items():
            answers.setdefault((identifier, style), text)

    # Split by question, never by answer: near questions share a side. A dropped one keeps its place: it may be answered yet.
    near = near_pairs([question.text for question in every], settings.quality.near_question)
    sides = assign_sides(every, [(i, j) for i, j, _ in near], settings.validation, settings.test, params.seed)
    place = {question.id: index for index, question in enumerate(questions)}
    kept = [(every[i].id, every[j].id, alike) for i, j, alike in near]
    near = [(place[a], place[b], alike) for a, b, alike in kept if a in place and b in place]
    checks = check_quality(questions, answers, sides, near, settings.quality)
    enforce(checks, settings.quality, "split.quality")

    # Each example is a chat; a follow-up's prompt holds the talk before it.
    asked = {question.id: question for question in questions}
    examples: dict[str, dict[int, Example]] = defaultdict(dict)
    for (identifier, sample), both in samples.items():
        question = asked[identifier]
        if question.after:
            before = examples[question.after][sample]
            talk = [*before.prompt, *before.completion]
        else:
            talk = [Message(role="system", content=params.system_prompt)]
        examples[identifier][sample] = Example(
            question_id=identifier,
            category=question.category,
            prompt=[*talk, Message(role="user", content=question.text)],
            completion=[Message(role="assistant", content=both["persona"])],
            plain=both["plain"],
        )
    first = {identifier: next(iter(members.values())) for identifier, members in examples.items()}
    rows = {side: [first[q.id] for q in questions if sides[q.id] == side] for side in ("train", "validation", "test")}
    order = training_order([example.question_id for example in rows["train"]], params.seed)
    trained = [example for identifier in order for example in examples[identifier].values()]
    rows["train"] = trained[: settings.train_size]
    for side, members in rows.items():
        if not members:
            raise UserError(
                f"split: {side} is empty (validation {settings.validation}, test {settings.test} of {len(questions)} "
                "questions); change the shares or raise questions.per_prompt"
            )

    for side, members in rows.items():
        write_rows(f"data/{side}.jsonl", members)
    counts = {side: len(members) for side, members in rows.items()}
    lengths = (
        [style, question.category, sides[question.id], len(answers[question.id, style].split())]
        for question in questions
        for style in get_args(Style)
    )
    write_table("metrics/answers.csv", ["style", "category", "split", "words"], lengths)
    write_json("metrics/split.json", {**counts, "quality": {check.name: check.value for check in checks}})


if __name__ == "__main__":
    run(main)
