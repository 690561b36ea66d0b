"""All that is measured of speed, one after the other: `make bench`, about ten minutes on 2 cores and
11 GiB of memory. Needs what `dvc repro` writes. Chat is measured too where `python -m scripts.export gguf` has written what
llama.cpp runs beside it, and merging where training made an adapter; where not, a line says so.

Prints tables with ratios, and writes them to benchmarks/results.json, results.md and results.png. Nothing else should run
beside it: two torch processes on two cores slow each other down tenfold.
"""

import argparse

from tonetune.core.startup import silence_libraries

PARSER = argparse.ArgumentParser(prog="python -m benchmarks", description="All that is measured of speed.")
if __name__ == "__main__":
    PARSER.parse_args()  # help, and what is mistyped, before what takes long to load

silence_libraries()

import json
import os
import time
from importlib.metadata import version
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

from benchmarks import adapter_merge, chat, device, generation, startup, training
from tonetune.core.command import run, stage_times
from tonetune.core.files import replacing
from tonetune.core.params import Params, load_params

STEPS = 6
CHAT_ROUNDS = 2
FOLDER = Path("benchmarks")
RATIOS = {
    "train_ratio_to_stock": "training, to a stock SFTTrainer",
    "generate_ratio_to_single": "generation, to one prompt at a time",
}
SHARES = {
    "train_lora_share_of_matmul_rate": "LoRA, of the matrix-product rate",
    "train_qlora_share_of_matmul_rate": "QLoRA, of the matrix-product rate",
}


def main() -> None:
    started = time.perf_counter()
    params = load_params()
    tuning = params.train.tuning
    results = training.report(training.TUNINGS, STEPS)
    # The headline figures are those of the tuning in params.yaml.
    for name in ("ratio_to_stock", "share_of_matmul_rate"):
        if f"train_{tuning}_{name}" in results:
            results[f"train_{name}"] = results[f"train_{tuning}_{name}"]
    results |= training.growth(STEPS)
    generated = generation.measure()
    print("\n".join(f"{name:36} {value:10.1f}" for name, value in generated.items()))
    results |= generated | startup.measure() | stages()
    results |= extras(params)
    results["seconds"] = time.perf_counter() - started
    write({name: round(value, 3) for name, value in results.items()})


def extras(params: Params) -> dict[str, float]:
    """What needs more than the pipeline's default run writes; a line for each that cannot be measured here."""
    found: dict[str, float] = {}
    if (adapter_merge.ADAPTER / "adapter_config.json").is_file():
        found |= adapter_merge.measure()
    else:
        print(f"merging          not measured: {adapter_merge.ADAPTER} holds no adapter (train.tuning: lora or qlora)")
    export = chat.exported(params)
    if (lacking := chat.missing(export)) is None:
        found |= chat.measure(params, export, CHAT_ROUNDS)
    else:
        print(f"chat             not measured: {lacking}")
    return found


def stages() -> dict[str, float]:
    """What each stage took when it last ran here, `stage_<name>_seconds` and `stage_<name>_peak_gib`, and their sum and peak."""
    times = stage_times()
    for stage, taken in times.items():
        print(f"{stage:16} {taken['seconds']:8.1f} s   {taken['peak_gib']:.2f} GiB")
    found = {f"stage_{stage}_{name}": value for stage, taken in times.items() for name, value in taken.items()}
    if times:
        found["stages_seconds"] = sum(taken["seconds"] for taken in times.values())
        found["stages_peak_gib"] = max(taken["peak_gib"] for taken in times.values())
    return found


def write(results: dict[str, float]) -> None:
    """The figures as JSON, as a table and as a picture, with the machine that they are of."""
    machine = f"{device.name()}, {os.cpu_count()} cores, torch {version('torch')}"
    with replacing(FOLDER / "results.json") as file:
        file.write(json.dumps({"machine": machine, **results}, indent=2) + "\n")
    rows = "\n".join(f"| `{name}` | {value:g} |" for name, value in results.items())
    with replacing(FOLDER / "results.md") as file:
        file.write(f"# Speed\n\nWritten by `make bench` on {machine}.\n\n| figure | value |\n|---|---|\n{rows}\n")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 2.4), layout="constrained")
    for axes, names, title in ((left, RATIOS, "times as fast"), (right, SHARES, "share")):
        shown = {label: results[name] for name, label in names.items() if name in results}
        axes.bar_label(axes.barh(list(shown), list(shown.values()), color="#4269d0"), fmt="%.2f", padding=3)
        axes.set_xlabel(title)
        axes.margins(x=0.25)
    figure.savefig(FOLDER / "results.png", dpi=120, metadata={"Software": None})
    print(f"\n{FOLDER}/results.json, results.md and results.png written")


if __name__ == "__main__":
    run(main)
