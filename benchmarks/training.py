"""Training speed: the stage's trainer beside a stock SFTTrainer, and both beside what the machine multiplies meanwhile.

`python -m benchmarks.training` needs data/train.jsonl. Each run is a process of its own, so that its peak memory is its own. Those
that are compared take turns, since a machine's speed changes from minute to minute; they are in memory together, some 11 GiB.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from tonetune.core.startup import import_bitsandbytes, silence_libraries

TRAINERS = {"stock": "stock", "kept": "stock without gradient checkpointing", "ours": "ours"}
PARSER = argparse.ArgumentParser(prog="python -m benchmarks.training", description="Training speed.")
PARSER.add_argument("--measure", choices=list(TRAINERS), help="one run, as JSON; default: all, as a table")
PARSER.add_argument("--steps", type=int, default=12)
PARSER.add_argument("--in-turns", action="store_true", help="with --measure: wait after each step for a line")
PARSER.add_argument("--examples", type=int, help="train on the first so many; default: all")
PARSER.add_argument("--answers", type=int, default=1, help="so many answers in one example")
PARSER.add_argument("-S", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="change a parameter")
if __name__ == "__main__":
    PARSER.parse_args()  # help, and what is mistyped, before what takes long to load

silence_libraries()
import_bitsandbytes()

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from benchmarks.device import now, peak_gib
from benchmarks.matrix_products import Products, gflop_per_token
from tonetune.core.params import Params, load_params
from tonetune.core.rows import Example, Message, read_examples
from tonetune.experiments import changed, in_its_own_process
from tonetune.model.base import compute_dtype, load_tokenizer
from tonetune.model.quantization import load_quantised
from tonetune.training.encode import IGNORE_INDEX, supervised
from tonetune.training.trainers import Task, make_trainer
from tonetune.training.tuning import model_for_training

TUNINGS = ("lora", "qlora")
TURNS = ("stock", "kept", "ours", "ours")
STEP_DONE = "a step is done"
WARM_UP = 2  # steps before the clock starts


class Clock(TrainerCallback):
    """Counts the tokens, padding excluded, of the steps after the first few, and the seconds they take.

    After each of these steps it samples the `products`, off the clock; and after each step, `in_turns`, it waits to be told to go on.
    """

    def __init__(self, collate: Any, products: Products, in_turns: bool):
        self.collate, self.products, self.in_turns, self.lengths = collate, products, in_turns, []
        self.resumed, self.seconds, self.steps = 0.0, 0.0, 0

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = self.collate(examples)
        self.lengths.append(sum(int(mask.sum()) for name, mask in batch.items() if name.endswith("attention_mask")))
        return batch

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.steps += 1
        if self.steps > WARM_UP:
            self.seconds += now() - self.resumed
            self.products.sample()
        if self.in_turns:
            print(STEP_DONE, flush=True)
            sys.stdin.readline()
        self.resumed = now()

    @property
    def tokens_per_second(self) -> float:
        return sum(self.lengths[WARM_UP : self.steps]) / self.seconds


def stock_trainer(
    params: Params, examples: Sequence[Example], tokenizer: Any, steps: int, folder: Path, **arguments: Any
) -> SFTTrainer:
    """SFTTrainer as it comes, but for model, data, rank, batch, precision and quantisation, which are the stage's.

    As it comes it computes activations again in the backward pass: `gradient_checkpointing=False` among the `arguments`
    makes it keep them.
    """
    settings, dtype = params.train, compute_dtype(params.compute.dtype)
    encoded = [supervised(tokenizer, example, settings.max_length) for example in examples]
    config = SFTConfig(
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
        **arguments,
    )
    lora = settings.lora
    return SFTTrainer(
        model=load_quantised(params.base_model, params.compute, settings.tuning, dequantize=False),
        args=config,
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


def measure(
    params: Params, which: str, steps: int, examples: Sequence[Example], answers: int = 1, in_turns: bool = False
) -> dict[str, float]:
    """Train for `steps` steps; tokens a second, their cost in GFLOP, and the process's peak memory.

    With `answers` over 1 the examples are longer: so many answers in one. `in_turns` is for `side_by_side`.
    """
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    examples = joined(examples, answers)
    with tempfile.TemporaryDirectory() as folder:
        builds = {
            "ours": stage_trainer,
            "stock": stock_trainer,
            "kept": partial(stock_trainer, gradient_checkpointing=False),
        }
        trainer = builds[which](params, examples, tokenizer, steps, Path(folder))
        trainer.data_collator = clock = Clock(trainer.data_collator, Products(trainer.model, params), in_turns)
        trainer.add_callback(clock)
        trainer.train()
    measured = {
        "tokens_per_second": round(clock.tokens_per_second, 1),
        "peak_gib": round(peak_gib(), 2),
        "gflop_per_second": round(clock.products.rate, 1),
    }
    if "labels" in trainer.train_dataset.column_names:
        labels = [label for row in trainer.train_dataset for label in row["labels"]]
        share = sum(label != IGNORE_INDEX for label in labels) / len(labels)
        measured["gflop_per_token"] = round(gflop_per_token(trainer.model, share), 4)
    return measured


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
        run = in_its_own_process(
            "benchmarks.training", "--measure", "ours", "--steps", str(steps), "-S", "train.tuning=lora", *options
        )
        print(f"| {name} | {run['tokens_per_second']} | {run['peak_gib']} |", flush=True)
        results[f"train_lora_{name.replace(' ', '_')}_tokens_per_second"] = run["tokens_per_second"]
    return results


def side_by_side(tuning: str, steps: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """What each of the trainers comes to in so many `steps`, which they take in turns."""
    processes = {}
    found: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        for which, count in steps.items():
            command = [sys.executable, "-m", "benchmarks.training", "--in-turns", "--measure", which]
            command += ["-S", f"train.tuning={tuning}", "--steps", str(count)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes[which] = stack.enter_context(process)
            _step(process)
        for which in cycle(TURNS):
            if which not in found and (printed := _step(processes[which], "\n")):
                found[which] = json.loads(printed)
            if len(found) == len(steps):
                break
    return found


def _step(process: subprocess.Popen[str], command: str = "") -> str:
    """Tell the process to go on, and wait until it has done a step, or has ended: then the last line that it printed."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(command)
    process.stdin.flush()
    last = ""
    for line in process.stdout:
        if line.strip() == STEP_DONE:
            return ""
        last = line
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return last


