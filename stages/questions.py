"""Ask the teacher for the questions of each prompt."""

from tone.errors import UserError, run
from tone.params import load_params
from tone.persona import load_exchanges, load_persona
from tone.question_lists import parse_question_list
from tone.rows import Question, question_id, write_rows
from tone.teacher import Asking, make_teacher


def main() -> None:
    params = load_params()
    persona = load_persona(params.persona)
    asking = Asking(params, persona)
    teacher = make_teacher(params)
    wanted = min(params.questions.per_prompt, persona.questions_per_prompt or params.questions.per_prompt)

    questions: dict[str, Question] = {}
    for category in asking.prompts:
        texts: list[str] = []
        rounds: list[str] = []
        while len(texts) < wanted:
            response = teacher.respond([asking.questions(category, rounds)])[0].text
            rounds.append(response)
            new = [
                text
                for text in parse_question_list(response)
                if question_id(text) not in questions and text not in texts
            ]
            if not new:
                raise UserError(
                    f"questions.prompts.{category}: the teacher gives no new question after {len(texts)} of {wanted}; "
                    "lower questions.per_prompt or reword the prompt"
                )
            texts += new
        for text in texts[:wanted]:
            questions[question_id(text)] = Question(id=question_id(text), category=category, text=text)
    exchanges = load_exchanges() if params.questions.exchanges else []

    write_rows("data/questions.jsonl", [*questions.values(), *exchanges])


if __name__ == "__main__":
    run(main)
