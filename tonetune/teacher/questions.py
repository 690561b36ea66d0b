"""Questions from the teacher, a list at a time, until there are enough different ones."""

from collections.abc import Container

from tonetune.core.errors import UserError
from tonetune.core.rows import Question, question_id
from tonetune.teacher.endpoint.protocol import Teacher, together
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.question_list import parse_question_list

STALE = 0.1  # a list with a smaller share of new questions mostly repeats


class QuestionList:
    """The questions of one category, and the responses they come from."""

    def __init__(self, prompts: TeacherPrompts, teacher: Teacher, category: str):
        self.prompts = prompts
        self.teacher = teacher
        self.category = category
        self.rounds: list[str] = []
        self.texts: dict[str, str] = {}

    def without(self, taken: Container[str]) -> list[tuple[str, str]]:
        """(id, text) of the questions whose id is not in `taken`, in order."""
        return [(identifier, text) for identifier, text in self.texts.items() if identifier not in taken]

    async def fill(self, wanted: int, taken: Container[str]) -> None:
        """Ask, each time with all earlier responses before the request, until `wanted` questions are not in `taken`."""
        stale = sample = 0
        patience = self.prompts.params.questions.stale_rounds
        while len(self.without(taken)) < wanted:
            if stale > patience:
                raise UserError(
                    f"questions.prompts.{self.category}: the teacher keeps repeating itself: {stale} lists in a row had "
                    f"hardly a new question after {len(self.without(taken))} of {wanted}; lower questions.per_prompt or "
                    "reword the prompt"
                )
            forms = self.prompts.question_forms(self.category, self.rounds, sample)
            response = await self.teacher.respond(*forms, about=self.category, check=_holds_questions, whole=False)
            listed = parse_question_list(response.text)
            new = {question_id(text): text for text in listed if question_id(text) not in self.texts}
            stale = stale + 1 if len(new) < STALE * len(listed) or not new else 0
            if new:
                self.texts |= new
                self.rounds.append(response.text)
                sample = 0
            else:
                sample += 1  # a list of repeats would only invite more of them: ask the same once more instead


async def collect_questions(prompts: TeacherPrompts, teacher: Teacher) -> list[Question]:
    """The questions of every category, `prompts.questions_wanted` each and no two the same."""
    lists = [QuestionList(prompts, teacher, category) for category in prompts.prompts]
    await together(one.fill(prompts.questions_wanted, frozenset()) for one in lists)
    # A question that two categories have belongs to the one where it stands earlier, however many are wanted: with more of
    # them, none that was there before changes its category or its place.
    found: dict[str, dict[str, Question]] = {one.category: {} for one in lists}
    for place in range(prompts.questions_wanted):
        for one in lists:
            others = {key for category, theirs in found.items() if category != one.category for key in theirs}
            await one.fill(prompts.questions_wanted, others)
            identifier, text = one.without(others)[place]
            found[one.category][identifier] = Question(id=identifier, category=one.category, text=text)
    return [question for questions in found.values() for question in questions.values()]


def _holds_questions(text: str) -> str | None:
    return None if parse_question_list(text) else "holds no question"
