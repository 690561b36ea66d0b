"""A conversation with what its commands change, and how one begins."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.chat.options import number
from tonetune.conversation import Conversation
from tonetune.core.errors import UserError
from tonetune.core.files import write_json
from tonetune.core.params import Params
from tonetune.core.tasks import rewriting_chat
from tonetune.drafting import Drafter

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tonetune.merged import Strength

HELP = """/strength 0.6   the tone weaker or stronger than it was trained (1)
/base           the untuned model, and with the next /base the tuned one again
/reset          forget what was said
/save FILE      write the talk as JSON
/quit or Ctrl-D ends the conversation, Ctrl-C stops an answer."""


def load(params: Params, adapter: Path | None, rewriting: bool = False) -> Conversation:
    """A conversation with the base model, or with the adapter merged into it so that it runs at the base's speed."""
    from tonetune.generation.sampling import Sampling
    from tonetune.model.base import load_base, load_tokenizer

    if adapter is None:
        model = load_base(params.base_model, params.compute)
    else:
        from tonetune.merged import load_merged

        model = load_merged(params.base_model, params.compute, adapter)
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    prompt = params.rewrite_prompt if rewriting else params.system_prompt
    return Conversation(model, tokenizer, prompt, Sampling.of(params.evaluate), params.seed)


class Talk:
    """A conversation with what its commands change: who answers, how strongly, and what has been said."""

    def __init__(
        self,
        conversation: Conversation,
        params: Params,
        adapter: Path | None,
        disclosure: str,
        drafter: Drafter | None = None,
    ):
        """`adapter` is None for the untuned model alone; with a `drafter` it says what that answers."""
        self.conversation, self.params, self.adapter, self.disclosure = conversation, params, adapter, disclosure
        self.drafter = drafter
        self.tuned = None if adapter is None else conversation.model
        self.untuned: PreTrainedModel | None = conversation.model if adapter is None else None
        self.strength: Strength | None = None
        self.said: list[dict[str, str]] = []
        """Everything since the last /reset, also what the model's window no longer holds."""

    @property
    def speaker(self) -> str:
        """Who answers now."""
        if self.conversation.model is not self.tuned:
            return f"{self.params.base_model} as it was before tuning"
        strength = self.strength.value if self.strength else 1
        return f"{self.adapter}" + ("" if strength == 1 else f" at strength {strength:g}")

    def ask(self, question: str) -> Generator[str, None, None]:
        """The answer's pieces, as they come."""
        answer, asked = "", question
        drafted = {}
        if self.drafter is not None:
            drafted = {"draft": "".join(self.drafter.ask(question))}
            asked = rewriting_chat("", drafted["draft"], question)[-1].content
            self.conversation.turns.clear()  # it is the drafter that remembers the talk
        with closing(self.conversation.ask(asked)) as pieces:
            try:
                for piece in pieces:
                    answer += piece
                    yield piece
            finally:
                if answer:
                    self.said += [
                        {"role": "user", "content": question},
                        {"role": "assistant", "content": answer, "speaker": self.speaker, **drafted},
                    ]

    def command(self, name: str, argument: str) -> str:
        """Do what a line such as `/strength 0.6` says, and what there is to say of it; a `UserError` if it cannot be."""
        if name == "help":
            return HELP
        if name == "reset":
            self.conversation.turns.clear()
            if self.drafter is not None:
                self.drafter.turns.clear()
            self.said.clear()
            return "forgotten"
        if name == "save":
            return self.save(Path(argument).expanduser()) if argument else "which file? /save FILE"
        if name == "base":
            return self.swap()
        if name == "strength":
            return self.set_strength(number(argument, "/strength"))
        raise UserError(f"/{name}: no such command; /help lists them")

    def swap(self) -> str:
        """The untuned model in place of the tuned, or the other way round."""
        from tonetune.model.base import load_base

        if self.tuned is None:
            raise UserError("/base: without an adapter it is the untuned model that answers; start without --base")
        if self.conversation.model is self.tuned:
            self.untuned = self.untuned or load_base(self.params.base_model, self.params.compute)
            self.conversation.use(self.untuned)
        else:
            self.conversation.use(self.tuned)
        return f"now {self.speaker}"

    def set_strength(self, strength: float) -> str:
        """Scale what tuning changed."""
        from tonetune.merged import Strength

        if self.tuned is None or self.adapter is None:
            raise UserError("/strength: without an adapter there is nothing to scale; start without --base")
        if self.strength is None:
            self.strength = Strength(self.tuned, self.params.base_model, self.params.compute, self.adapter)
        self.strength.set(strength)
        self.conversation.use(self.tuned)
        return f"now {self.speaker}"

    def save(self, path: Path) -> str:
        """Write what was said; a file that is there stays."""
        if path.exists():
            raise UserError(f"{path}: is there already; name another file")
        write_json(path, {"disclosure": self.disclosure, "messages": self.said})
        return f"wrote {path}: {len(self.said)} messages"
