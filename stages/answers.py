"""Ask the teacher for two answers to each question: as the persona, and the same content in plain words."""

from tone.errors import run
from tone.params import load_params
from tone.persona import load_persona
from tone.rows import Answer, Message, Question, read_rows, write_rows
from tone.teacher import Asking, make_teacher


def main() -> None:
    params = load_params()
    asking = Asking(params, load_persona(params.persona))
    teacher = make_teacher(params)
    questions = read_rows("data/questions.jsonl", Question)

    # A follow-up's request holds the answer that it follows, so follow-ups go in waves behind what they follow.
    talks: dict[str, list[Message]] = {}
    answers: dict[tuple[str, str], Answer] = {}
    waiting = questions
    while waiting:
        wave = [question for question in waiting if question.after is None or question.after in talks]
        asked_now = {question.id for question in wave}
        waiting = [question for question in waiting if question.id not in asked_now]
        histories = [talks[question.after] if question.after else [] for question in wave]
        asked = [asking.persona_answer(question, history) for question, history in zip(wave, histories, strict=True)]
        persona = teacher.respond(asked)
        plain = teacher.respond(
            [asking.plain_answer(question, answer.text) for question, answer in zip(wave, persona, strict=True)]
        )
        for question, history, in_tone, neutral in zip(wave, histories, persona, plain, strict=True):
            turn = [Message(role="user", content=question.text), Message(role="assistant", content=in_tone.text)]
            talks[question.id] = [*history, *turn]
            for style, answer in (("persona", in_tone), ("plain", neutral)):
                answers[question.id, style] = Answer(
                    question_id=question.id,
                    style=style,
                    text=answer.text,
                    teacher=answer.teacher,
                    request=answer.request,
                )

    write_rows("data/answers.jsonl", [answers[q.id, style] for q in questions for style in ("persona", "plain")])


if __name__ == "__main__":
    run(main)
