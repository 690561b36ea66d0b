"""Who drafts the plain answer that the tuned model then says in the tone: `chat --draft`."""

from collections.abc import Generator
from pathlib import Path
from typing import Protocol

from tonetune.conversation import Conversation
from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.rows import Message
from tonetune.core.tasks import ANSWER, REWRITE
from tonetune.core.text import first_sentences
from tonetune.evaluation.names import BASE
from tonetune.teacher.endpoint.model import PREFIX, EndpointModel

KNOB = "--draft"


class Drafter(Protocol):
    """Answers questions and remembers the talk."""

    turns: list[Message]

    def ask(self, question: str) -> Generator[str, None, None]:
        """The answer's pieces, as they come."""
        ...


class EndpointDrafter:
    """A model behind an endpoint, asked with the whole talk each time."""

    def __init__(self, name: str, params: Params):
        self.model, self.params = EndpointModel(name, params, KNOB), params
        self.turns: list[Message] = []

    def ask(self, question: str) -> Generator[str, None, None]:
        """The whole answer as one piece."""
        settings = self.params.evaluate
        asked = Message(role="user", content=question.encode(errors="replace").decode())
        chat = [Message(role="system", content=self.params.system_prompt), *self.turns, asked]
        extras = [{"top_p": settings.top_p, "seed": self.params.seed % 2**31}]
        (text,) = self.model.respond(
            [chat], [self.params.seed], settings.temperature, settings.max_new_tokens, "draft", extras
        )
        answer = first_sentences(text, settings.max_sentences)
        self.turns += [asked, Message(role="assistant", content=answer)]
        yield answer


def drafter(source: str, params: Params) -> Drafter:
    """What `source` says: `base` (without its adapter), a model in base_model's forms, or `endpoint:<model>[@<URL>]`.

    A `UserError` if it cannot be loaded.
    """
    if source.startswith(PREFIX):
        return EndpointDrafter(source, params)
    from tonetune.generation.sampling import Sampling
    from tonetune.model.base import load_other

    model, tokenizer = load_other(params.base_model if source == BASE else source, params, KNOB)
    return Conversation(model, tokenizer, params.system_prompt, Sampling.of(params.evaluate), params.seed)


def check_task(adapter: Path, drafts: bool) -> None:
    """A `UserError` if the adapter has not learnt what it is asked for: to answer, or to say a draft in the tone."""
    from tonetune.merged import task_of

    task = task_of(adapter)
    if adapter.is_dir() and drafts and task == ANSWER:
        raise UserError(
            f"--draft: {adapter} has learnt to answer, not to rewrite; set train.task: both, then `dvc repro`"
        )
    if not drafts and task == REWRITE:
        raise UserError(
            f"{adapter}: it has learnt to rewrite, not to answer; use --draft base, or python -m scripts.rewrite"
        )
