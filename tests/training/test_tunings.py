"""Every objective and tuning on the tiny model: what moves, what stays, how many, and what is saved and loaded."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.support.workspace import ROOT, make_small
from tonetune.adapter import load_quantised, load_tuned, save_tuned
from tonetune.core.errors import UserError
from tonetune.core.params import Params, load_params
from tonetune.core.rows import Example, Message
from tonetune.model.base import load_tokenizer
from tonetune.training.trainers import Task, make_trainer
from tonetune.training.tuning import model_for_training

pytestmark = pytest.mark.slow

TEXT = "Rockets land, cars drive themselves and meetings should end when nobody learns anything new."
IDS = torch.tensor([[5, 600, 7, 80, 9]])


def example(i: int) -> Example:
    return Example(
        question_id=str(i),
        category="c",
        prompt=[Message(role="system", content="Be brief."), Message(role="user", content=f"Why {i}?")],
        completion=[Message(role="assistant", content=TEXT[6 * (i % 5) :])],
        plain="It depends on several factors.",
    )


EXAMPLES = [example(i) for i in range(16)]


def params_with(base, **train) -> Params:
    """The repo's params on the tiny model in float32, with changes to `train`."""
    values = load_params().model_dump()
    values |= {"base_model": f"path:{base}"}
    values["compute"] |= {"threads": 1, "dtype": "float32"}
    small = {"epochs": 4, "batch_size": 4, "learning_rate": 0.01, "evals_per_epoch": 1}
    small["grpo"] = values["train"]["grpo"] | {"steps": 2, "questions": 1, "generations": 4, "max_new_tokens": 4}
    small["dpo"] = values["train"]["dpo"] | {"epochs": 2}
    values["train"] |= small | train
    values["train"]["lora"] = load_params().train.lora.model_dump() | {"r": 4, "alpha": "2r"} | train.get("lora", {})
    return Params.model_validate(values)


@pytest.fixture(scope="module")
def tokenizer(tiny_base):
    return load_tokenizer(f"path:{tiny_base}")


def train(params, model, tokenizer, folder, phase, rewards=None):
    examples = EXAMPLES[:8] if phase == "dpo" else EXAMPLES  # its steps take the longest
    trainer = make_trainer(
        Task(phase, model, tokenizer, examples, examples[:4], params, folder / "checkpoints", rewards)
    )
    trainer.train()
    return trainer.state.log_history


HIDDEN, INNER, SHARED, VOCABULARY, LAYERS = 64, 128, 32, 49152, 2
SHAPES = [(HIDDEN, HIDDEN), (HIDDEN, SHARED), (HIDDEN, SHARED), (HIDDEN, HIDDEN)] + 3 * [(HIDDEN, INNER)]
BLOCK = sum(a * b for a, b in SHAPES) + 2 * HIDDEN
ADAPTER = LAYERS * sum(4 * (a + b) for a, b in SHAPES)
OUTPUTS = LAYERS * (HIDDEN + 2 * SHARED + HIDDEN + 2 * INNER + HIDDEN)

# tuning: changes of `train`, what the names of all moved weights hold, how many train
TUNINGS = {
    "full": ({"tuning": "full"}, "", VOCABULARY * HIDDEN + LAYERS * BLOCK + HIDDEN),
    "last block": (
        {"tuning": "last_layers", "last_layers": {"blocks": 1, "norm": True, "head": False}},
        ("layers.1.", "model.norm"),
        BLOCK + HIDDEN,
    ),
    "head": (
        {"tuning": "last_layers", "last_layers": {"blocks": 1, "norm": False, "head": True}},
        ("layers.1.", "lm_head"),
        BLOCK + VOCABULARY * HIDDEN,
    ),
    "lora": ({"tuning": "lora"}, "lora_", ADAPTER),
    "rslora on attention": (
        {"tuning": "lora", "lora": {"rslora": True, "target_modules": "attention"}},
        ("self_attn", "lora_"),
        LAYERS * sum(4 * (a + b) for a, b in SHAPES[:4]),
    ),
    "dora": ({"tuning": "lora", "lora": {"dora": True}}, "lora_", ADAPTER + OUTPUTS),
    "pissa": ({"tuning": "lora", "lora": {"init": "pissa"}}, "lora_", ADAPTER),
    "dropout and neftune": ({"tuning": "lora", "lora": {"dropout": 0.1}, "neftune": 1.0}, "lora_", ADAPTER),
    "qlora": ({"tuning": "qlora"}, "lora_", ADAPTER),
    "qlora, dequantised each step": ({"tuning": "qlora", "dequantize": "step"}, "lora_", ADAPTER),
    "lora_8bit": ({"tuning": "lora_8bit"}, "lora_", ADAPTER),
}


