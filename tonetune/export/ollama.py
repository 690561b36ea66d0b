"""A Modelfile for Ollama: the chat template as Ollama writes it, stop tokens, system prompt, sampling, licence, disclosure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.rows import Message
from tonetune.export.provenance import Provenance
from tonetune.model.chat_template import end_of_turn

MODELFILE = "Modelfile"
ROLES: tuple[Literal["system", "user", "assistant"], ...] = ("system", "user", "assistant")
SENTINELS = ("\ue001", "\ue002", "\ue003", "\ue004")  # private characters, which no template holds
INSTRUCTION = re.compile(r'^([A-Z]+) (?:"""(.*?)"""|([^\n]*))$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Turns:
    """A chat template that is a series of turns: what stands before and after a message of each role, and before an answer."""

    before: dict[str, str]
    after: dict[str, str]
    answer: str

    def render(self, chat: Sequence[Message]) -> str:
        """The chat as text, up to where the answer begins."""
        return "".join(self.before[m.role] + m.content + self.after[m.role] for m in chat) + self.answer

    def go_template(self) -> str:
        """The same in the language of Go's templates, which Ollama reads."""
        cases = [f'if eq .Role "{role}" }}}}{self.before[role]}{{{{ .Content }}}}{self.after[role]}' for role in ROLES]
        return "{{ range .Messages }}{{ " + "{{ else ".join(cases) + "{{ end }}{{ end }}" + self.answer


def turns(tokenizer: PreTrainedTokenizerBase) -> Turns:
    """The turns of the tokenizer's chat template; a `UserError` if it is more than a series of turns."""
    system, user, assistant, again = SENTINELS
    chat = [("system", system), ("user", user), ("assistant", assistant), ("user", again)]

    def rendered(count: int, answer: bool) -> str:
        messages = [{"role": role, "content": content} for role, content in chat[:count]]
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer))

    try:
        before_system, after_system = rendered(1, False).split(system)
        ended = [rendered(count, False) for count in range(1, 5)]
        starts = [ended[i][len(ended[i - 1]) :].split(chat[i][1]) for i in range(1, 4)]
        (before_user, after_user), (before_answer, after_answer), last = starts
    except ValueError:
        raise unlike_turns() from None
    found = Turns(
        {"system": before_system, "user": before_user, "assistant": before_answer},
        {"system": after_system, "user": after_user, "assistant": after_answer},
        rendered(4, True)[len(ended[3]) :],
    )
    whole = [Message(role=role, content=content) for role, content in chat]  # type: ignore[arg-type]
    literal = "".join([*found.before.values(), *found.after.values(), found.answer])
    if last != [before_user, after_user] or found.render(whole) != rendered(4, True) or "{{" in literal:
        raise unlike_turns()
    return found


def unlike_turns() -> UserError:
    return UserError(
        "base_model: its chat template is more than a series of turns, which no Modelfile can be made of here; "
        "`export gguf` carries the template itself, which llama.cpp and LM Studio read"
    )


def modelfile(file: str, tokenizer: PreTrainedTokenizerBase, params: Params, source: Provenance) -> str:
    """The Modelfile of the GGUF `file` beside it: Ollama's own defaults for sampling are other ones, so all are set."""
    settings = params.evaluate
    parameters = {
        "temperature": settings.temperature,
        "top_p": settings.top_p if settings.temperature else 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "num_predict": settings.max_new_tokens,
    }
    provenance = (
        f"base {source.base.base_model}, training data {source.data or 'unknown'}, commit {source.commit or 'unknown'}"
    )
    lines = [
        f"# {source.disclosure}",
        f"# {provenance}",
        f"FROM ./{file}",
        f'TEMPLATE """{turns(tokenizer).go_template()}"""',
    ]
    lines += [f"PARAMETER stop {stop}" for stop in stop_texts(tokenizer)]
    lines += [f"PARAMETER {name} {value}" for name, value in parameters.items()]
    base = source.base.licence or "its own licence"
    licence = f"{source.disclosure}\nWeights: those of {source.base.hub or source.base.base_model} ({base}), tuned."
    return "\n".join([*lines, f'SYSTEM """{source.system_prompt}"""', f'LICENSE """{licence}"""']) + "\n"


def stop_texts(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The tokens that end an answer, as text."""
    ends = {end_of_turn(tokenizer), tokenizer.eos_token_id} - {None}
    return [str(tokenizer.convert_ids_to_tokens(token)) for token in sorted(ends)]


def instructions(text: str) -> dict[str, list[str]]:
    """What a Modelfile says: the values of each instruction, and of `PARAMETER <name>`, in their order."""
    found: dict[str, list[str]] = {}
    for name, quoted, plain in INSTRUCTION.findall(text):
        value = quoted or plain
        if name == "PARAMETER":
            parameter, _, value = value.partition(" ")
            name = f"PARAMETER {parameter}"
        found.setdefault(name, []).append(value)
    return found
