"""A talk with the tiny model in a short window."""

from tonetune.conversation import Conversation
from tonetune.core.params import Params
from tonetune.generation.sampling import Sampling

WINDOW = 192
QUESTION = "Why is the sky blue?"


def greedy(params: Params) -> Sampling:
    return Sampling(temperature=0, top_p=1, max_new_tokens=params.evaluate.max_new_tokens, batch_tokens=1)


def answer(conversation: Conversation, question: str) -> str:
    return "".join(conversation.ask(question))
