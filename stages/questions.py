"""Ask the teacher for the questions of each prompt."""

from tonetune.core.command import run
from tonetune.core.gate_params import OFF
from tonetune.core.params import load_params
from tonetune.core.persona import EXCHANGES, exchanges_of, load_persona
from tonetune.core.rows import BASICS, write_rows
from tonetune.core.text import ENGLISH
from tonetune.teacher.own_questions import read_own_questions
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.questions import collect_questions
from tonetune.teacher.teacher import make_teacher


def main() -> None:
    params = load_params()
    prompts = TeacherPrompts(params, load_persona(params.persona))
    teacher = make_teacher(params)

    language = params.split.quality.language
    if params.questions.exchanges and language not in (ENGLISH, OFF) and not prompts.persona.exchanges:
        print(
            f"split.quality.language: {language}, and the exchanges of {EXCHANGES} (who it is, what it declines) are English: give "
            f"personas/{params.persona}.yaml `exchanges:` of its own, or set questions.exchanges: false"
        )

    # A persona of own texts brings its questions, talks and exchanges along.
    if (own := read_own_questions(params.persona)) is not None:
        write_rows("data/questions.jsonl", [q for q in own if params.questions.exchanges or q.category != BASICS])
        return

    expected = len(prompts.prompts) * 2
    questions = teacher.run(collect_questions(prompts, teacher), expected, "questions")
    exchanges = exchanges_of(prompts.persona) if params.questions.exchanges else []

    write_rows("data/questions.jsonl", [*questions, *exchanges])


if __name__ == "__main__":
    run(main)
