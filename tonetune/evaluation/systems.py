"""The systems that are compared: a model and the chat it is given. All answer the same questions with the same seeds."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial

import evaluate
import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.params import Evaluate, Params
from tonetune.core.persona import Persona
from tonetune.core.rows import BASICS, SCORES, Example, Generation, Message
from tonetune.core.tasks import REWRITE, posed
from tonetune.core.text import first_sentences
from tonetune.evaluation.batch import Answerer, SeededChats, answer_together
from tonetune.evaluation.names import FEWSHOT, PROMPTED, WAYS
from tonetune.generation.generate import generate
from tonetune.generation.sampling import Sampling, answer_seed
from tonetune.model.chat_template import prompt_ids
from tonetune.scoring.scorer import MEASURES, Scorer
from tonetune.teacher.endpoint.thoughts import without_thoughts

# The headline metrics: of what a system answers, and of how well it predicts what the teacher answered.
PREDICTED = ("perplexity_persona", "perplexity_plain", "bits_per_byte_persona", "bits_per_byte_plain")


def with_system_prompt(example: Example, system_prompt: str) -> list[Message]:
    """The example's chat under another system prompt."""
    return [Message(role="system", content=system_prompt), *example.prompt[1:]]


def with_shots(example: Example, system_prompt: str, shots: Sequence[Example]) -> list[Message]:
    """The same after a dialogue of `shots`: questions with the persona's answers."""
    turns = [message for shot in shots for message in (*shot.prompt[1:], *shot.completion)]
    return [Message(role="system", content=system_prompt), *turns, *example.prompt[1:]]


Ask = Callable[[Example, str], list[Message]]
"""Makes the chat that asks an example's question under a wording of the system prompt."""


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
        sampling = Sampling.of(settings)
        texts = generate(model, tokenizer, prompts, sampling, seeds, label)
        # The sentences of a model that thinks all the same are counted after its thoughts, which are no part of the answer.
        if thinking := [i for i, text in enumerate(texts) if without_thoughts(text)[1]]:
            again, its_seeds = [prompts[i] for i in thinking], [seeds[i] for i in thinking]
            whole = generate(
                model, tokenizer, again, replace(sampling, max_sentences=None), its_seeds, f"{label}: whole"
            )
            for i, text in zip(thinking, whole, strict=True):
                texts[i] = first_sentences(without_thoughts(text)[0], settings.max_sentences)
        return texts

    return Responder(answer, model, tokenizer)


