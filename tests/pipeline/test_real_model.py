"""The default base itself: dequantised right, quantised to NF4, trained for a moment, loaded by peft alone."""

import math

import pytest
import torch
from peft import PeftModel

from tests.support.examples import example
from tonetune.adapter import load_tuned, save_tuned
from tonetune.core.files import is_whole
from tonetune.core.params import load_params
from tonetune.core.rows import Message
from tonetune.generation.generate import generate
from tonetune.generation.likelihood import likelihood
from tonetune.generation.sampling import Sampling
from tonetune.model.base import base_folder, load_base, load_tokenizer
from tonetune.model.chat_template import answer_ids, prompt_ids
from tonetune.training.trainers import Task, make_trainer
from tonetune.training.tuning import model_for_training

ANSWER = "I would walk to the library, because it is dry there and the books are free."


@pytest.fixture(scope="module")
def params():
    return load_params()


@pytest.fixture(scope="module")
def tokenizer(params):
    return load_tokenizer(params.base_model)


@pytest.fixture(scope="module")
def base(params):
    return load_base(params.base_model, params.compute)


def chat(question):
    return [Message(role="system", content="Answer in two to five sentences."), Message(role="user", content=question)]


def test_the_dequantised_base_knows_english(base, tokenizer):
    prompt = prompt_ids(tokenizer, chat("What would you do on a rainy day?"))
    shuffled = " ".join(sorted(ANSWER.split()))
    sound, broken = (
        likelihood(base, [prompt], [answer_ids(tokenizer, t)], [t], 1).perplexity for t in (ANSWER, shuffled)
    )
    assert sound < 40
    assert broken > 5 * sound
    answer = generate(
        base, tokenizer, [prompt_ids(tokenizer, chat("What is the capital of France?"))], Sampling(0, 1, 24, 1), [0]
    )
    assert "Paris" in answer[0]


def test_the_dequantised_base_is_made_once(params, capsys):
    assert is_whole(base_folder(params.base_model))
    base_folder(params.base_model)
    assert "dequantising" not in capsys.readouterr().out


def test_qlora_trains_an_nf4_base_and_peft_alone_loads_the_adapter(params, tokenizer, base, tmp_path):
    quick = {
        "tuning": "qlora",
        "epochs": 3.0,
        "evals_per_epoch": 1,
        "batch_size": 8,
        "warmup": 0.0,
        "dequantize": "step",
    }
    params = params.model_copy(update={"train": params.train.model_copy(update=quick)})
    model = model_for_training(params)
    adapter = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    assert model.get_memory_footprint() - adapter < 0.45 * base.get_memory_footprint()
    questions = [f"Why number {i}?" for i in range(8)]
    rows = [example(question, ANSWER, prompt=chat(question)) for question in questions]
    trainer = make_trainer(Task("sft", model, tokenizer, rows, rows[:2], params, tmp_path / "checkpoints"))
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    trainer.train()
    losses = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]
    assert losses[-1] < losses[0]
    assert all(map(math.isfinite, losses))

    save_tuned(model, tmp_path / "adapter", "someone", "An AI.", params.base_model, "qlora")
    prompt, answer = prompt_ids(tokenizer, chat("Why number 3?")), answer_ids(tokenizer, ANSWER)
    before = likelihood(base, [prompt], [answer], [ANSWER], 1).perplexity
    merged = load_tuned(params.base_model, params.compute, tmp_path / "adapter")
    assert likelihood(merged, [prompt], [answer], [ANSWER], 1).perplexity < 0.8 * before
    tuned = PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload()
    assert likelihood(tuned, [prompt], [answer], [ANSWER], 1).perplexity < 0.8 * before
