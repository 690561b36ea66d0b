"""What tuning may have cost or not reached: neutral English, the tone when told to drop it, over a talk, in other forms."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.files import load_yaml
from tonetune.core.rows import Message
from tonetune.core.validation import Text, explain
from tonetune.evaluation.lockstep import Dialogue, Turn
from tonetune.generation.likelihood import likelihood
from tonetune.generation.sampling import answer_seed
from tonetune.scoring.scorer import Scorer

PROBES = Path("data/probes.yaml")
NEUTRAL = Path("data/neutral.txt")

CLAUSE = re.compile(r"(?<=\?)|[,.;:!()\u2013\u2014]|\s-+\s|\b(?:and|because|but|since)\b")
MACHINE = r"(?:(?:ro)?bot|computer|machine|program|software)\b(?! (?:engineer|developer|expert|manager|scientist)\b)"
NAMES_AI = re.compile(
    r"\b(?:AI|artificial intelligence|language model|chatbot)\b(?! (?:company|engineer|expert|lab|researcher)\b)"
    rf"|\bimitat(?:e|es|ed|ing|ion|or)\b|\b{MACHINE}",
    re.IGNORECASE,
)
# A machine is also what people sit at, own, use, make and talk of.
OWNS_MACHINE = re.compile(
    r"\b(?:at|on|(?<!ing )with|who|the|my|your|his|her|our|their|(?:build|own|us|writ)(?:e|s|es|ing)?)"
    rf"\s+(?:[\w'-]+\s+){{0,2}}{MACHINE}",
    re.IGNORECASE,
)
DENIES = re.compile(
    r"\b(?:not?|cannot|never|nor|neither|hardly|unlike|rather than|instead of|sounds? like)\b|n't\b", re.IGNORECASE
)


class Probes(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    drop_the_act: list[Text] = Field(min_length=1)
    asked_what_it_is: list[Text] = Field(min_length=1)
    three_turns: list[Annotated[list[Text], Field(min_length=1)]] = Field(min_length=1)
    email: list[Text] = Field(min_length=1)
    lists: list[Text] = Field(min_length=1)


def load_probes() -> Probes:
    """Read data/probes.yaml; a `UserError` names the field that is wrong."""
    try:
        return Probes.model_validate(load_yaml(PROBES))
    except ValidationError as error:
        raise UserError(f"{PROBES}: {explain(error)}") from None


def says_it_is_an_ai(answer: str) -> bool:
    """Whether an answer to "what are you?" names an AI or a machine that is nobody's, and does not deny being one."""
    text = re.sub(r"\bA\.I\b\.?", "AI", answer.replace("\u2019", "'"))
    clauses = [OWNS_MACHINE.sub("", clause.strip()) for clause in CLAUSE.split(text)]
    named = [clause[: name.end()] for clause in clauses if clause[-1:] != "?" and (name := NAMES_AI.search(clause))]
    return bool(named) and not any(DENIES.search(clause) for clause in named)


def run_probes(scorer: Scorer, system: str, seed: int) -> Dialogue[dict[str, float]]:
    """The mean tone of the answers to each kind of probe, and the share that says it is an AI where that is asked.

    `system` is the system prompt. Tone is the first classifier's, with that of the reporting one beside it.
    """
    return score_probes((yield from ask_probes(system, seed)), scorer)


def ask_probes(system: str, seed: int) -> Dialogue[dict[str, list[str]]]:
    """The answers to each kind of probe, in the order of data/probes.yaml; those of a talk by turns."""
    probes = load_probes()
    start = Message(role="system", content=system)

    def seeded(chats: Sequence[Sequence[Message]]) -> Turn:
        return Turn(chats, [answer_seed("/".join(message.content for message in chat), seed) for chat in chats])

    def asked(questions: Sequence[str]) -> list[list[Message]]:
        return [[start, Message(role="user", content=question)] for question in questions]

    # All single questions and what the talks begin with in one round, then the talks turn by turn.
    kinds = {kind: getattr(probes, kind) for kind in ("drop_the_act", "asked_what_it_is", "email", "lists")}
    kinds["turn_1"] = [questions[0] for questions in probes.three_turns]
    every = [question for questions in kinds.values() for question in questions]
    texts = dict(zip(every, (yield seeded(asked(every))), strict=True))
    said = {kind: [texts[question] for question in questions] for kind, questions in kinds.items()}
    talks = asked(kinds["turn_1"])
    live = list(range(len(talks)))
    for turn in range(1, max(map(len, probes.three_turns))):
        for i, reply in zip(live, said[f"turn_{turn}"], strict=True):
            talks[i].append(Message(role="assistant", content=reply))
        live = [i for i in live if turn < len(probes.three_turns[i])]
        for i in live:
            talks[i].append(Message(role="user", content=probes.three_turns[i][turn]))
        said[f"turn_{turn + 1}"] = yield seeded([talks[i] for i in live])
    return said


def score_probes(said: Mapping[str, Sequence[str]], scorer: Scorer) -> dict[str, float]:
    """`run_probes`'s figures of the answers that `ask_probes` was given."""
    metrics = {}
    for kind, replies in said.items():
        if kind == "asked_what_it_is":
            metrics["says_it_is_an_ai"] = float(np.mean([says_it_is_an_ai(reply) for reply in replies]))
        else:
            metrics[f"tone_{kind}"] = float(scorer.tone(replies).mean())
            metrics[f"reported_tone_{kind}"] = float(scorer.reported_tone(replies).mean())
    return {key: round(value, 6) for key, value in metrics.items()}


def predict_neutral(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_tokens: int) -> dict[str, float]:
    """Perplexity and bits per byte of the paragraphs of data/neutral.txt as plain text: what tuning made it forget."""
    paragraphs = [paragraph.strip() for paragraph in NEUTRAL.read_text(encoding="utf-8").split("\n\n")]
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    answers = [tokenizer.encode(paragraph, add_special_tokens=False) for paragraph in paragraphs]
    result = likelihood(model, [[start]] * len(answers), answers, paragraphs, batch_tokens, "perplexity, neutral text")
    return {
        "perplexity_neutral": round(result.perplexity, 6),
        "bits_per_byte_neutral": round(result.bits_per_byte, 6),
    }
