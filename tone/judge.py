"""A language model as judge, optional: which of two answers is nearer to the tone, asked in both orders.

A judge prefers what stands first, and text like its own (Zheng et al. 2023, https://arxiv.org/abs/2306.05685): so both
orders are asked, a verdict that turns with the order is a tie, and no model that wrote the data may judge.
"""

from collections.abc import Mapping, Sequence

from tone.endpoints import EndpointModel
from tone.errors import UserError
from tone.params import Params
from tone.persona import Persona
from tone.rows import Answer, Example, Message
from tone.systems import Generation

INSTRUCTIONS = """You compare two answers to the same question. Say which one is nearer to this description of a tone, and \
also answers the question in sound English:

{tone}

Reply with one letter: A or B."""


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
    for other in others:
        pairs = [(first[tuned, e.question_id], first[other, e.question_id]) for e in examples]
        asked = [_chat(persona, e, *pair) for e, pair in zip(examples, pairs, strict=True)]
        asked += [_chat(persona, e, *reversed(pair)) for e, pair in zip(examples, pairs, strict=True)]
        replies = model.respond(asked, [0] * len(asked), 0.0, 4, f"judge: {tuned} or {other}")
        half = len(examples)
        verdicts[other] = outcomes(replies[:half], replies[half:])
    return verdicts


def outcomes(tuned_first: Sequence[str], tuned_second: Sequence[str]) -> dict[str, float]:
    """The shares of wins, ties and losses: a win is "A" where the tuned answer stands first and "B" where it stands second."""
    won = [(a, b) == ("A", "B") for a, b in _letters(tuned_first, tuned_second)]
    lost = [(a, b) == ("B", "A") for a, b in _letters(tuned_first, tuned_second)]
    shares = {"wins": sum(won) / len(won), "losses": sum(lost) / len(lost)}
    return {name: round(share, 6) for name, share in (shares | {"ties": 1 - sum(shares.values())}).items()}


def _letters(one: Sequence[str], other: Sequence[str]) -> list[tuple[str, str]]:
    return [(a.strip()[:1].upper(), b.strip()[:1].upper()) for a, b in zip(one, other, strict=True)]


def _chat(persona: Persona, example: Example, a: str, b: str) -> list[Message]:
    shown: Mapping[str, str] = {"Question": example.question, "A": a, "B": b}
    text = "\n\n".join(f"{name}: {value}" for name, value in shown.items())
    return [
        Message(role="system", content=INSTRUCTIONS.format(tone=persona.system)),
        Message(role="user", content=text),
    ]