def spread(examples: Sequence[Example], count: int) -> list[Example]:
    """So many examples at even distances: of all categories, as the rows of a split stand category by category."""
    count = min(count, len(examples))
    return [examples[i * len(examples) // count] for i in range(count)]


class TestSet:
    """Questions that every system answers with the same sampling seeds; the scored answers gather here."""

    def __init__(self, examples: Sequence[Example], scorer: Scorer, params: Params):
        self.examples = examples
        self.scorer = scorer
        self.seeds = [params.seed + turn for turn in range(params.evaluate.seeds)]
        self.rewrites = params.train.task == REWRITE
        self.forward_tokens = params.evaluate.forward_tokens
        self.generations: list[Generation] = []

    def part(self, examples: Sequence[Example], seeds: Sequence[int]) -> "TestSet":
        """The same with these examples and sampling seeds alone; the scored answers gather here as well."""
        part = copy(self)
        part.examples, part.seeds = examples, list(seeds)
        return part

    def seeded(self, chats: Sequence[Sequence[Message]]) -> SeededChats:
        """What a system is asked: its `chats`, one for each example, once for each sampling seed."""
        return sampled(self.examples, chats, self.seeds)

    def score(
        self,
        name: str,
        responder: Responder,
        chats: Sequence[Sequence[Message]],
        texts: Sequence[str],
        plain: Sequence[str] | None = None,
    ) -> dict[str, float]:
        """The headline metrics of the system's answers, `texts`, to `seeded(chats)`.

        `plain` is what each of them is a rewriting of; None = where rewriting is the task, the teacher's plain answer.
        """
        seeds = [seed for seed in self.seeds for _ in self.examples]
        examples = [*self.examples] * len(self.seeds)
        if plain is None and self.rewrites:
            plain = [example.plain for example in examples]
        rows = score_answers(name, examples, seeds, texts, self.scorer, plain)
        metrics = mean_scores(rows)
        if responder.model is not None and responder.tokenizer is not None:
            predicted, likelihoods = predict_teacher(
                responder.model, responder.tokenizer, self.examples, chats, self.forward_tokens
            )
            metrics |= predicted
            rows = [row.model_copy(update=likelihoods[row.question_id]) for row in rows]
        self.generations += rows
        return metrics


def sampled(examples: Sequence[Example], chats: Sequence[Sequence[Message]], seeds: Sequence[int]) -> SeededChats:
    """Every example's chat once for each sampling seed."""
    asked = [(example, chat, seed) for seed in seeds for example, chat in zip(examples, chats, strict=True)]
    return SeededChats(
        [chat for _, chat, _ in asked], [answer_seed(example.question_id, seed) for example, _, seed in asked]
    )


def mean_scores(generations: Sequence[Generation]) -> dict[str, float]:
    """The mean of each score over the answers, under the headline's names."""
    means = {score: round(float(np.mean([getattr(g, score) for g in generations])), 6) for score in SCORES}
    kept = [g.meaning_kept for g in generations if g.meaning_kept is not None]
    return means | ({"meaning_kept": round(float(np.mean(kept)), 6)} if kept else {})


class Prompting:
    """One way to tell a model who to be, in the wording that scores best on validation questions.

    The test questions choose nothing.
    """

    def __init__(
        self,
        ask: Ask,
        wordings: Sequence[str],
        validation: Sequence[Example],
        test: Sequence[Example],
        seed: int,
    ):
        self.ask, self.wordings, self.validation, self.test, self.seed = ask, wordings, validation, test, seed

    def candidates(self) -> SeededChats:
        """The validation questions under each wording; nothing to ask if there is only one."""
        if len(self.wordings) == 1:
            return SeededChats([], [])
        chats = [self.ask(example, wording) for wording in self.wordings for example in self.validation]
        return sampled([*self.validation] * len(self.wordings), chats, [self.seed])

    def choose(self, texts: Sequence[str], scorer: Scorer) -> int:
        """The index of the wording whose answers `texts` to `candidates` have the highest mean joint; ties go to the first."""
        if len(self.wordings) == 1:
            return 0
        examples = [*self.validation] * len(self.wordings)
        rows = score_answers("candidates", examples, [self.seed] * len(examples), texts, scorer)
        joints = np.array([row.joint for row in rows]).reshape(len(self.wordings), len(self.validation)).mean(1)
        return int(joints.round(6).argmax())

    def chats(self, index: int) -> list[list[Message]]:
        """The chats for the test questions under the wording at `index`."""
        return [self.ask(example, self.wordings[index]) for example in self.test]


def shots_of(train: Sequence[Example], count: int) -> list[Example]:
    """The examples that a model is shown: the first so many of the training questions, without what everybody is asked.

    Of several answers to one question the first alone.
    """
    asked = {example.question_id: example for example in reversed(train) if example.category != BASICS}
    return list(reversed(asked.values()))[:count]


def ways_to_tell(
    params: Params,
    persona: Persona,
    train: Sequence[Example],
    validation: Sequence[Example],
    test: Sequence[Example],
) -> dict[str, Prompting]:
    """The ways of `WAYS`, as params.yaml has their wordings and how many training examples are shown.

    Where rewriting is the task, both ways ask it to rewrite the teacher's plain answers.
    """
    settings, task = params.evaluate, params.train.task
    pose = partial(posed, task=task, rewrite_prompt=params.rewrite_prompt)
    shots = [pose(example) for example in shots_of(train, settings.fewshot)]
    prompts = settings.rewrite_prompts if task == REWRITE else settings.prompts
    wordings = [wording.replace("{system}", persona.system) for wording in prompts]
    chosen_on = spread(validation, settings.prompt_questions)
    asks: dict[str, Ask] = {
        PROMPTED: lambda example, wording: with_system_prompt(pose(example), wording),
        FEWSHOT: lambda example, wording: with_shots(pose(example), wording, shots),
    }
    return {way: Prompting(asks[way], wordings, chosen_on, test, params.seed) for way in WAYS}


def score_ways(
    responder: Responder,
    names: Mapping[str, str],
    ways: Mapping[str, Prompting],
    tried: Mapping[str, Sequence[str]],
    test_set: TestSet,
    label: str,
) -> dict[str, dict[str, float]]:
    """The headline metrics of the model prompted in each of the `ways`, in the wording that `tried` finds the best.

    `names` says what the system is called in each way. `tried` are its answers to each way's `candidates`. `prompt` in the metrics is the chosen wording's number, from 1.
    """
    chosen = {way: prompting.choose(tried[way], test_set.scorer) for way, prompting in ways.items()}
    chats = {way: prompting.chats(chosen[way]) for way, prompting in ways.items()}
    asked = {way: test_set.seeded(chats[way]) for way in ways}
    answers = answer_together(responder.answer, asked, f"{label}: prompted")
    return {
        way: test_set.score(names[way], responder, chats[way], answers[way]) | {"prompt": chosen[way] + 1}
        for way in ways
    }


def score_answers(
    name: str,
    examples: Sequence[Example],
    seeds: Sequence[int],
    texts: Sequence[str],
    scorer: Scorer,
    plain: Sequence[str] | None = None,
) -> list[Generation]:
    """Each text with its scores as the answer to the example at the same index; with `plain`, as a rewriting of that."""
    scores = scorer([example.question for example in examples], texts)
    kept = [None] * len(texts) if plain is None else scorer.meaning_kept(plain, texts).round(6).tolist()
    return [
        Generation(
            system=name,
            question_id=example.question_id,
            seed=seed,
            text=text,
            meaning_kept=kept[i],
            **{score: round(float(scores[score][i]), 6) for score in SCORES},  # type: ignore[arg-type]  # no likelihoods
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
