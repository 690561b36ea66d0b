"""Tokens a second of one prompt at a time, of chat, of batches and of perplexity, on the base model and the test questions.

`python -m benchmarks.generation` (three minutes on 2 cores) needs `data/`, which `dvc repro split` writes.
"""

import argparse

from tonetune.core.startup import import_bitsandbytes, silence_libraries

PARSER = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__.splitlines()[0])
if __name__ == "__main__":
    PARSER.parse_args()  # help, and what is mistyped, before what takes long to load

silence_libraries()
import_bitsandbytes()

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from benchmarks.device import now, peak_gib
from tonetune.conversation import Conversation
from tonetune.core.command import run
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import BASICS, Example, read_rows
from tonetune.evaluation.systems import with_shots
from tonetune.generation.generate import generate_ids
from tonetune.generation.likelihood import likelihood
from tonetune.generation.sampling import Sampling, answer_seed
from tonetune.model.base import load_base, load_tokenizer
from tonetune.model.chat_template import answer_ids, prompt_ids

SINGLE = 4  # prompts that are answered one at a time


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = now()
    yield
    seconds[name] = now() - start


def single(model: PreTrainedModel, prompts: list[list[int]], sampling: Sampling) -> int:
    """Answer one prompt after the other by transformers' `generate` with the same sampling; the number of tokens."""
    decoding = {"do_sample": False}
    if sampling.temperature:
        decoding = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    torch.manual_seed(0)
    answers = [
        model.generate(torch.tensor([prompt], device=model.device), max_new_tokens=sampling.max_new_tokens, **decoding)
        for prompt in prompts
    ]
    return sum(answer.shape[1] - len(prompt) for answer, prompt in zip(answers, prompts, strict=True))


def measure() -> dict[str, float]:
    """Tokens a second by name, `generate_ratio_to_single`, and peak memory in MB."""
    params = load_params()
    base, tokenizer = (
        load_base(params.base_model, params.compute),
        load_tokenizer(params.base_model, params.chat_template_kwargs),
    )
    train, test = (read_rows(f"data/{split}.jsonl", Example) for split in ("train", "test"))
    shots = [example for example in train if example.category != BASICS][: params.evaluate.fewshot]
    system = load_persona(params.persona).system
    prompts = {
        "generate": [prompt_ids(tokenizer, example.prompt) for example in test],
        "generate_fewshot": [prompt_ids(tokenizer, with_shots(example, system, shots)) for example in test],
    }
    seeds = [answer_seed(example.question_id, params.seed) for example in test]
    sampling = Sampling.of(params.evaluate)
    seconds: dict[str, float] = {}
    tokens: dict[str, int] = {}

    single(base, prompts["generate"][:1], sampling)  # the first call of everything is slower
    with timed(seconds, "single"):
        tokens["single"] = single(base, prompts["generate"][:SINGLE], sampling)
    with timed(seconds, "chat"):
        chat = Conversation(base, tokenizer, params.system_prompt, sampling, params.seed)
        tokens["chat"] = sum(1 for example in test[:SINGLE] for _ in chat.ask(example.question))
    for name, chats in prompts.items():
        with timed(seconds, name):
            answers = generate_ids(base, tokenizer, chats, sampling, seeds, label=name)
        # The end-of-turn token was generated too.
        tokens[name] = sum(min(len(answer) + 1, sampling.max_new_tokens) for answer in answers)
    answers = [answer_ids(tokenizer, example.answer) for example in test]
    with timed(seconds, "perplexity"):
        likelihood(
            base, prompts["generate"], answers, [example.answer for example in test], params.evaluate.forward_tokens
        )
    tokens["perplexity"] = sum(map(len, answers))

    rates = {f"{name}_tokens_per_second": tokens[name] / seconds[name] for name in tokens}
    ratio = rates["generate_tokens_per_second"] / rates["single_tokens_per_second"]
    return {**rates, "generate_ratio_to_single": ratio, "generate_peak_megabytes": peak_gib() * 1024}


def main() -> None:
    for name, value in measure().items():
        print(f"{name:36} {value:10.1f}")


if __name__ == "__main__":
    run(main)
