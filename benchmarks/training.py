"""Training speed: the stage's trainer beside a stock SFTTrainer, and both beside what the machine multiplies.

`python -m benchmarks.training` needs data/train.jsonl. Each run is a process of its own, so that its peak memory is its own.
"""

from tone.quiet import silence_libraries

silence_libraries()

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from tone.base import compute_dtype, load_base, load_tokenizer
from tone.chat_format import IGNORED, supervised
from tone.params import Params, load_params
from tone.rows import Example, read_rows
from tone.training import add_adapter, load_for_training, make_trainer

QUANTIZATION = {"lora": "none", "qlora": "nf4"}
WARM_UP = 2  # steps before the clock starts


class Clock(TrainerCallback):
    """Counts the tokens, padding excluded, of the steps after the first few, and the seconds they take."""

    def __init__(self, collate: Any):
        self.collate, self.lengths, self.started, self.seconds, self.steps = collate, [], 0.0, 0.0, 0

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = self.collate(examples)
        self.lengths.append(int(batch["attention_mask"].sum()))
        return batch

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.steps += 1
        if self.steps == WARM_UP:
            self.started = time.perf_counter()
        self.seconds = time.perf_counter() - self.started

    @property
    def tokens_per_second(self) -> float:
        return sum(self.lengths[WARM_UP : self.steps]) / self.seconds


def stock_trainer(
    params: Params, examples: list[dict[str, Any]], tokenizer: Any, steps: int, folder: str
) -> SFTTrainer:
    """SFTTrainer as it comes, but for model, data, rank, batch, precision and quantisation, which are the stage's."""
    settings, dtype = params.train, compute_dtype(params.compute.dtype)
    arguments = SFTConfig(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        bf16=dtype == torch.bfloat16,
        max_length=settings.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
        save_strategy="no",
    )
    lora = settings.lora
    return SFTTrainer(
        model=load_base(params.base_model, params.compute, settings.quantization),
        args=arguments,
        train_dataset=Dataset.from_list(examples),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=lora.r, lora_alpha=lora.alpha, target_modules="all-linear", task_type="CAUSAL_LM"),
    )


def stage_trainer(
    params: Params, examples: list[dict[str, Any]], tokenizer: Any, steps: int, folder: str
) -> SFTTrainer:
    """The trainer of the stage train_qlora."""
    settings = params.train
    epochs = steps * settings.batch_size / len(examples)
    model = add_adapter(load_for_training(params), settings.lora, params.seed)
    return make_trainer(
        model,
        tokenizer,
        examples,
        examples[:1],
        settings.model_copy(update={"epochs": epochs, "evals_per_epoch": 1}),
        params.seed,
        Path(folder),
        compute_dtype(params.compute.dtype),
    )


def measure(params: Params, which: str, steps: int) -> dict[str, float]:
    """Train for `steps` steps; tokens a second, their cost in GFLOP, and the process's peak memory."""
    tokenizer = load_tokenizer(params.base_model)
    rows = read_rows("data/train.jsonl", Example)
    examples = [supervised(tokenizer, row, params.train.max_length) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        trainer = (stage_trainer if which == "ours" else stock_trainer)(params, examples, tokenizer, steps, folder)
        trainer.data_collator = clock = Clock(trainer.data_collator)
        trainer.add_callback(clock)
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    answers = sum(token != IGNORED for example in examples for token in example["labels"])
    share = answers / sum(len(example["labels"]) for example in examples)
    return {
        "tokens_per_second": round(clock.tokens_per_second, 1),
        "gflop_per_token": round(gflop_per_token(trainer.model, share), 4),
        "peak_gib": round(peak, 2),
    }


def gflop_per_token(model: PeftModel, supervised_share: float) -> float:
    """Forward and backward: 4 operations a frozen weight, 6 a trained one, the head for supervised tokens only."""
    config = model.config
    head = config.vocab_size * config.hidden_size
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(m.in_features * m.out_features for m in model.modules() if is_base_linear(m)) - head
    return (4 * frozen + 6 * trained + 4 * head * supervised_share) / 1e9


def is_base_linear(module: torch.nn.Module) -> bool:
    """A linear layer of the base model, not of an adapter, whose outputs are more than any rank in use."""
    return isinstance(module, torch.nn.Linear) and min(module.in_features, module.out_features) > 128


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
                start = time.perf_counter()
                left @ right
                times.append(time.perf_counter() - start)
            seconds += count * sorted(times)[len(times) // 2]
            operations += count * 2 * rows * outputs * inputs
    return operations / seconds / 1e9


def in_its_own_process(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.training", *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def report(tunings: list[str], steps: int) -> dict[str, float]:
    """Run all measurements, print a table, and return them under the names of benchmarks/results.json."""
    results: dict[str, float] = {}
    print("| tuning | trainer | tokens/s | to stock | share of the matmul rate | peak GiB |\n|---|---|---|---|---|---|")
    rate = in_its_own_process("--measure", "matmul")["gflop_per_second"]
    for tuning in tunings:
        stock, ours = (
            in_its_own_process("--measure", which, "--tuning", tuning, "--steps", str(steps))
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
    parser.add_argument("--tuning", choices=list(QUANTIZATION), default="qlora")
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    params = load_params()
    train = params.train.model_copy(update={"quantization": QUANTIZATION[options.tuning]})
    params = params.model_copy(update={"train": train})
    if options.measure == "matmul":
        print(json.dumps({"gflop_per_second": matmul_rate(params)}))
    elif options.measure:
        print(json.dumps(measure(params, options.measure, options.steps)))
    else:
        print(json.dumps(report(list(QUANTIZATION), options.steps), indent=2))


if __name__ == "__main__":
    main()
