"""Every way to fine-tune as a DVC experiment, and docs/methods.md of what came of them.

    python -m benchmarks.compare            # or make compare; `python -m benchmarks.compare lora full` runs these alone

Each is `dvc exp run --temp`, beside the workspace. One whose experiment is there already is not run again, so a comparison
that was stopped goes on where it was; methods that have not run are left out of the page.
"""

import argparse
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dvc.api
import numpy as np
from ruamel.yaml import YAML

from tone.comparison import LEVEL, mean_interval, question_means, teacher_perplexity
from tone.errors import UserError, run
from tone.experiments import answers_of, ensure, experiments
from tone.files import cache_dir, read_json, replacing, write_json
from tone.params import load_params
from tone.systems import HEADLINE

PAGE = Path("docs/methods.md")
LORA = ("train.tuning=lora",)

METHODS: dict[str, tuple[str, ...]] = {
    "qlora": (),
    "lora": LORA,
    "lora_8bit": ("train.tuning=lora_8bit",),
    "full": ("train.tuning=full",),
    "last_layers": ("train.tuning=last_layers",),
    "last_layers_head": ("train.tuning=last_layers", "train.last_layers.head=true"),
    **{f"lora_r{r}": (*LORA, f"train.lora.r={r}", "train.lora.alpha=2r") for r in (8, 64, 256)},
    "alpha_rank": (*LORA, "train.lora.alpha=1r"),
    "alpha_quarter": (*LORA, "train.lora.alpha=0.25r"),
    "attention": (*LORA, "train.lora.target_modules=attention"),
    "mlp": (*LORA, "train.lora.target_modules=mlp"),
    "dropout": (*LORA, "train.lora.dropout=0.1"),
    "rslora": (*LORA, "train.lora.rslora=true"),
    "dora": (*LORA, "train.lora.dora=true"),
    "pissa": (*LORA, "train.lora.init=pissa"),
    "neftune": (*LORA, "train.neftune=5.0"),
    "self_supervised": (*LORA, "train.objective=self_supervised"),
    "dpo": (*LORA, "train.objective=dpo"),
    "sft_dpo": (*LORA, "train.objective=sft_dpo"),
    "grpo": (*LORA, "train.objective=grpo"),
}

# What is asked, and the pairs whose difference answers it: the first less the second.
QUESTIONS = (
    ("Does the rank matter from 8 to 256 (C2, C3)?", (("lora_r64", "lora_r8"), ("lora_r256", "lora_r8"))),
    (
        "Does alpha matter: twice the rank against the rank itself and a quarter (C5)?",
        (("lora", "alpha_rank"), ("lora", "alpha_quarter")),
    ),
    ("Do all layers beat attention only (C4)?", (("lora", "attention"), ("lora", "mlp"))),
    ("How far is LoRA from training everything (C4, C8)?", (("lora", "full"), ("lora", "last_layers"))),
    ("What do four and eight bits cost (C8)?", (("qlora", "lora"), ("lora_8bit", "lora"))),
    ("Does dropout help against overfitting (C6)?", (("dropout", "lora"),)),
    ("Do the variants of LoRA add anything?", tuple((name, "lora") for name in ("rslora", "dora", "pissa", "neftune"))),
    ("What do other objectives add?", tuple((name, "lora") for name in ("self_supervised", "dpo", "sft_dpo", "grpo"))),
)


@dataclass(frozen=True)
class Outcome:
    """What one method came to."""

    metrics: dict[str, float]
    trained: dict[str, float]
    joint: dict[str, float]
    """By question."""
    reported: dict[str, float]
    """The tone that the second classifier sees, on which nothing is trained."""
    perplexity: tuple[float, float, float]
    """Of the teacher's persona answers, with its 95 % interval over questions."""
    bytes_on_disk: int
    cost: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description="Compare the ways to fine-tune.")
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="default: all")
    chosen = parser.parse_args().methods or list(METHODS)
    if unknown := [name for name in chosen if name not in METHODS]:
        raise UserError(f"{unknown[0]}: no such method; known: {', '.join(METHODS)}")
    failed = [name for name in chosen if not ensure(f"m-{name}", METHODS[name])]
    known = experiments()
    outcomes = {name: outcome(name, known[f"m-{name}"]) for name in METHODS if f"m-{name}" in known}
    with replacing(PAGE) as file:
        file.write(page(outcomes, load_params().seed))
    print(f"{PAGE} written: {len(outcomes)} of {len(METHODS)} methods")
    if failed:
        raise UserError(f"no experiment for {', '.join(failed)}: see the messages above")


def outcome(name: str, revision: str) -> Outcome:
    """The method's figures: from its experiment, and from a few steps of training for speed and memory."""
    rows = answers_of(f"m-{name}", revision)
    lock = YAML(typ="safe").load(io.StringIO(dvc.api.read("dvc.lock", rev=revision)))
    (adapter,) = (out for out in lock["stages"]["train_qlora"]["outs"] if out["path"] == "models/adapter")
    return Outcome(
        json.loads(dvc.api.read("metrics/evaluate.json", rev=revision)),
        json.loads(dvc.api.read("metrics/train.json", rev=revision)),
        question_means(rows, "tuned", "joint"),
        question_means(rows, "tuned", "reported_tone"),
        teacher_perplexity(rows, "tuned", load_params().seed),
        adapter["size"],
        cost(name, revision),
    )


