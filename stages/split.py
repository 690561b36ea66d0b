"""Join questions and answers into examples, and split them by question into train, validation and test."""

import csv

from tone.errors import UserError, run
from tone.files import replacing, write_json
from tone.near_duplicates import near_pairs
from tone.params import load_params
from tone.quality import check_quality, enforce
from tone.rows import Answer, Example, Message, Question, read_rows, write_rows
from tone.splitting import assign_sides, training_order


def main() -> None:
    params = load_params()
    settings = params.split
    questions = read_rows("data/questions.jsonl", Question)
    answers = {(answer.question_id, answer.style): answer.text for answer in read_rows("data/answers.jsonl", Answer)}

    # Split by question, never by answer: near questions share a side.
    near = near_pairs([question.text for question in questions], settings.quality.near_question)
    sides = assign_sides(questions, [(i, j) for i, j, _ in near], settings.validation, settings.test, params.seed)
    checks = check_quality(questions, answers, sides, near, settings.quality)
    enforce(checks, settings.quality, "split.quality")

    # Each example is a chat; a follow-up's prompt holds the talk before it.
    examples: dict[str, Example] = {}
    for question in questions:
        if question.after:
            before = examples[question.after]
            talk = [*before.prompt, *before.completion]
        else:
            talk = [Message(role="system", content=params.system_prompt)]
        examples[question.id] = Example(
            question_id=question.id,
            category=question.category,
            prompt=[*talk, Message(role="user", content=question.text)],
            completion=[Message(role="assistant", content=answers[question.id, "persona"])],
            plain=answers[question.id, "plain"],
        )
    rows = {
        side: [examples[q.id] for q in questions if sides[q.id] == side] for side in ("train", "validation", "test")
    }
    order = training_order([example.question_id for example in rows["train"]], params.seed)
    rows["train"] = [examples[identifier] for identifier in order[: settings.train_size]]
    for side, members in rows.items():
        if not members:
            raise UserError(
                f"split: {side} is empty (validation {settings.validation}, test {settings.test} of {len(questions)} "
                "questions); change the shares or raise questions.per_prompt"
            )

    for side, members in rows.items():
        write_rows(f"data/{side}.jsonl", members)
    counts = {side: len(members) for side, members in rows.items()}
    with replacing("metrics/answers.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["style", "category", "split", "words"])
        for question in questions:
            for style in ("persona", "plain"):
                words = len(answers[question.id, style].split())
                writer.writerow([style, question.category, sides[question.id], words])
    write_json("metrics/split.json", {**counts, "quality": {check.name: check.value for check in checks}})


if __name__ == "__main__":
    run(main)
