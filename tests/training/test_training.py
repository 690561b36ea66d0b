"""What is supervised, the loss and its gradients, and going on after an interruption."""

import json
import os
import shutil
import signal

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from trl import SFTTrainer

from tests.support.adapted_model import LORA, gradients, make_plain
from tests.support.examples import example
from tests.support.kill_nine import start
from tests.support.workspace import copied, wait_for
from tonetune.core.errors import UserError
from tonetune.core.files import seal, write_json
from tonetune.core.params import load_params
from tonetune.core.rows import Example, read_examples, read_rows
from tonetune.model.base import load_base
from tonetune.model.kernels.grouped_attention import GROUPED
from tonetune.training.checkpoints import last_checkpoint
from tonetune.training.encode import IGNORE_INDEX, supervised
from tonetune.training.loss import answer_loss, supervised_tokens
from tonetune.training.trainers import AnswerTrainer, Task, make_trainer
from tonetune.training.tuning import add_adapter, model_for_training


def test_the_supervised_tokens_are_the_answer_and_the_end_of_turn(tokenizer):
    encoded = supervised(tokenizer, example("Why?", "Because it's there, I guess."), 512)
    kept = [token for token in encoded["labels"] if token != IGNORE_INDEX]
    assert tokenizer.decode(kept) == "Because it's there, I guess.<|im_end|>"
    assert tokenizer.decode(encoded["input_ids"]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
        "<|im_start|>assistant\nBecause it's there, I guess.<|im_end|>"
    )


def batch(tokenizer):
    rows = [
        supervised(tokenizer, example(q, a), 512)
        for q, a in (("Why?", "No idea."), ("What is a goose?", "A loud bird."))
    ]
    width = max(len(row["input_ids"]) for row in rows)
    pad = {"input_ids": 2, "labels": IGNORE_INDEX}
    tensors = {key: torch.tensor([row[key] + [pad[key]] * (width - len(row[key])) for row in rows]) for key in pad}
    lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
    return tensors | {"attention_mask": (torch.arange(width) < lengths).long()}


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"]])
def test_loss_and_gradients_equal_the_plain_implementation(targets, tiny_base, tokenizer):
    """In float32: the fused layers, the grouped attention and the loss, against peft, eager attention and transformers."""
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32, attn_implementation=GROUPED)
    model = add_adapter(base, LORA.model_copy(update={"target_modules": targets}), seed=1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    inputs = batch(tokenizer)
    ours = answer_loss(base, inputs, supervised_tokens(inputs))
    ours_gradients = gradients(model, ours)
    make_plain(model)
    plain = model(**inputs).loss
    for name, gradient in gradients(model, plain).items():
        scale = gradient.abs().max()
        assert scale > 0
        torch.testing.assert_close(ours_gradients[name] / scale, gradient / scale, rtol=0, atol=2e-5)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)


def test_the_loss_of_a_head_that_trains_is_the_plain_one_too(tiny_base, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    inputs = batch(tokenizer)
    ours, plain = answer_loss(model, inputs, supervised_tokens(inputs)), model(**inputs).loss
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(ours, [model.lm_head.weight])
    torch.testing.assert_close(gradient, *torch.autograd.grad(plain, [model.lm_head.weight]), rtol=1e-4, atol=1e-6)


def test_only_the_adapter_trains_and_its_size_is_the_closed_form(tiny_base):
    model = add_adapter(AutoModelForCausalLM.from_pretrained(tiny_base), LORA, seed=1)
    shapes = [
        m.weight.shape for n, m in AutoModelForCausalLM.from_pretrained(tiny_base).named_modules() if n.endswith("proj")
    ]
    trainable = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trainable)
    assert sum(trainable.values()) == sum(LORA.r * (rows + columns) for rows, columns in shapes)


def test_an_adapter_starts_from_the_seed(tiny_base):
    def start(seed):
        model = add_adapter(AutoModelForCausalLM.from_pretrained(tiny_base), LORA, seed)
        return next(p for n, p in model.named_parameters() if "lora_A" in n)

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))


def test_a_checkpoint_cut_short_or_damaged_is_not_resumed_from(tmp_path, capsys):
    for step in (5, 10, 15, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "optimizer.pt").write_bytes(b"state")
        write_json(folder / "trainer_state.json", {"best_model_checkpoint": str(tmp_path / "checkpoint-5")})
        if step != 20:
            seal(folder)
    (tmp_path / "checkpoint-15/optimizer.pt").write_bytes(b"stats")
    assert last_checkpoint(tmp_path).name == "checkpoint-10"
    said = capsys.readouterr().out
    assert "checkpoint-15: damaged" in said
    assert "checkpoint-20: damaged" in said
    # Nor one whose best checkpoint, which training would load in the end, is damaged.
    (tmp_path / "checkpoint-5/optimizer.pt").unlink()
    assert last_checkpoint(tmp_path) is None
    assert last_checkpoint(tmp_path / "nothing") is None


def test_the_adapter_is_in_peft_format_and_names_the_base_as_the_user_wrote_it(tiny_workspace, tiny_base):
    folder = tiny_workspace.root / "models/adapter"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == f"path:{tiny_base}"
    assert (config["r"], config["lora_alpha"]) == (4, 32)
    assert "imitation" in (folder / "README.md").read_text()
    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    ids = torch.tensor([[5, 6, 7]])
    before = base(ids).logits.clone()
    assert not torch.equal(PeftModel.from_pretrained(base, folder)(ids).logits, before)


