"""Whether an export says what the tuned model says: prompts, stops and tokens compared, and the same scores given."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.rows import Example, Message
from tonetune.generation.generate import generate_ids
from tonetune.generation.sampling import Sampling
from tonetune.model.chat_template import end_of_turn, prompt_ids, stop_ids
from tonetune.teacher.endpoint.live import LiveTeacher
from tonetune.teacher.endpoint.protocol import together
from tonetune.teacher.endpoint.request import Request

JOINT_WITHIN = 0.03
HARD = (  # what tokenizers and templates differ in
    "Why 2024?  12 apples  cost $3.50, 1,000,000 don't.",
    "A list:\n\n1. one\n\n\n2. two\n\tindented  ",
    "Straße, naïve, 東京, \u1e9b\u0323, 👩‍🚀🚀 and  non-breaking",
    "IT'S WE'LL They'RE <b>bold</b> {{ braces }} {% if %} \\n",
)


@dataclass(frozen=True)
class Bounds:
    """What an export is held to; what it may lose by being stored in fewer bits is in here."""

    greedy: float
    """Share of our greedy tokens that it chooses too."""
    noise: float
    """Mean absolute difference of the tokens' log-probabilities, in nats."""


BOUNDS = {
    "merged": Bounds(0.99, 0.02),
    "adapter": Bounds(0.99, 0.02),
    "f16": Bounds(0.99, 0.02),
    "q8_0": Bounds(0.95, 0.1),
    "q4_1": Bounds(0.7, 0.6),
    "q4_k": Bounds(0.7, 0.6),
}


@dataclass(frozen=True)
class Ours:
    """What the tuned model says to the questions, greedily, computed in float32 from the weights that are exported."""

    examples: list[Example]
    prompts: list[list[int]]
    answers: list[list[int]]
    """Token ids, the token that ends the answer included where it came."""
    logprobs: list[list[float]]
    texts: list[str]
    stops: frozenset[int]
    end: int
    """The token that ends an answer in training."""


@dataclass
class Theirs:
    """What an export says to the same."""

    prompts: list[list[int]]
    """Of the questions' chats and then of `hard_chats`."""
    greedy: list[list[int | None]]
    """The likeliest token at each place of our answers; None where it stops."""
    logprobs: list[list[float | None]]
    """Of our tokens, where it tells them."""
    texts: list[str] = field(default_factory=list)
    """Its own answers through its chat endpoint; none where it has no server."""
    stops: frozenset[int] = frozenset()
    """The tokens at which its own settings end an answer."""
    differences: list[str] = field(default_factory=list)
    """What else differs."""


@dataclass(frozen=True)
class Measure:
    """One line of the verdict."""

    name: str
    found: str
    bound: str
    passed: bool


def hard_chats(examples: Sequence[Example]) -> list[list[Message]]:
    """Chats that tell tokenizers and templates apart: odd texts, and a talk of several turns."""
    first = examples[0]
    odd = [[first.prompt[0], Message(role="user", content=text)] for text in HARD]
    talk = [*first.prompt, *first.completion, Message(role="user", content=HARD[0])]
    return [*odd, talk]


@torch.inference_mode()
def ask_ours(
    tuned: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], params: Params
) -> Ours:
    """The tuned model's greedy answers; questions that it answers with nothing are left out. `tuned` becomes float32."""
    model = tuned.float()
    settings = params.evaluate
    sampling = Sampling(0, 1, settings.max_new_tokens, settings.batch_tokens)
    prompts = [prompt_ids(tokenizer, example.prompt) for example in examples]
    answers = generate_ids(model, tokenizer, prompts, sampling, [0] * len(prompts), "ours")
    texts = [str(tokenizer.decode(answer, skip_special_tokens=True)).strip() for answer in answers]
    kept = [i for i, text in enumerate(texts) if text]
    if not kept:
        raise UserError("the tuned model answers every test question with nothing; there is nothing to compare")
    ends, whole, logprobs = stop_ids(tokenizer, model), [], []
    for i in tqdm(kept, desc="ours: log-probabilities", unit="answer"):
        logits = model(input_ids=torch.tensor([prompts[i] + answers[i]], device=model.device)).logits[0].float()
        logits = logits[len(prompts[i]) - 1 :].cpu()
        answer, ended = list(answers[i]), int(logits[-1].argmax())
        if len(answer) < settings.max_new_tokens and ended in ends:
            answer.append(ended)
        picked = logits[: len(answer)].log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]
        whole.append(answer)
        logprobs.append(picked.tolist())
    return Ours(
        [examples[i] for i in kept],
        [prompts[i] for i in kept],
        whole,
        logprobs,
        [texts[i] for i in kept],
        ends,
        end_of_turn(tokenizer),
    )


