"""A language model as one of the readers: the same items as on the blind sheet, asked one by one through an endpoint."""

import re
from collections.abc import Sequence

from tonetune.core.params import Evaluate
from tonetune.core.persona import Persona
from tonetune.core.rows import Message
from tonetune.report.readers import HIGHEST, Item, Reading
from tonetune.teacher.endpoint.model import EndpointModel

# The scale of docs/readers.md, in the words that people get.
INSTRUCTIONS = """You read one answer to a question and give two ratings, each from 0 to 3, independently of each other.

Sense. 0: nonsense, the sentences do not hang together or say nothing about the question. 1: mostly muddled, a thread is \
recognisable. 2: makes sense with flaws (a slip, a repeat, slightly beside the point, cut off at the end). 3: a sensible, \
also if joking, answer to this question. Word salad in good grammar is not sensible.

Tone: how much it sounds like this speaker talking off the cuff. 0: not at all, 1: a little, 2: clearly, 3: strongly. \
Nonsense can have the tone. The speaker: {tone}

Reply with the two digits alone, sense first, such as: 2 1"""
DIGITS = re.compile(rf"\b[0-{HIGHEST}]\b")


def ask_model(
    model: EndpointModel, items: Sequence[Item], persona: Persona, settings: Evaluate
) -> tuple[list[Reading], int]:
    """The model's readings of the items, in their order, and the number of replies that are no two ratings.

    It is asked as the judge is: `settings` has its temperature and its tokens.
    """
    system = Message(role="system", content=INSTRUCTIONS.format(tone=persona.system))
    chats = [
        [system, Message(role="user", content=f"Question: {item.question}\n\nAnswer: {item.answer}")] for item in items
    ]
    sampled = settings.judge_temperature, settings.judge_max_tokens
    replies = model.respond(chats, [0] * len(chats), *sampled, f"reading: {model.settings.model}")
    ratings = [two_ratings(reply) for reply in replies]
    readings = [
        Reading(id=item.id, reader=model.settings.model, sense=given[0], tone=given[1])
        for item, given in zip(items, ratings, strict=True)
        if given
    ]
    return readings, sum(given is None for given in ratings)


def two_ratings(reply: str) -> tuple[int, int] | None:
    """Sense and tone, if the reply holds two ratings and no more."""
    found = DIGITS.findall(reply)
    return (int(found[0]), int(found[1])) if len(found) == 2 else None
