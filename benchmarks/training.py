"""Training speed: the stage's trainer beside a stock SFTTrainer, and both beside what the machine multiplies.

`python -m benchmarks.training` needs data/train.jsonl. Each run is a process of its own, so that its peak memory is its own.
"""

from tone.quiet import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from benchmarks.device import now, peak_gib
from tone.adapter import load_quantised
from tone.base import compute_dtype, load_base, load_tokenizer
from tone.chat_format import IGNORED, supervised
from tone.experiments import changed
from tone.objectives import Task, make_trainer
from tone.params import Params, load_params
from tone.rows import Example, Message, read_examples
from tone.tuning import model_for_training

TUNINGS = ("lora", "qlora")
WARM_UP = 2  # steps before the clock starts


class Clock(TrainerCallback):
    """Counts the tokens, padding excluded, of the steps after the first few, and the seconds they take."""

    def __init__(self, collate: Any):
        self.collate, self.lengths, self.started, self.seconds, self.steps = collate, [], 0.0, 0.0, 0

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = self.collate(examples)
        self.lengths.append(sum(int(mask.sum()) for name, mask in batch.items() if name.endswith("attention_mask")))
        return batch

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.steps += 1
        if self.steps == WARM_UP:
            self.started = now()
        if self.steps > WARM_UP:
            self.seconds = now() - self.started

    @property
    def tokens_per_second(self) -> float:
        return sum(self.lengths[WARM_UP : self.steps]) / self.seconds


def stock_trainer(params: Params, examples: Sequence[Example], tokenizer: Any, steps: int, folder: Path) -> SFTTrainer:
    """SFTTrainer as it comes, but for model, data, rank, batch, precision and quantisation, which are the stage's."""
    settings, dtype = params.train, compute_dtype(params.compute.dtype)
    encoded = [supervised(tokenizer, example, settings.max_length) for example in examples]
    arguments = SFTConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.peak_learning_rate("sft"),
        bf16=dtype == torch.bfloat16,
        max_length=settings.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
        save_strategy="no",
    )
    lora = settings.lora
    return SFTTrainer(
        model=load_quantised(params.base_model, params.compute, settings.tuning, dequantize=False),
        args=arguments,
        train_dataset=Dataset.from_list(encoded),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=lora.r, lora_alpha=lora.scaled_by, target_modules="all-linear", task_type="CAUSAL_LM"),
    )


def stage_trainer(params: Params, examples: Sequence[Example], tokenizer: Any, steps: int, folder: Path) -> Trainer:
    """The trainer of the stage train_qlora."""
    epochs = steps * params.train.batch_size / len(examples)
    settings = params.train
    dpo = settings.dpo.model_copy(update={"epochs": epochs})
    brief = settings.model_copy(update={"epochs": epochs, "evals_per_epoch": 1, "dpo": dpo})
    short = params.model_copy(update={"train": brief})
    phase = params.train.phases[-1]
    return make_trainer(Task(phase, model_for_training(params), tokenizer, examples, examples[:1], short, folder))


def joined(examples: Sequence[Example], count: int) -> list[Example]:
    """Every `count` examples as one, which is asked the first question and has all the answers."""
    groups = [examples[start : start + count] for start in range(0, len(examples) - count + 1, count)]
    answers = [" ".join(example.answer for example in group) for group in groups]
    return [
        group[0].model_copy(update={"completion": [Message(role="assistant", content=answer)]})
        for group, answer in zip(groups, answers, strict=True)
    ]


def measure(params: Params, which: str, steps: int, examples: Sequence[Example], answers: int = 1) -> dict[str, float]:
    """Train for `steps` steps; tokens a second, their cost in GFLOP, and the process's peak memory.

    With `answers` over 1 the examples are longer: so many answers in one.
    """
    tokenizer = load_tokenizer(params.base_model)
    examples = joined(examples, answers)
    with tempfile.TemporaryDirectory() as folder:
        build = stage_trainer if which == "ours" else stock_trainer
        trainer = build(params, examples, tokenizer, steps, Path(folder))
        trainer.data_collator = clock = Clock(trainer.data_collator)
        trainer.add_callback(clock)
        trainer.train()
    measured = {"tokens_per_second": round(clock.tokens_per_second, 1), "peak_gib": round(peak_gib(), 2)}
    if "labels" in trainer.train_dataset.column_names:
        labels = [label for row in trainer.train_dataset for label in row["labels"]]
        share = sum(label != IGNORED for label in labels) / len(labels)
        measured["gflop_per_token"] = round(gflop_per_token(trainer.model, share), 4)
    return measured