def test_training_goes_on_from_its_checkpoint_to_the_same_bytes(tiny_workspace, tmp_path):
    """Remove the last checkpoint, as a kill would, and train again: the adapter must not change."""
    space = copied(tiny_workspace, tmp_path / "repo")
    root = space.root
    adapter, losses = root / "models/adapter/adapter_model.safetensors", root / "metrics/loss.csv"
    undisturbed = (adapter.read_bytes(), losses.read_bytes())
    checkpoints = sorted((root / ".cache/checkpoints").glob("*/checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    assert len(checkpoints) == 2
    shutil.rmtree(checkpoints[-1])
    shutil.rmtree(root / "models/adapter")
    result = space.stage("train_qlora")
    assert f"going on from {checkpoints[0].name}" in result.stdout
    assert (adapter.read_bytes(), losses.read_bytes()) == undisturbed

    # Another rank does not go on from this one's checkpoints.
    space.set(train__lora__r=2)
    assert "going on" not in space.stage("train_qlora").stdout
    assert json.loads((root / "models/adapter/adapter_config.json").read_text())["r"] == 2


def test_the_splits_that_datasets_reads_are_the_rows_and_a_bad_one_is_named(tiny_workspace, tmp_path, monkeypatch):
    space = copied(tiny_workspace, tmp_path / "repo")
    monkeypatch.chdir(space.root)
    splits = ("train", "validation")
    assert {split: read_examples(split) for split in splits} == {
        split: read_rows(f"data/{split}.jsonl", Example) for split in splits
    }
    path = space.root / "data/validation.jsonl"
    lines = path.read_text().splitlines(True)
    for number, bad in ((3, '{"question_id": "x"\n'), (2, lines[1].replace('"category"', '"kind"'))):
        path.write_text("".join([*lines[: number - 1], bad, *lines[number:]]))
        with pytest.raises(UserError, match=rf"data/validation\.jsonl, line {number}: "):
            {split: read_examples(split) for split in splits}
    path.write_text("")
    with pytest.raises(UserError, match=r"data/validation\.jsonl: no rows"):
        {split: read_examples(split) for split in splits}


def trained(root):
    """What the stage says of a training, and the adapter it came to."""
    files = ("metrics/train.json", "metrics/loss.csv", "models/adapter/adapter_model.safetensors")
    return [(root / file).read_bytes() for file in files]


def test_training_killed_in_its_second_epoch_goes_on_to_the_same_bytes(tiny_workspace, tmp_path):
    """The rest of a resumed epoch is that epoch's own order, and how long the loss has not fallen is remembered."""
    space = copied(tiny_workspace, tmp_path / "repo")
    space.set(train__epochs=3, train__evals_per_epoch=2, train__patience=3)
    shutil.rmtree(space.root / ".cache/checkpoints")
    space.stage("train_qlora")
    undisturbed = trained(space.root)
    steps = json.loads(undisturbed[0])["steps"]
    shutil.rmtree(space.root / ".cache/checkpoints")
    killed = start(space, "train_qlora")
    wait_for(lambda: sealed_after(space.root, steps // 3 + 1), killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert "going on from checkpoint-" in space.stage("train_qlora").stdout
    assert trained(space.root) == undisturbed


def sealed_after(root, step):
    """Whether there is a whole checkpoint of that step or a later one."""
    sealed = (root / ".cache/checkpoints").glob("*/checkpoint-*/sealed.json")
    return any(int(path.parent.name.partition("-")[2]) >= step for path in sealed)


def test_training_that_had_stopped_early_is_not_gone_on_with(tiny_workspace, tmp_path):
    """Its loss never falls, since it learns nothing; run again, as another worker would, it is over already."""
    space = copied(tiny_workspace, tmp_path / "repo")
    space.set(train__epochs=4, train__evals_per_epoch=2, train__patience=1, train__learning_rate=1e-12)
    space.stage("train_qlora")
    before = trained(space.root)
    assert json.loads(before[0])["steps"] < 4 * len(read_rows(space.root / "data/train.jsonl", Example)) / 8
    space.stage("train_qlora")
    assert trained(space.root) == before


class StockTrainer(SFTTrainer):
    """TRL's own, on the same batches."""

    _get_train_sampler = AnswerTrainer._get_train_sampler


def test_the_loss_of_every_step_is_that_of_the_stock_trainer(tiny_base, tokenizer, tmp_path):
    params = load_params()
    quick = {"tuning": "lora", "epochs": 2, "batch_size": 2, "learning_rate": 0.01}
    params = params.model_copy(
        update={
            "base_model": f"path:{tiny_base}",
            "compute": params.compute.model_copy(update={"dtype": "float32"}),
            "train": params.train.model_copy(update=quick),
        }
    )
    rows = [example(f"Why is {word} not enough?", f"Because {word} is {i} too few.") for i, word in enumerate("abcdef")]
    histories = []
    for kind in ("ours", "stock"):
        model = model_for_training(params)
        trainer = make_trainer(Task("sft", model, tokenizer, rows, rows[:2], params, tmp_path / kind))
        if kind == "stock":
            make_plain(model)
            data = {"train_dataset": trainer.train_dataset, "eval_dataset": trainer.eval_dataset}
            trainer = StockTrainer(model=model, args=trainer.args, processing_class=tokenizer, **data)
        trainer.args.logging_steps = 1
        trainer.train()
        histories.append([row["loss"] for row in trainer.state.log_history if "loss" in row])
    ours, stock = histories
    assert len(ours) == 6
    assert len(set(ours)) == 6
    assert ours == pytest.approx(stock, rel=1e-4)


def test_an_unknown_target_module_is_named(tiny_base):
    model = load_base(f"path:{tiny_base}", load_params().compute)
    with pytest.raises(UserError, match=r"target_modules: 'qq_proj'.*q_proj"):
        add_adapter(model, LORA.model_copy(update={"target_modules": ["qq_proj"]}), seed=1)
