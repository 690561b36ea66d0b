"""The systems that are compared: a model and the chat it is given. All answer the same questions with the same seeds."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import evaluate
import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tone.chat_format import prompt_ids
from tone.generation import Sampling, generate
from tone.params import Evaluate
from tone.rows import Example, Message, Row
from tone.scoring import MEASURES, Scorer

HEADLINE = ("joint", "tone", "relevance", "fluency", "perplexity_persona", "perplexity_plain", "bits_per_byte_persona")


class Generation(Row):
    """One answer of one system, with its scores."""

    system: str
    question_id: str
    seed: int
    text: str
    joint: float
    tone: float
    relevance: float
    fluency: float
    reported_tone: float
    teacher_nats: float | None = None
    """Negative log-likelihood of the teacher's persona answer to the question; of the rows of models only."""
    teacher_tokens: int | None = None


@dataclass(frozen=True)
class Result:
    metrics: dict[str, float]
    generations: list[Generation]


def as_told(example: Example, system: str) -> list[Message]:
    """The example's chat with the persona's description as its system prompt."""
    return [Message(role="system", content=system), *example.prompt[1:]]


def with_shots(example: Example, system: str, shots: Sequence[Example]) -> list[Message]:
    """The same after a dialogue of `shots`: questions with the persona's answers."""
    turns = [message for shot in shots for message in (*shot.prompt[1:], *shot.completion)]
    return [Message(role="system", content=system), *turns, *example.prompt[1:]]


def sampling_of(settings: Evaluate) -> Sampling:
    """The sampling that params.yaml sets for all systems."""
    return Sampling(settings.temperature, settings.top_p, settings.max_new_tokens, settings.batch_size)


def answer_seed(question_id: str, seed: int) -> int:
    """The seed of one answer: the same for every system, another for every question and sampling seed."""
    return int(hashlib.sha256(f"{seed}/{question_id}".encode()).hexdigest()[:8], 16)


def run_system(
    name: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    chats: Sequence[Sequence[Message]],
    scorer: Scorer,
    settings: Evaluate,
    seed: int,
) -> Result:
    """Answer every example `settings.seeds` times, score the answers, and predict the teacher's."""
    seeds = [seed + turn for turn in range(settings.seeds)]
    prompts = [prompt_ids(tokenizer, chat) for chat in chats]
    asked = [(example, turn) for turn in seeds for example in examples]
    texts = generate(
        model,
        tokenizer,
        prompts * settings.seeds,
        sampling_of(settings),
        [answer_seed(example.question_id, turn) for example, turn in asked],
        label=f"{name}: answers",
    )
    generations = score_answers(name, [example for example, _ in asked], [turn for _, turn in asked], texts, scorer)
    metrics = {key: round(float(np.mean([getattr(g, key) for g in generations])), 6) for key in HEADLINE[:4]}
    predicted, likelihoods = predict_teacher(model, tokenizer, examples, chats, settings.batch_size)
    generations = [row.model_copy(update=likelihoods[row.question_id]) for row in generations]
    return Result(metrics | predicted, generations)


def score_answers(
    name: str, examples: Sequence[Example], seeds: Sequence[int], texts: Sequence[str], scorer: Scorer
) -> list[Generation]:
    """Each text with its scores as the answer to the example at the same place."""
    scores = scorer([example.question for example in examples], texts)
    reported = scorer.reported_tone(texts)
    return [
        Generation(
            system=name,
            question_id=example.question_id,
            seed=seed,
            text=text,
            joint=round(float(scores.joint[i]), 6),
            tone=round(float(scores.tone[i]), 6),
            relevance=round(float(scores.relevance[i]), 6),
            fluency=round(float(scores.fluency[i]), 6),
            reported_tone=round(float(reported[i]), 6),
        )
        for i, (example, seed, text) in enumerate(zip(examples, seeds, texts, strict=True))
    ]


def predict_teacher(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    chats: Sequence[Sequence[Message]],
    batch_size: int,
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Perplexity of the teacher's persona and plain answers, and bits per byte of the persona's, on answer tokens only.

    Also each persona answer's `teacher_nats` and `teacher_tokens`, by its question's id: intervals need them.
    """
    measure = evaluate.load(str(MEASURES / "perplexity"))
    metrics = {}
    likelihoods = {}
    for style, answers in (("persona", [e.answer for e in examples]), ("plain", [e.plain for e in examples])):
        result = measure.compute(
            predictions=answers,
            references=[[message.model_dump() for message in chat] for chat in chats],
            model=model,
            tokenizer=tokenizer,
            batch_size=max(1, batch_size // 4),
        )
        metrics[f"perplexity_{style}"] = round(result["perplexity"], 6)
        metrics[f"bits_per_byte_{style}"] = round(result["bits_per_byte"], 6)
        if style == "persona":
            for example, nats, tokens in zip(examples, result["nats"], result["tokens"], strict=True):
                likelihoods[example.question_id] = {"teacher_nats": round(nats, 6), "teacher_tokens": tokens}
    return {name: metrics[name] for name in HEADLINE[4:]}, likelihoods