def gflop_per_token(model: torch.nn.Module, supervised_share: float) -> float:
    """Forward and backward pass of a LoRA tuning: 4 operations a frozen weight of a linear layer, 6 a trained one.

    The head counts for the supervised tokens alone.
    """
    config = model.config
    head = config.vocab_size * config.hidden_size
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    layers = [m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "lora_" not in n]
    frozen = sum(layer.in_features * layer.out_features for layer in layers) - head
    return (4 * frozen + 6 * trained + 4 * head * supervised_share) / 1e9


def matmul_rate(params: Params) -> float:
    """GFLOP/s of this machine on the base's own matrix products, forward and to the input, of one batch of tokens."""
    model = load_base(params.base_model, params.compute)
    dtype = compute_dtype(params.compute.dtype)
    rows = params.train.batch_size * 130
    shapes = {tuple(m.weight.shape) for m in model.model.modules() if isinstance(m, torch.nn.Linear)}
    operations = seconds = 0.0
    for outputs, inputs in sorted(shapes):
        count = sum(
            tuple(m.weight.shape) == (outputs, inputs) for m in model.model.modules() if isinstance(m, torch.nn.Linear)
        )
        weight, x, gradient = (
            torch.randn(size, dtype=dtype, device=model.device)
            for size in ((outputs, inputs), (rows, inputs), (rows, outputs))
        )
        for left, right in ((x, weight.t()), (gradient, weight)):
            times = []
            for _ in range(12):
                start = now()
                left @ right
                times.append(now() - start)
            seconds += count * sorted(times)[len(times) // 2]
            operations += count * 2 * rows * outputs * inputs
    return operations / seconds / 1e9


def growth(steps: int) -> dict[str, float]:
    """LoRA's tokens a second at other ranks, with fewer examples, and with longer ones."""
    variants = {
        "rank 4": ("-S", "train.lora.r=4"),
        "rank 64": ("-S", "train.lora.r=64"),
        "100 examples": ("--examples", "100"),
        "three answers in one example": ("--answers", "3"),
    }
    results = {}
    print("| LoRA with | tokens/s | peak GiB |\n|---|---|---|")
    for name, options in variants.items():
        run = in_its_own_process("--measure", "ours", "--steps", str(steps), "-S", "train.tuning=lora", *options)
        print(f"| {name} | {run['tokens_per_second']} | {run['peak_gib']} |", flush=True)
        results[f"train_lora_{name.replace(' ', '_')}_tokens_per_second"] = run["tokens_per_second"]
    return results


def in_its_own_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.training", *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def report(tunings: Sequence[str], steps: int) -> dict[str, float]:
    """Run all measurements, print a table, and return them under the names of benchmarks/results.json."""
    results: dict[str, float] = {}
    print("| tuning | trainer | tokens/s | to stock | share of the matmul rate | peak GiB |\n|---|---|---|---|---|---|")
    rate = in_its_own_process("--measure", "matmul")["gflop_per_second"]
    for tuning in tunings:
        stock, ours = (
            in_its_own_process("--measure", which, "-S", f"train.tuning={tuning}", "--steps", str(steps))
            for which in ("stock", "ours")
        )
        for which, run in (("stock", stock), ("ours", ours)):
            ratio = run["tokens_per_second"] / stock["tokens_per_second"]
            share = run["tokens_per_second"] * ours["gflop_per_token"] / rate
            print(
                f"| {tuning} | {which} | {run['tokens_per_second']} | {ratio:.2f} | {share:.0%} | {run['peak_gib']} |",
                flush=True,
            )
        results |= {
            f"train_{tuning}_tokens_per_second": ours["tokens_per_second"],
            f"train_{tuning}_ratio_to_stock": round(ratio, 3),
            f"train_{tuning}_share_of_matmul_rate": round(share, 3),
            f"train_{tuning}_peak_gib": ours["peak_gib"],
        }
    print(f"\nmatrix products: {rate:.0f} GFLOP/s; a token: {ours['gflop_per_token']} GFLOP")
    return results | {"matmul_gflop_per_second": round(rate, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="Training speed.")
    parser.add_argument(
        "--measure", choices=["stock", "ours", "matmul"], help="one run, as JSON; default: all, as a table"
    )
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--examples", type=int, help="train on the first so many; default: all")
    parser.add_argument("--answers", type=int, default=1, help="so many answers in one example")
    parser.add_argument(
        "-S", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="change a parameter"
    )
    options = parser.parse_args()
    params = Params.model_validate(changed(load_params().model_dump(), options.changes))
    if options.measure == "matmul":
        print(json.dumps({"gflop_per_second": matmul_rate(params)}))
    elif options.measure:
        examples = read_examples("train")[: options.examples]
        print(json.dumps(measure(params, options.measure, options.steps, examples, options.answers)))
    else:
        print(json.dumps(report(TUNINGS, options.steps), indent=2))


if __name__ == "__main__":
    main()