WAYS = [
    *(("sft", name) for name in TUNINGS),
    *(
        (objective, name)
        for objective in ("self_supervised", "dpo", "sft_dpo", "grpo")
        for name in ("full", "last block", "lora", "qlora", "lora_8bit")
        if not ("dpo" in objective and name in ("full", "last block"))  # refused: they have no reference
    ),
]


@pytest.mark.parametrize(("objective", "name"), WAYS)
def test_a_tuning_moves_its_weights_alone_and_is_loaded_as_it_was_saved(
    objective, name, tiny_base, tokenizer, tmp_path
):
    changes, holds, count = TUNINGS[name]
    params = params_with(tiny_base, objective=objective, **changes)
    model = model_for_training(params)
    untrained = None
    if name == "pissa":
        untrained = tmp_path / "untrained"
        model.save_pretrained(untrained, save_embedding_layers=False)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count
    losses, holds = {}, (holds,) if isinstance(holds, str) else holds
    for phase in params.train.phases:
        before = {key: weight.detach().clone() for key, weight in model.named_parameters()}
        history = train(params, model, tokenizer, tmp_path / phase, phase, lengths)
        losses[phase] = [row["eval_loss"] for row in history if "eval_loss" in row]
        moved = {key for key, weight in model.named_parameters() if not torch.equal(weight, before[key])}
        assert moved == {key for key, weight in model.named_parameters() if weight.requires_grad}
        assert all(any(part in key for part in holds) for key in moved)
        assert all(any(part in key for key in moved) for part in holds)
    assert losses.pop("grpo", []) == []  # it has no validation, and the rewards of a few random steps need not rise
    assert all(falling[-1] < falling[0] for falling in losses.values())
    assert losses.get("dpo", [0])[-1] < 0.6931  # the reference's

    trained = logits(model.eval())
    save_tuned(model, tmp_path / "saved", "someone", "An AI.", params.base_model, params.train.tuning, untrained)
    loaded = exactly = logits(load_tuned(params.base_model, params.compute, tmp_path / "saved"))
    tolerance = 2e-3
    if name == "lora_8bit":
        # LLM.int8 rounds activations too, and what is loaded does not: over the same base the saved adapter gives the same
        # logits, and what is loaded is no further from them than the untuned base is from itself without that rounding.
        rounding, exact = (
            load_quantised(params.base_model, params.compute, "lora_8bit", once) for once in (False, True)
        )
        tolerance = 2 * float((logits(rounding) - logits(exact)).abs().max())
        exactly = logits(PeftModel.from_pretrained(rounding, tmp_path / "saved").eval())
        torch.testing.assert_close(exactly, trained, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(loaded, trained, atol=tolerance, rtol=1e-3)
    untuned = logits(AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32))
    assert (trained - untuned).abs().max() > 2 * (trained - exactly).abs().max()
    size = sum(path.stat().st_size for path in (tmp_path / "saved").glob("*.safetensors"))
    assert size < 4 * count * (2.1 if name == "pissa" else 1.1) + 20_000


def logits(model):
    return model(IDS.to(model.device)).logits.detach().cpu()


def lengths(questions, answers):
    """A reward that random answers differ in."""
    return [len(answer) / 100 for answer in answers]


def test_dequantising_once_gives_the_loss_of_dequantising_each_step(tiny_base, tokenizer, tmp_path):
    def losses(how):
        params = params_with(tiny_base, tuning="qlora", dequantize=how)
        history = train(params, model_for_training(params), tokenizer, tmp_path / how, "sft")
        return [row["loss"] for row in history if "loss" in row]

    assert losses("once") == pytest.approx(losses("step"), rel=1e-4)


def test_self_supervised_learns_the_answers_as_plain_text(tiny_base, tokenizer, tmp_path):
    params = params_with(tiny_base, objective="self_supervised", tuning="lora")
    model = model_for_training(params)
    trainer = make_trainer(Task("self_supervised", model, tokenizer, EXAMPLES, EXAMPLES[:4], params, tmp_path))
    row = trainer.train_dataset[0]
    assert tokenizer.decode(row["input_ids"]) == EXAMPLES[0].answer + tokenizer.eos_token
    assert row["labels"] == row["input_ids"]


