"""What the teacher is asked, and the key by which a request finds its response."""

from collections.abc import Sequence
from typing import Any

from tonetune.core.params import Params
from tonetune.core.persona import Persona
from tonetune.core.rows import OWN_WORDS, Message, Question
from tonetune.teacher.endpoint.request import QUESTIONS_SCHEMA, Request


class TeacherPrompts:
    """Builds the requests of one run's params; replay, live and import all build theirs here."""

    def __init__(self, params: Params, persona: Persona):
        self.params = params
        self.persona = persona
        self.prompts = persona.prompts or params.questions.prompts
        self.questions_wanted = min(
            params.questions.per_prompt, persona.questions_per_prompt or params.questions.per_prompt
        )

    @property
    def samples(self) -> int:
        """Persona answers to a question. Somebody's own texts are there once: nobody writes a second in their place."""
        return 1 if self.persona.consent else self.params.answers.samples

    def questions(self, category: str, rounds: Sequence[str], sample: int = 0) -> Request:
        """The request for a category's next list of questions, after the responses of earlier `rounds`."""
        settings = self.params.questions
        messages = [Message(role="user", content=self.prompts[category])]
        for response in rounds:
            messages.append(Message(role="assistant", content=response))
            messages.append(Message(role="user", content=settings.more))
        return self._request(messages, settings.temperature, settings.max_tokens, sample)

    def question_forms(self, category: str, rounds: Sequence[str], sample: int = 0) -> list[Request]:
        """The same request in the forms that `questions.json_schema` allows, the preferred one first."""
        plain = self.questions(category, rounds, sample)
        structured = plain.model_copy(update={"json_schema": QUESTIONS_SCHEMA})
        return {"auto": [structured, plain], "always": [structured], "never": [plain]}[
            self.params.questions.json_schema
        ]

    def plain_answer(self, question: Question, history: Sequence[Message]) -> Request:
        """The request for the plain answer, which is asked first and knows no persona; `history` is a follow-up's plain talk."""
        settings = self.params.answers
        messages = [Message(role="system", content=settings.plain_system), *history]
        messages.append(Message(role="user", content=question.text))
        return self._request(messages, settings.temperature, settings.max_tokens, 0)

    def persona_answer(self, question: Question, plain: str, history: Sequence[Message], sample: int = 0) -> Request:
        """The request for the same answer as the persona would say it; `history` is the talk that a follow-up follows."""
        settings = self.params.answers
        text = settings.persona_user.replace("{question}", question.text).replace("{plain}", plain)
        messages = [Message(role="system", content=self.persona.system), *history]
        messages.append(Message(role="user", content=text))
        return self._request(messages, settings.temperature, settings.max_tokens, sample)

    def reverse_question(self, text: str) -> Request:
        """The request for the question that somebody's own `text` answers."""
        messages = [Message(role="system", content=self.params.questions.reverse), Message(role="user", content=text)]
        return self._sent(messages, self.params.answers.temperature, self.params.answers.max_tokens, 0)

    def plain_twin(self, question: str, answer: str) -> Request:
        """The request for somebody's own `answer` in plain words."""
        messages = [
            Message(role="system", content=self.params.answers.plain_twin),
            Message(role="user", content=f"Question: {question}\n\nAnswer: {answer}"),
        ]
        return self._sent(messages, self.params.answers.temperature, self.params.answers.max_tokens, 0)

    def _request(self, messages: Sequence[Message], temperature: float, max_tokens: int, sample: int) -> Request:
        # Somebody's own texts are of no teacher's making: they replay whoever is the teacher.
        if self.persona.consent:
            return Request(
                base_url=None,
                model=OWN_WORDS,
                messages=tuple(messages),
                temperature=temperature,
                max_tokens=max_tokens,
                sample=sample,
            )
        return self._sent(messages, temperature, max_tokens, sample)

    def _sent(self, messages: Sequence[Message], temperature: float, max_tokens: int, sample: int) -> Request:
        teacher = self.params.teacher
        return Request(
            base_url=teacher.base_url,
            model=teacher.model,
            messages=tuple(messages),
            temperature=temperature,
            max_tokens=max_tokens,
            sample=sample,
            extra_body=seeded(teacher.extra_body, sample) or None,
        )


def seeded(extra_body: dict[str, Any], sample: int) -> dict[str, Any]:
    """The fields with a seed of the sample's own, if they fix one: else all samples to a request would be copies."""
    if isinstance(extra_body.get("seed"), int):
        return extra_body | {"seed": (extra_body["seed"] + sample) % 2**31}
    return extra_body
