"""A language model as judge, optional: which of two answers is nearer to the tone, asked in both orders.

A judge prefers what stands first, and text like its own (Zheng et al. 2023, https://arxiv.org/abs/2306.05685): so both
orders are asked, a verdict that turns with the order is a tie, and no model that wrote the data may judge.
"""

import re
import sys
from collections.abc import Mapping, Sequence

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.persona import Persona
from tonetune.core.rows import Answer, Example, Generation, Message
from tonetune.core.text import excerpt
from tonetune.teacher.endpoint.model import EndpointModel

INSTRUCTIONS = """You compare two answers to the same question. Say which one is nearer to this description of a tone, and \
also answers the question in sound English:

{tone}

Reply with one letter: A or B."""
REPLY_TOKENS = 16  # room for an "Answer: B": a reply that is cut off counts as none
UNCLEAR_SHARE = 0.1
LETTER = re.compile(r"\b[AB]\b")


def judge(
    params: Params,
    persona: Persona,
    examples: Sequence[Example],
    generations: Sequence[Generation],
    answers: Sequence[Answer],
    tuned: str,
    others: Sequence[str],
) -> dict[str, dict[str, float]]:
    """For each of the `others` the shares of questions that `tuned` wins, ties and loses, by the model `evaluate.judge`.

    Compared are the answers with the first sampling seed. `answers` are the teacher's: whoever wrote them cannot judge.
    """
    if params.evaluate.judge is None:
        return {}
    model = EndpointModel(params.evaluate.judge, params, "evaluate.judge")
    if model.settings.model in {params.teacher.model, *(answer.teacher for answer in answers)}:
        raise UserError(f"evaluate.judge: {model.settings.model!r} wrote the data; choose another model")
    first: dict[tuple[str, str], str] = {}
    for row in generations:
        first.setdefault((row.system, row.question_id), row.text)

    verdicts = {}
    every: list[str] = []
    for other in others:
        pairs = [(first[tuned, e.question_id], first[other, e.question_id]) for e in examples]
        asked = [_chat(persona, e, *pair) for e, pair in zip(examples, pairs, strict=True)]
        asked += [_chat(persona, e, *reversed(pair)) for e, pair in zip(examples, pairs, strict=True)]
        replies = model.respond(asked, [0] * len(asked), 0.0, REPLY_TOKENS, f"judge: {tuned} or {other}")
        half = len(examples)
        verdicts[other] = outcomes(replies[:half], replies[half:])
        every += replies
    if problem := unclear(every):
        print(f"warning: evaluate.judge: {model.settings.model}: {problem}", file=sys.stderr)
    return verdicts


def outcomes(tuned_first: Sequence[str], tuned_second: Sequence[str]) -> dict[str, float]:
    """The shares of wins, ties and losses: a win is "A" where the tuned answer stands first and "B" where it stands second.

    A reply that names neither letter makes its pair a tie.
    """
    letters = [(_letter(a), _letter(b)) for a, b in zip(tuned_first, tuned_second, strict=True)]
    won = [pair == ("A", "B") for pair in letters]
    lost = [pair == ("B", "A") for pair in letters]
    shares = {"wins": sum(won) / len(won), "losses": sum(lost) / len(lost)}
    return {name: round(share, 6) for name, share in (shares | {"ties": 1 - sum(shares.values())}).items()}


def unclear(replies: Sequence[str]) -> str | None:
    """What to warn of where more than a tenth of the replies name neither A nor B."""
    odd = [reply for reply in replies if _letter(reply) is None]
    if len(odd) <= UNCLEAR_SHARE * len(replies):
        return None
    return f"{len(odd)} of {len(replies)} replies name neither A nor B, which makes ties, such as {excerpt(odd[0])!r}"


def _letter(reply: str) -> str | None:
    """The first A or B that stands by itself; a small letter only if it is all there is, as "a" is a word."""
    found = LETTER.search(reply if len(reply.strip()) > 1 else reply.upper())
    return found.group() if found else None


def _chat(persona: Persona, example: Example, a: str, b: str) -> list[Message]:
    shown: Mapping[str, str] = {"Question": example.question, "A": a, "B": b}
    text = "\n\n".join(f"{name}: {value}" for name, value in shown.items())
    return [
        Message(role="system", content=INSTRUCTIONS.format(tone=persona.system)),
        Message(role="user", content=text),
    ]
