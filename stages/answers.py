"""Ask the teacher for a plain answer to each question, and for the same answer as the persona would say it."""

import sys

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.persona import for_persona, load_persona
from tonetune.core.rows import Question, read_rows, write_dropped, write_other_answers, write_rows
from tonetune.core.text import first_sentences
from tonetune.teacher.answers import collect_answers, samples_of
from tonetune.teacher.other_personas import other_personas_answers
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.teacher import make_teacher


def main() -> None:
    params = for_persona(load_params())
    prompts = TeacherPrompts(params, load_persona(params.persona))
    teacher = make_teacher(params)
    questions = read_rows("data/questions.jsonl", Question)

    expected = sum(1 + samples_of(question, prompts.samples) for question in questions)
    answers, dropped = teacher.run(collect_answers(prompts, teacher, questions), expected, "answers")

    # What a live teacher would not answer is listed here and in data/dropped.json; the split leaves it out.
    listed = "".join(f'\n  {row.question_id} {row.style} "{row.text}": {row.reason}' for row in dropped)
    if not answers:
        raise UserError(f"teacher.model: {params.teacher.model}: no usable answer to any question:{listed[:2000]}")
    if dropped:
        print(f"{len(dropped)} of {expected} answers dropped:{listed}", file=sys.stderr)
    write_rows("data/answers.jsonl", answers)
    write_dropped(dropped)

    # Other personas' answers to the same questions: the tone classifiers must tell their tone from this one.
    plain = {answer.question_id: answer.text for answer in answers if answer.style == "plain"}
    others = other_personas_answers(params, questions, plain)
    # As long as the split leaves this persona's: length must not tell them apart.
    most = params.split.max_sentences
    others = [other.model_copy(update={"text": first_sentences(other.text, most)}) for other in others]
    print(f"{len(others)} recorded answers of other personas to these questions")
    write_other_answers(others)


if __name__ == "__main__":
    run(main)