@pytest.mark.parametrize("tuning", ["lora", "qlora"])
def test_dpo_prefers_the_persona_with_the_base_as_reference(tuning, tiny_base, tokenizer, tmp_path):
    params = params_with(tiny_base, objective="dpo", tuning=tuning)
    model = model_for_training(params)
    fresh = make_trainer(Task("dpo", model, tokenizer, EXAMPLES, EXAMPLES[:4], params, tmp_path / "a"))
    assert fresh.evaluate()["eval_loss"] == pytest.approx(0.6931, abs=1e-3)  # the adapter does nothing yet
    pair = fresh.train_dataset[0]
    assert tokenizer.decode(pair["chosen_ids"]) == EXAMPLES[0].answer + tokenizer.eos_token
    assert tokenizer.decode(pair["rejected_ids"]) == EXAMPLES[0].plain + tokenizer.eos_token
    fresh.train()
    losses = [row["eval_loss"] for row in fresh.state.log_history if "eval_loss" in row]
    assert losses[-1] < 0.6931
    # An adapter that has learnt something still has the base as its reference.
    again = make_trainer(Task("dpo", model, tokenizer, EXAMPLES, EXAMPLES[:4], params, tmp_path / "b"))
    assert again.evaluate()["eval_loss"] == pytest.approx(losses[-1], rel=0.05)
    assert list(model.peft_config) == ["default"]


def test_grpo_asks_for_the_reward_of_each_answer(tiny_base, tokenizer, tmp_path):
    params = params_with(tiny_base, objective="grpo", tuning="lora")
    asked = []

    def rewards(questions, answers):
        asked.append((list(questions), list(answers)))
        return lengths(questions, answers)

    history = train(params, model_for_training(params), tokenizer, tmp_path, "grpo", rewards)
    assert [len(answers) for _, answers in asked] == [4, 4]
    assert all(
        len(set(questions)) == 1 and questions[0] in {row.question for row in EXAMPLES} for questions, _ in asked
    )
    assert [row["reward"] for row in history if "reward" in row] == pytest.approx(
        [sum(map(len, answers)) / 400 for _, answers in asked], abs=1e-4
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"objective": "dpo", "tuning": "full"}, "reference"),
        ({"objective": "sft_dpo", "tuning": "last_layers"}, "reference"),
        ({"tuning": "qlora", "lora": {"init": "pissa"}}, "pissa with tuning qlora"),
        ({"tuning": "lora", "lora": {"init": "pissa", "dora": True}}, "pissa with lora.dora"),
        ({"tuning": "lora", "objective": "dpo", "lora": {"init": "pissa"}}, "not the base"),
        ({"objective": "grpo", "neftune": 5.0}, "neftune"),
        ({"objective": "dpo", "launch": "torchrun"}, "launch torchrun"),
        ({"launch": "torchrun", "processes": 3}, "must divide batch_size"),
        ({"lora": {"alpha": "twice"}}, "alpha"),
    ],
)
def test_an_impossible_combination_is_refused_when_the_params_load(changes, says, tiny_base):
    with pytest.raises(ValueError, match=says):
        params_with(tiny_base, **changes)


def test_a_seed_of_training_changes_the_start_and_the_order_and_no_more(tiny_base, tokenizer, tmp_path):
    def start(**train):
        params = params_with(tiny_base, tuning="lora", **train)
        model = model_for_training(params)
        weights = {key: weight.detach().clone() for key, weight in model.named_parameters()}
        trainer = make_trainer(Task("sft", model, tokenizer, EXAMPLES, EXAMPLES[:4], params, tmp_path))
        return weights, list(trainer._get_train_sampler())

    (weights, order), (same, same_order), (other, other_order) = start(), start(seed=load_params().seed), start(seed=1)
    assert order == same_order
    assert order != other_order
    assert sorted(order) == sorted(other_order)
    for key, weight in weights.items():
        assert torch.equal(weight, same[key])
        assert torch.equal(weight, other[key]) == ("lora_A" not in key)


