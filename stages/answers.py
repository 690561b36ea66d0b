"""Ask the teacher for two answers to each question: as the persona, and the same content in plain words."""

import sys

from tone.errors import UserError, run
from tone.params import load_params
from tone.persona import load_persona
from tone.rows import Question, read_rows, write_dropped, write_rows
from tone.teacher.pairs import collect_answers
from tone.teacher.requests import Asking
from tone.teacher.teachers import make_teacher


def main() -> None:
    params = load_params()
    asking = Asking(params, load_persona(params.persona))
    teacher = make_teacher(params)
    questions = read_rows("data/questions.jsonl", Question)

    expected = 2 * params.answers.samples * len(questions)
    answers, dropped = teacher.run(collect_answers(asking, teacher, questions), expected, "answers")

    # What a live teacher would not answer is listed here and in data/dropped.json; the split leaves it out.
    listed = "".join(f'\n  {row.question_id} {row.style} "{row.text}": {row.reason}' for row in dropped)
    if not answers:
        raise UserError(f"teacher.model: {params.teacher.model}: no usable answer to any question:{listed[:2000]}")
    if dropped:
        print(f"{len(dropped)} of {params.answers.samples * len(questions)} dropped:{listed}", file=sys.stderr)
    write_rows("data/answers.jsonl", answers)
    write_dropped(dropped)


if __name__ == "__main__":
    run(main)
