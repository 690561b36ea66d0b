"""Ask the teacher for the questions of each prompt."""

from tone.errors import run
from tone.params import load_params
from tone.persona import load_exchanges, load_persona
from tone.rows import write_rows
from tone.teacher.requests import Asking
from tone.teacher.rounds import collect_questions
from tone.teacher.teachers import make_teacher


def main() -> None:
    params = load_params()
    asking = Asking(params, load_persona(params.persona))
    teacher = make_teacher(params)

    expected = len(asking.prompts) * 2
    questions = teacher.run(collect_questions(asking, teacher), expected, "questions")
    exchanges = load_exchanges() if params.questions.exchanges else []

    write_rows("data/questions.jsonl", [*questions, *exchanges])


if __name__ == "__main__":
    run(main)