def served_answers(url: str, model: str, ours: Ours, params: Params, label: str) -> list[str]:
    """The greedy answers of a served model to the questions, by the path on which any endpoint is asked."""
    settings = params.teacher.model_copy(
        update={
            "mode": "live",
            "model": model,
            "base_url": url,
            "batch": False,
            "concurrency": 2,
            "timeout": 600.0,
            "max_cost": None,
            "requests_per_minute": None,
            "tokens_per_minute": None,
        }
    )
    requests = [
        Request(
            base_url=url,
            model=model,
            messages=tuple(example.prompt),
            temperature=0,
            max_tokens=params.evaluate.max_new_tokens,
        )
        for example in ours.examples
    ]
    teacher = LiveTeacher(settings)
    work = together(teacher.respond(request, about=label, whole=False) for request in requests)
    return [recording.text for recording in teacher.run(work, len(requests), label)]


def verdict(
    ours: Ours,
    theirs: Theirs,
    bounds: Bounds,
    tokenizer: PreTrainedTokenizerBase,
    joint: Callable[[Sequence[str]], float],
) -> tuple[list[Measure], list[str]]:
    """The figures with their bounds, and in words what differs; `joint` is the mean score of answers to the questions."""
    expected = [*ours.prompts, *(prompt_ids(tokenizer, chat) for chat in hard_chats(ours.examples))]
    unequal = [i for i, pair in enumerate(zip(expected, theirs.prompts, strict=True)) if pair[0] != pair[1]]
    differences = list(theirs.differences)
    if unequal:
        differences.append(first_difference(expected[unequal[0]], theirs.prompts[unequal[0]], tokenizer))
    stops = ours.end in theirs.stops
    if not stops:
        ending = tokenizer.convert_ids_to_tokens(ours.end)
        differences.append(f"stop tokens: {ending} ends an answer in training and none here, so answers run on")
    agreed, gaps = greedy_agreement(ours, theirs)
    measures = [
        Measure(
            "prompts equal, token by token", f"{len(expected) - len(unequal)} of {len(expected)}", "all", not unequal
        ),
        Measure("ends answers where training does", "yes" if stops else "no", "yes", stops),
        Measure("greedy tokens as ours", f"{agreed:.2%}", f">= {bounds.greedy:.0%}", agreed >= bounds.greedy),
        Measure("log-probabilities, mean difference", f"{gaps:.4f}", f"<= {bounds.noise}", gaps <= bounds.noise),
    ]
    if agreed < bounds.greedy:
        differences.append(f"greedy tokens: {1 - agreed:.1%} differ; are the weights those of this base and adapter?")
    if theirs.texts:
        same = np.mean([a == b for a, b in zip(ours.texts, theirs.texts, strict=True)])
        own, served = joint(ours.texts), joint(theirs.texts)
        near = abs(served - own) <= JOINT_WITHIN
        measures += [
            Measure("served answers as ours, word for word", f"{same:.0%}", "", True),
            Measure("joint, served less ours", f"{served:.3f} - {own:.3f}", f"within {JOINT_WITHIN}", near),
        ]
        if not near:
            differences.append(f"joint: {served:.3f} served, {own:.3f} ours")
    return measures, differences


def greedy_agreement(ours: Ours, theirs: Theirs) -> tuple[float, float]:
    """The share of our tokens that are its likeliest too, and the mean absolute difference of log-probabilities in nats.

    Where it tells the log-probability of its own choice alone, equal choices are compared.
    """
    agreed: list[bool] = []
    gaps: list[float] = []
    rows = zip(ours.answers, ours.logprobs, theirs.greedy, theirs.logprobs, strict=True)
    for answer, own, greedy, logprobs in rows:
        for token, value, choice, other in zip(answer, own, greedy, logprobs, strict=True):
            agreed.append(choice == token or (choice is None and token in ours.stops))
            if other is not None:
                gaps.append(abs(value - other))
    return float(np.mean(agreed)), float(np.mean(gaps)) if gaps else float("inf")


def first_difference(ours: Sequence[int], theirs: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Where two prompts part, and how each goes on."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    place = next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
    own, other = (tokenizer.decode(list(ids[max(0, place - 2) : place + 8])) for ids in (ours, theirs))
    return f"prompts: token {place + 1} differs: {own!r} in training, {other!r} here"


def save_check(path: Path, measures: Sequence[Measure], differences: Sequence[str]) -> bool:
    """Write the verdict as JSON; whether it is a pass."""
    passed = all(measure.passed for measure in measures) and not differences
    record = {"passed": passed, "measures": [vars(measure) for measure in measures], "differences": list(differences)}
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return passed