def cost(name: str, revision: str) -> dict[str, float]:
    """Tokens a second and peak memory of a few steps of supervised training, measured once an experiment."""
    if "train.objective" in " ".join(METHODS[name]) and "self_supervised" not in name:
        return {}
    kept = cache_dir("methods") / f"{name}-{revision[:12]}.json"
    if not kept.is_file():
        changes = [part for change in METHODS[name] for part in ("-S", change)]
        command = [sys.executable, "-m", "benchmarks.training", "--measure", "ours", "--steps", "8", *changes]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        write_json(kept, json.loads(output.splitlines()[-1]))
    measured: dict[str, float] = read_json(kept)
    return measured


def page(outcomes: dict[str, Outcome], seed: int) -> str:
    """docs/methods.md: the table, the questions, the claims."""
    lines = [
        "# Ways to fine-tune, compared",
        "",
        f"Written by `make compare`: {len(outcomes)} of {len(METHODS)} methods, each one training run of the default base on "
        "the same data, at the learning rate that suits its tuning. In brackets: 95 % bootstrap intervals over the test "
        "questions. They hold the sampling of questions, not that of training: one seed each. Speed and memory are those of "
        "eight steps of supervised training on the machine that wrote this page.",
        "",
        "| method | params | trained weights | on disk, MB | peak GiB | tokens/s | joint | tone | relevance | fluency | "
        "perplexity, persona | perplexity, plain |",
        "|" + "---|" * 12,
    ]
    for name, found in outcomes.items():
        low, high = mean_interval(np.array(list(found.joint.values())), LEVEL, seed)
        middle, least, most = found.perplexity
        tone, relevance, fluency = (f"{found.metrics[score]:.2f}" for score in HEADLINE[1:4])
        lines.append(
            f"| {name} | {' '.join(f'`{c}`' for c in METHODS[name]) or 'as they are'} "
            f"| {found.trained['trainable_parameters']:,} | {found.bytes_on_disk / 1e6:.1f} "
            f"| {found.cost.get('peak_gib', '–')} | {found.cost.get('tokens_per_second', '–')} "
            f"| {found.metrics['joint']:.3f} [{low:.3f}, {high:.3f}] | {tone} | {relevance} | {fluency} "
            f"| {middle:.1f} [{least:.1f}, {most:.1f}] | {found.metrics['perplexity_plain']:.1f} |"
        )
    lines += ["", "## What was learnt", ""]
    for question, pairs in QUESTIONS:
        answers = [difference(a, b, outcomes, seed) for a, b in pairs if a in outcomes and b in outcomes]
        lines.append(f"- **{question}** {' '.join(answers) or 'Not run yet.'}")
    return "\n".join([*lines, *claims(outcomes), ""])


def difference(a: str, b: str, outcomes: dict[str, Outcome], seed: int) -> str:
    """How `a` differs from `b` in joint and in the reporting classifier's tone, question by question."""
    parts = []
    for label, scores in (("joint", "joint"), ("reporting tone", "reported")):
        ours, theirs = (getattr(outcomes[name], scores) for name in (a, b))
        values = np.array([ours[question] - theirs[question] for question in sorted(ours.keys() & theirs.keys())])
        low, high = mean_interval(values, LEVEL, seed)
        verdict = "no difference shown" if low <= 0 <= high else ("higher" if low > 0 else "lower")
        parts.append(f"{label} {values.mean():+.3f} [{low:+.3f}, {high:+.3f}], {verdict}")
    return f"{a} less {b}: {'; '.join(parts)}."


def claims(outcomes: dict[str, Outcome]) -> list[str]:
    """The project's claims that a pair above does not answer, from the baselines and the table."""
    lines = [
        "",
        "## The claims",
        "",
        "C2 to C6 and C8 are answered by the pairs above. All of it holds for one small base (135M parameters), one persona "
        "and a few hundred examples; a larger base or a harder task may answer otherwise.",
        "",
    ]
    baselines: dict[str, Any] = read_json("metrics/baselines.json")
    joints = {
        name: scores["joint"] for name, scores in baselines.items() if isinstance(scores, dict) and "joint" in scores
    }
    prompted = {name: joint for name, joint in joints.items() if name.startswith("base_")}
    best = max(outcomes, key=lambda name: outcomes[name].metrics["joint"], default=None)
    if best:
        tuned = outcomes[best].metrics["joint"]
        lines.append(
            f"- **C1, a small tuned model can beat a larger general one:** the best method here, {best}, has joint {tuned:.3f}; "
            f"the systems of `metrics/baselines.json`, larger rivals among them where `evaluate.rivals` names any: "
            f"{listed({name: joint for name, joint in joints.items() if name not in prompted})}."
        )
        lines.append(
            f"- **C7, prompting could do instead:** told who to be, the untuned base has {listed(prompted)}; tuned, {tuned:.3f}."
        )
    sizes = {name: found.bytes_on_disk / 1e6 for name, found in outcomes.items() if name in ("full", "lora", "qlora")}
    if sizes:
        lines.append(f"- **C8, storage:** MB on disk: {listed(sizes)}.")
    return lines


def listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items()) or "none"


if __name__ == "__main__":
    run(main)
