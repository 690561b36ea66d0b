"""Greedy answers: the plainest way, transformers' own `generate` one prompt at a time, and a talk in a short window."""

import torch

from tonetune.conversation import Conversation
from tonetune.core.params import Params
from tonetune.generation.sampling import Sampling

WINDOW = 192
QUESTION = "Why is the sky blue?"
GREEDY = Sampling(temperature=0, top_p=1, max_new_tokens=12, batch_tokens=1000)


def one_at_a_time(model, prompts, most):
    """What transformers' own greedy `generate` answers to each prompt alone, up to the end of turn."""
    outs = [
        model.generate(torch.tensor([p]), max_new_tokens=most, do_sample=False)[0][len(p) :].tolist() for p in prompts
    ]
    end = model.generation_config.eos_token_id
    return [out[: out.index(end)] if end in out else out for out in outs]


def greedy(params: Params) -> Sampling:
    return Sampling(temperature=0, top_p=1, max_new_tokens=params.evaluate.max_new_tokens, batch_tokens=1)


def answer(conversation: Conversation, question: str) -> str:
    return "".join(conversation.ask(question))
