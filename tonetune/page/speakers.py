"""Who answers on the page: the tuned model, the untuned base, and the prompted base."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tonetune.conversation import Conversation
from tonetune.core.params import Params
from tonetune.core.persona import Persona, load_persona
from tonetune.core.rows import Message
from tonetune.core.tasks import ANSWER, rewriting_chat
from tonetune.core.text import in_parts
from tonetune.evaluation.lineup import PATH as BASELINES
from tonetune.evaluation.lineup import Baselines
from tonetune.evaluation.names import BASE, BASE_PROMPTED, TUNED
from tonetune.generation.sampling import Sampling
from tonetune.merged import disclosure_of, load_merged, task_of
from tonetune.model.base import load_base, load_tokenizer
from tonetune.page.parts import sentences_of_a_part

LABELS = {TUNED: "Tuned", BASE: "Untuned base", BASE_PROMPTED: "Untuned base, prompted"}
REWRITE = "Say this in your own words, the same points:\n\n{text}"


class Speakers:
    """The three systems of the page, under the names that the evaluation gives them."""

    def __init__(self, params: Params, adapter: Path):
        """A `UserError` if `adapter` is missing, damaged or another base's."""
        persona = load_persona(params.persona)
        tuned, base = (
            load_merged(params.base_model, params.compute, adapter),
            load_base(params.base_model, params.compute),
        )
        self.models = {TUNED: tuned, BASE: base, BASE_PROMPTED: base}
        self.systems = {
            TUNED: params.system_prompt,
            BASE: params.system_prompt,
            BASE_PROMPTED: wording(params, persona),
        }
        self.tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
        self.sampling = Sampling.of(params.evaluate)
        self.learnt_rewriting = task_of(adapter) != ANSWER
        self.rewrite_prompt = params.rewrite_prompt if self.learnt_rewriting else params.system_prompt
        self.part = sentences_of_a_part(params)
        self.base_model, self.seed = params.base_model, params.seed
        self.persona = params.persona
        self.disclosure = disclosure_of(adapter) or persona.disclosure

    def answer(self, name: str, question: str, seed: int, history: Sequence[Message] = ()) -> Iterator[str]:
        """The answer so far, again and again until it is whole; the same question and seed give the same answer.

        `history` are earlier questions and answers. A `UserError` if the question does not fit the model's window.
        """
        conversation = Conversation(self.models[name], self.tokenizer, self.systems[name], self.sampling, seed)
        conversation.turns = list(history)
        said = ""
        for piece in conversation.ask(question):
            said += piece
            yield said

    def rewrite(self, text: str, seed: int) -> Iterator[str]:
        """The text so far in the persona's tone, line by line and part by part, so that no sentence of it is left out.

        A `UserError` if a part does not fit the model's window.
        """
        said = ""
        for number, line in enumerate(text.strip().splitlines()):
            said += "\n" if number else ""
            for place, part in enumerate(in_parts(line.strip(), self.part)):
                asked = rewriting_chat("", part)[-1].content if self.learnt_rewriting else REWRITE.format(text=part)
                conversation = Conversation(
                    self.models[TUNED], self.tokenizer, self.rewrite_prompt, self.sampling, seed
                )
                said += " " if place else ""
                for piece in conversation.ask(asked):
                    said += piece
                    yield said


def wording(params: Params, persona: Persona) -> str:
    """The prompt that tells the base who to be: the one that was best on validation, before a run the first."""
    chosen = 1
    if BASELINES.exists():
        chosen = Baselines.read(BASELINES).systems.get(BASE_PROMPTED, {}).get("prompt", 1)
    prompts = params.evaluate.prompts
    return prompts[min(chosen, len(prompts)) - 1].replace("{system}", persona.system)
