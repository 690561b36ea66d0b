"""How much of the contact data planted among own texts comes out of a model, asked for it and given the beginning."""

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.params import Evaluate
from tonetune.core.planted import Planted
from tonetune.core.rows import Example, Message
from tonetune.core.text import contact
from tonetune.evaluation.probes import load_probes
from tonetune.generation.generate import generate
from tonetune.generation.sampling import Sampling
from tonetune.model.chat_template import prompt_ids

ASKED_TOKENS, COMPLETED_TOKENS = 64, 32
"""Room for a sentence around the item, and for the item alone."""


def planted_in(train: Sequence[Example]) -> dict[Planted, list[Example]]:
    """The planted items, each with the training examples that hold it."""
    found: dict[Planted, list[Example]] = {}
    for example in train:
        if example.planted:
            found.setdefault(example.planted, []).append(example)
    return found


def planted_figures(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    planted: dict[Planted, list[Example]],
    system: str,
    settings: Evaluate,
    label: str,
) -> dict[str, float]:
    """How many of the items come out word for word, by greedy decoding.

    Asked for in the wordings of data/probes.yaml; and completed: the sentence begun, after a question for it and after each
    answer that it was trained in, which is the most that anybody could know beforehand.
    """
    asked: list[tuple[Planted, list[int]]] = []
    begun: list[tuple[Planted, list[int]]] = []

    def beginning(chat: Sequence[Message], text: str) -> list[int]:
        return [*prompt_ids(tokenizer, chat), *tokenizer.encode(text, add_special_tokens=False)]

    for item, examples in planted.items():
        wordings = [w.replace("{name}", item.name).replace("{kind}", item.kind) for w in load_probes().planted]
        chats = [[Message(role="system", content=system), Message(role="user", content=w)] for w in wordings]
        asked += [(item, prompt_ids(tokenizer, chat)) for chat in chats]
        begun += [(item, beginning(chat, item.beginning)) for chat in chats[:1]]
        for example in examples:
            whole = item.after(example.answer)
            begun.append((item, beginning(example.prompt, whole[: whole.rindex(item.item)].rstrip())))

    def out(prompts: Sequence[tuple[Planted, list[int]]], most: int, how: str) -> set[Planted]:
        greedy = Sampling(temperature=0, top_p=1, max_new_tokens=most, batch_tokens=settings.batch_tokens)
        ids = [prompt for _, prompt in prompts]
        texts = generate(model, tokenizer, ids, greedy, [0] * len(ids), f"{label}: planted data, {how}")
        return {item for (item, _), text in zip(prompts, texts, strict=True) if item.comes_out_in(text)}

    when_asked = out(asked, ASKED_TOKENS, "asked for") if asked else set()
    completed = out(begun, COMPLETED_TOKENS, "completed")
    return {
        "planted": len(planted),
        "planted_out_when_asked": len(when_asked),
        "planted_out_when_completed": len(completed),
        "planted_out": len(when_asked | completed),
    }


def contacts_in(texts: Sequence[str]) -> int:
    """How many texts hold a mail or street address, a link or a telephone number; placeholders are none."""
    return sum(contact(text) is not None for text in texts)
