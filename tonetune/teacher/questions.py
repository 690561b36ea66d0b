"""Questions from the teacher, a list at a time, until there are enough different ones."""

import re
from collections.abc import Container

from tonetune.core.errors import UserError
from tonetune.core.rows import Question, question_id
from tonetune.core.text import excerpt
from tonetune.teacher.endpoint.protocol import ResponseCheck, Teacher, together
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.question_list import parse_question_list

STALE = 0.1  # a list with a smaller share of new questions mostly repeats
MAX_ROUNDS = 4  # times the lists that are needed if each brings only new questions
NUMBER = re.compile(r"\d+")


class QuestionList:
    """The questions of one category, and the responses they come from."""

    def __init__(self, prompts: TeacherPrompts, teacher: Teacher, category: str):
        self.prompts = prompts
        self.teacher = teacher
        self.category = category
        self.rounds: list[str] = []
        self.texts: dict[str, str] = {}
        self.longest = 0  # questions of one list

    def without(self, taken: Container[str]) -> list[tuple[str, str]]:
        """(id, text) of the questions whose id is not in `taken`, in order."""
        return [(identifier, text) for identifier, text in self.texts.items() if identifier not in taken]

    async def fill(self, wanted: int, taken: Container[str]) -> None:
        """Ask, each time with all earlier responses before the request, until `wanted` questions are not in `taken`."""
        stale = sample = 0
        patience = self.prompts.params.questions.stale_rounds
        while len(self.without(taken)) < wanted:
            # With the whole history before each request, many lists that bring little cost more and more.
            if self.longest and len(self.rounds) > patience + MAX_ROUNDS * (1 + wanted // self.longest):
                raise UserError(
                    f"questions.prompts.{self.category}: {len(self.rounds)} lists brought {len(self.without(taken))} of {wanted} "
                    "questions; lower questions.per_prompt or reword the prompt"
                )
            if stale > patience:
                raise UserError(
                    f"questions.prompts.{self.category}: the teacher keeps repeating itself: {stale} lists in a row had "
                    f"hardly a new question after {len(self.without(taken))} of {wanted}; lower questions.per_prompt or "
                    "reword the prompt"
                )
            forms = self.prompts.question_forms(self.category, self.rounds, sample)
            check = self._holds_enough(wanted - len(self.without(taken)))
            response = await self.teacher.respond(*forms, about=self.category, check=check, whole=False)
            listed = parse_question_list(response.text)
            self.longest = max(self.longest, len(listed))
            new = {question_id(text): text for text in listed if question_id(text) not in self.texts}
            stale = stale + 1 if len(new) < STALE * self.longest or not new else 0
            if new:
                self.texts |= new
                self.rounds.append(response.text)
                sample = 0
            else:
                sample += 1  # a list of repeats would only invite more of them: ask the same once more instead

    def _holds_enough(self, missing: int) -> ResponseCheck:
        """What a live teacher's list must hold: a tenth of the number in the prompt, or what is still missing.

        Less is a list that was not understood, and to ask on with it before the next request would pay for it again and again.
        """
        asked = max(map(int, NUMBER.findall(self.prompts.prompts[self.category])), default=0)
        least = max(1, min(int(STALE * asked), missing))

        def check(text: str) -> str | None:
            count = len(parse_question_list(text))
            if count >= least:
                return None
            of = f" of {asked}" if asked else ""
            return f"questions.prompts.{self.category}: a list with {count} questions{of} that can be read ({excerpt(text)!r})"

        return check


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
