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
from tonetune.report.samples import first_answers
from tonetune.teacher.endpoint.model import judge_model

INSTRUCTIONS = """You compare two answers to the same question. Say which one is nearer to this description of a tone, and \
also answers the question in sound English:

{tone}

Reply with one letter: A or B."""
UNCLEAR_SHARE = 0.1
# "A" is an answer and an article: before a small word it is the answer only if that word is one that verdicts go on with.
AFTER = r"(?:is|was|has|does|wins?|sounds?|seems?|fits?|reads?|feels?|comes|matches|captures|answers|because|and|by|over|as|since)\b"
LETTER = re.compile(rf"(?<![\w'’])(?:A(?![\w'’]|\s+(?!{AFTER})[a-z])|B(?![\w'’]))")
NAMED = re.compile(
    r"(?:answer|option|verdict|choice|winner|edge to|nearer|closer|better|prefer|pick|choose)\W+(?:is\W+|to\W+|:\W*)*([AB])(?![\w'’])",
    re.I,
)


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
    settings = params.evaluate
    if settings.judge is None:
        return {}
    sampled = settings.judge_temperature, settings.judge_max_tokens
    model = judge_model(params, answers)
    first = {key: row.text for key, row in first_answers(generations).items()}

    verdicts = {}
    every: list[str] = []
    for other in others:
        answered = [e for e in examples if (other, e.question_id) in first]  # a recorded rival may lack some
        pairs = [(first[tuned, e.question_id], first[other, e.question_id]) for e in answered]
        asked = [_chat(persona, e, *pair) for e, pair in zip(answered, pairs, strict=True)]
        asked += [_chat(persona, e, *reversed(pair)) for e, pair in zip(answered, pairs, strict=True)]
        try:
            replies = model.respond(asked, [0] * len(asked), *sampled, f"judge: {tuned} or {other}")
        except UserError as error:  # the report does not go without its figures for want of an opinion
            print(f"warning: {error}; no verdicts on {other}", file=sys.stderr)
            continue
        half = len(answered)
        verdicts[other] = outcomes(replies[:half], replies[half:])
        every += replies
    if every and (problem := unclear(every)):
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
    """The A or B that a reply names as the answer, or else the first that stands by itself and is no article.

    A small letter counts only if it is all there is, as "a" is a word.
    """
    bare = reply.strip().strip("*()[].:\"' ")
    if len(bare) == 1:
        return bare.upper() if bare.upper() in "AB" else None
    named = [found for found in NAMED.finditer(reply) if found[1].isupper()]
    if named and len({found[1] for found in named}) == 1:
        return named[0][1]
    first = LETTER.search(reply)
    return first.group() if first else None


def _chat(persona: Persona, example: Example, a: str, b: str) -> list[Message]:
    shown: Mapping[str, str] = {"Question": example.question, "A": a, "B": b}
    text = "\n\n".join(f"{name}: {value}" for name, value in shown.items())
    return [
        Message(role="system", content=INSTRUCTIONS.format(tone=persona.system)),
        Message(role="user", content=text),
    ]
