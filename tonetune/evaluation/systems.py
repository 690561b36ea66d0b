"""The systems that are compared: a model and the chat it is given. All answer the same questions with the same seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import evaluate
import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.params import Evaluate, Params
from tonetune.core.rows import Example, Generation, Message
from tonetune.evaluation.lockstep import Answerer, Dialogue, Turn
from tonetune.generation.generate import generate
from tonetune.generation.sampling import Sampling, answer_seed
from tonetune.model.chat_template import prompt_ids
from tonetune.scoring.scorer import MEASURES, Scorer

# The headline metrics: of what a system answers, and of how well it predicts what the teacher answered.
ANSWERED = ("joint", "tone", "relevance", "fluency")


PREDICTED = ("perplexity_persona", "perplexity_plain", "bits_per_byte_persona", "bits_per_byte_plain")


def as_told(example: Example, told: str) -> list[Message]:
    """The example's chat with `told` as its system prompt."""
    return [Message(role="system", content=told), *example.prompt[1:]]


def with_shots(example: Example, told: str, shots: Sequence[Example]) -> list[Message]:
    """The same after a dialogue of `shots`: questions with the persona's answers."""
    turns = [message for shot in shots for message in (*shot.prompt[1:], *shot.completion)]
    return [Message(role="system", content=told), *turns, *example.prompt[1:]]


@dataclass(frozen=True)
class Responder:
    """What answers: a model on this machine, or (`model` None) one behind an endpoint, which tells no likelihoods."""

    answer: Answerer
    model: PreTrainedModel | None = None
    tokenizer: PreTrainedTokenizerBase | None = None


def local_responder(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Evaluate) -> Responder:
    """A model on this machine, with the sampling of params.yaml."""

    def answer(chats: Sequence[Sequence[Message]], seeds: Sequence[int], label: str) -> list[str]:
        prompts = [prompt_ids(tokenizer, chat) for chat in chats]
        return generate(model, tokenizer, prompts, Sampling.of(settings), seeds, label)

    return Responder(answer, model, tokenizer)


class TestSet:
    """Systems that answer the same questions with the same sampling seeds; their scored answers gather here."""

    def __init__(self, examples: Sequence[Example], scorer: Scorer, params: Params):
        self.examples = examples
        self.scorer = scorer
        self.seeds = [params.seed + turn for turn in range(params.evaluate.seeds)]
        self.forward_tokens = params.evaluate.forward_tokens
        self.generations: list[Generation] = []

    def enter(self, name: str, contestant: Responder, chats: Sequence[Sequence[Message]]) -> Dialogue[dict[str, float]]:
        """Ask the system `chats`, one for each example; its headline metrics."""
        rows = yield from run_system(name, self.examples, chats, self.scorer, self.seeds)
        metrics = mean_scores(rows)
        if contestant.model is not None and contestant.tokenizer is not None:
            predicted, likelihoods = predict_teacher(
                contestant.model, contestant.tokenizer, self.examples, chats, self.forward_tokens
            )
            metrics |= predicted
            rows = [row.model_copy(update=likelihoods[row.question_id]) for row in rows]
        self.generations += rows
        return metrics


def run_system(
    name: str,
    examples: Sequence[Example],
    chats: Sequence[Sequence[Message]],
    scorer: Scorer,
    seeds: Sequence[int],
) -> Dialogue[list[Generation]]:
    """Ask every example's chat once for each sampling seed, and score the answers."""
    asked = [(example, chat, seed) for seed in seeds for example, chat in zip(examples, chats, strict=True)]
    texts = yield Turn(
        [chat for _, chat, _ in asked], [answer_seed(example.question_id, seed) for example, _, seed in asked]
    )
    return score_answers(name, [example for example, _, _ in asked], [seed for _, _, seed in asked], texts, scorer)


def mean_scores(generations: Sequence[Generation]) -> dict[str, float]:
    """The mean of each score over the answers, under the headline's names."""
    return {key: round(float(np.mean([getattr(g, key) for g in generations])), 6) for key in ANSWERED}


def best_prompt(
    examples: Sequence[Example], candidates: Sequence[Sequence[Sequence[Message]]], scorer: Scorer, seed: int
) -> Dialogue[int]:
    """Which of the `candidates` (each the chats for all examples) gets the highest joint score; ties go to the first.

    The examples are validation questions, so that the test questions choose nothing.
    """
    if len(candidates) == 1:
        return 0
    every = [chat for chats in candidates for chat in chats]
    rows = yield from run_system("candidates", [*examples] * len(candidates), every, scorer, [seed])
    joints = np.array([row.joint for row in rows]).reshape(len(candidates), len(examples)).mean(1)
    return int(joints.round(6).argmax())


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
    batch_tokens: int,
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Perplexity and bits per byte of the teacher's persona and plain answers, on answer tokens only.

    Also the negative log-likelihood and the tokens of each answer, by its question's id: intervals need them.
    """
    measure = evaluate.load(str(MEASURES / "perplexity"))
    metrics: dict[str, float] = {}
    likelihoods: dict[str, dict[str, float]] = {example.question_id: {} for example in examples}
    for style, answers in (("persona", [e.answer for e in examples]), ("plain", [e.plain for e in examples])):
        result = measure.compute(
            predictions=answers,
            references=[[message.model_dump() for message in chat] for chat in chats],
            model=model,
            tokenizer=tokenizer,
            batch_tokens=batch_tokens,
        )
        metrics[f"perplexity_{style}"] = round(result["perplexity"], 6)
        metrics[f"bits_per_byte_{style}"] = round(result["bits_per_byte"], 6)
        for example, nats, tokens in zip(examples, result["nats"], result["tokens"], strict=True):
            likelihoods[example.question_id] |= {f"{style}_nats": round(nats, 6), f"{style}_tokens": tokens}
    return {name: metrics[name] for name in PREDICTED}, likelihoods