def report(tunings: Sequence[str], steps: int) -> dict[str, float]:
    """Run all measurements, print a table, and return them under the names of benchmarks/results.json."""
    results: dict[str, float] = {}
    print("| tuning | trainer | tokens/s | to stock | share of the matmul rate | peak GiB |\n|---|---|---|---|---|---|")
    rates = []
    for tuning in tunings:
        runs = side_by_side(tuning, {"stock": steps, "kept": steps, "ours": 2 * steps})
        operations = runs["ours"]["gflop_per_token"]
        for which, run in runs.items():
            run["ratio"] = run["tokens_per_second"] / runs["stock"]["tokens_per_second"]
            run["share"] = run["tokens_per_second"] * operations / run["gflop_per_second"]
            rates.append(run["gflop_per_second"])
            print(
                f"| {tuning} | {TRAINERS[which]} | {run['tokens_per_second']} | {run['ratio']:.2f} | {run['share']:.0%} "
                f"| {run['peak_gib']} |",
                flush=True,
            )
        results |= {
            f"train_{tuning}_tokens_per_second": runs["ours"]["tokens_per_second"],
            f"train_{tuning}_ratio_to_stock": round(runs["ours"]["ratio"], 3),
            f"train_{tuning}_ratio_to_stock_without_checkpointing": round(
                runs["ours"]["ratio"] / runs["kept"]["ratio"], 3
            ),
            f"train_{tuning}_share_of_matmul_rate": round(runs["ours"]["share"], 3),
            f"train_{tuning}_peak_gib": runs["ours"]["peak_gib"],
        }
    print(f"\nmatrix products: {min(rates):.0f} to {max(rates):.0f} GFLOP/s; a token: {operations} GFLOP")
    return results | {"matmul_gflop_per_second": round(sum(rates) / len(rates), 1)}


def main() -> None:
    options = PARSER.parse_args()
    params = Params.model_validate(changed(load_params().model_dump(), options.changes))
    if options.measure:
        examples = read_examples("train")[: options.examples]
        run = measure(params, options.measure, options.steps, examples, options.answers, options.in_turns)
        print(json.dumps(run))
    else:
        print(json.dumps(report(TUNINGS, options.steps), indent=2))


if __name__ == "__main__":
    main()