def test_the_settings_of_lora_reach_its_layers_and_the_noise_the_trainer(tiny_base, tokenizer, tmp_path):
    def layers(**lora):
        model = model_for_training(params_with(tiny_base, tuning="lora", lora=lora))
        return [layer for layer in model.modules() if isinstance(layer, LoraLayer)]

    for scaled, expected in (({}, 2), ({"rslora": True}, 4), ({"alpha": 1}, 0.25), ({"alpha": "0.25r"}, 0.25)):
        assert {layer.scaling["default"] for layer in layers(**scaled)} == {expected}  # alpha / 4, or alpha / 2
    assert {layer.lora_dropout["default"].p for layer in layers(dropout=0.1)} == {0.1}
    params = params_with(tiny_base, tuning="lora", neftune=1.0)
    task = Task("sft", model_for_training(params), tokenizer, EXAMPLES, EXAMPLES[:4], params, tmp_path)
    assert make_trainer(task).args.neftune_noise_alpha == 1.0


def test_too_many_last_layers_are_refused(tiny_base):
    params = params_with(tiny_base, tuning="last_layers")
    with pytest.raises(UserError, match=r"last_layers\.blocks: 4 is more than the model's 2"):
        model_for_training(params)


def test_alpha_may_follow_the_rank(tiny_base):
    assert params_with(tiny_base, lora={"r": 64, "alpha": "0.25r"}).train.lora.scaled_by == 16
    assert params_with(tiny_base, lora={"r": 64, "alpha": 8}).train.lora.scaled_by == 8


FSDP = ("accelerate", "accelerate_fsdp.yaml")
LAUNCHES = {
    "lora": ({"tuning": "lora"}, [("torchrun", "accelerate.yaml"), ("accelerate", "accelerate.yaml"), FSDP]),
    "last block and head": ({"tuning": "last_layers", "last_layers__blocks": 1, "last_layers__head": True}, [FSDP]),
}


@pytest.mark.parametrize("name", LAUNCHES)
def test_two_processes_learn_what_one_learns(name, workspace, tiny_base, monkeypatch):
    """With gloo: the same batches, half to each, give the same losses and, but for rounding, the same weights."""
    changes, launches = LAUNCHES[name]
    root = workspace.root
    make_small(workspace, tiny_base)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests/support/fsdp_on_cpu"))
    # 32 examples make whole batches; a last one that is not whole accelerate fills up from the first.
    changes = {f"train__{key}": value for key, value in changes.items()}
    workspace.set(
        compute__dtype="float32", split__train_size=32, train__basics_times=1, train__evals_per_epoch=1, **changes
    )
    for stage in ("questions", "answers", "split", "train_qlora"):
        workspace.stage(stage)

    def learnt():
        rows = (root / "metrics/loss.csv").read_text().splitlines()
        (file,) = (root / "models/adapter").glob("*.safetensors")
        metrics = json.loads((root / "metrics/train.json").read_text())
        losses = [float(row.split(",")[2]) for row in rows if ",train," in row]
        return losses, load_file(file), metrics["trainable_parameters"]

    alone, weights, trainable = learnt()
    assert len(alone) > 1
    for launch, config in launches:
        shutil.copy(ROOT / config, root)
        workspace.set(train__launch=launch, train__launch_config=config)
        assert "Warning" not in workspace.stage("train_qlora").stderr
        together, weights_together, trainable_together = learnt()
        assert together == pytest.approx(alone, rel=1e-4)
        assert trainable_together == trainable
        assert weights_together.keys() == weights.keys()
        for key, weight in weights.items():
            torch.testing.assert_close(weights_together[key], weight, atol=1e-4, rtol=0)
        sharded = list(root.glob(".cache/checkpoints/*/checkpoint-*/pytorch_model_fsdp.bin"))
        assert bool(sharded) == ((launch, config) == FSDP)


def test_a_launcher_that_starts_one_process_is_an_error_and_no_endless_chain(workspace, tiny_base):
    make_small(workspace, tiny_base)
    (workspace.root / "one.yaml").write_text("distributed_type: MULTI_CPU\nuse_cpu: true\nnum_processes: 2\n")
    workspace.set(train__launch="accelerate", train__launch_config="one.yaml")
    for name in ("questions", "answers", "split"):
        workspace.stage(name)
    result = workspace.stage("train_qlora", check=False)
    assert result.returncode != 0
    assert "train.launch: accelerate started one process" in result.stderr
