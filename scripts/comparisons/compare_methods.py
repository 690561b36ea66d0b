"""Every way to fine-tune as a DVC experiment, and docs/methods.md of what came of them.

    python -m scripts.comparisons.compare_methods            # or make compare; `python -m scripts.comparisons.compare_methods lora full` runs these alone

Each is `dvc exp run --temp`, beside the workspace. One whose experiment is there already is not run again, so a comparison
that was stopped goes on where it was; methods that have not run are left out of the page.
"""

from tonetune.core.startup import silence_libraries

silence_libraries()

import argparse
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import dvc.api
import numpy as np
from ruamel.yaml import YAML

from scripts.comparisons.points import with_interval
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import cache_dir, read_json, replacing, write_json
from tonetune.core.params import load_params
from tonetune.core.rows import Style
from tonetune.evaluation.lineup import RIVALS, Baselines
from tonetune.evaluation.names import BASE_FEWSHOT, BASE_PROMPTED, TUNED
from tonetune.experiments import answers_of, check_same, ensure, experiments
from tonetune.report.statistics import LEVEL, mean_interval, question_means, teacher_perplexity

PAGE = Path("docs/methods.md")
CAVEAT = (
    "All of it holds for one small base (135M parameters), one persona and a few hundred examples; a larger base or a harder "
    "task may answer otherwise. A difference is shown where its interval leaves out 0; the intervals are not corrected for "
    "their number, so one in twenty may do so by luck."
)
DIGITS = {"joint": 3, "tone": 2, "relevance": 2, "fluency": 2, "reported_tone": 2}  # of each score that is shown
SAME = ("qlora", "qlora_seed1", "qlora_seed2")  # but for the seed of training
STORED = ("full", "last_layers", "lora", "qlora", "qlora_step", "lora_8bit")
LORA, QLORA = ("train.tuning=lora",), ("train.tuning=qlora",)

METHODS: dict[str, tuple[str, ...]] = {
    "qlora": QLORA,
    # Once more with another initialisation and order of training: what is luck.
    "qlora_seed1": (*QLORA, "train.seed=1"),
    "qlora_seed2": (*QLORA, "train.seed=2"),
    "qlora_step": (*QLORA, "train.dequantize=step"),
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

Pairs = tuple[tuple[str, str], ...]
"""Methods whose difference answers a question: the first less the second."""

CLAIMS: dict[str, tuple[str, Pairs]] = {
    "C1": ("A small fine-tuned model can outperform a larger general one at the task.", ()),
    "C2": ("A higher rank is more precise.", (("lora_r64", "lora_r8"), ("lora_r256", "lora_r8"))),
    "C3": ("Between 8 and 256 the rank may not matter.", (("lora", "lora_r8"), ("lora_r256", "lora"))),
    "C4": (
        "All layers must be adapted to match training everything.",
        (("lora", "full"), ("attention", "full"), ("attention", "lora"), ("mlp", "lora")),
    ),
    "C5": (
        "Alpha scales the update: twice the rank (LoRA), a quarter of it (QLoRA).",
        (("alpha_rank", "lora"), ("alpha_quarter", "lora")),
    ),
    "C6": ("Dropout helps against overfitting.", (("dropout", "lora"),)),
    "C7": ("Prompting could do instead.", ()),
    "C8": (
        "PEFT cuts computation and storage; QLoRA cuts memory further at no loss.",
        (("qlora", "lora"), ("lora_8bit", "lora")),
    ),
}

QUESTIONS: dict[str, Pairs] = {
    "How far is the training of the last layers from LoRA?": (("last_layers", "lora"), ("last_layers_head", "lora")),
    "Do the variants of LoRA add anything?": tuple((name, "lora") for name in ("rslora", "dora", "pissa", "neftune")),
    "What do other objectives add?": tuple((name, "lora") for name in ("self_supervised", "dpo", "sft_dpo", "grpo")),
}


@dataclass(frozen=True)
class Outcome:
    """What one method came to."""

    metrics: dict[str, float]
    trained: dict[str, float]
    scores: dict[str, dict[str, float]]
    """Each score of `DIGITS` by question; `reported_tone` is the second classifier's, on which nothing is trained."""
    perplexity: dict[Style, tuple[float, float, float]]
    """Of the teacher's answers in each style, with its 95 % interval over questions."""
    bytes_on_disk: int
    cost: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.comparisons.compare_methods", description="Compare the ways to fine-tune."
    )
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="default: all")
    chosen = parser.parse_args().methods or list(METHODS)
    if unknown := [name for name in chosen if name not in METHODS]:
        raise UserError(f"{unknown[0]}: no such method; known: {', '.join(METHODS)}")
    failed = [name for name in chosen if not ensure(f"m-{name}", METHODS[name])]
    known = experiments()
    there = {name: known[f"m-{name}"] for name in METHODS if f"m-{name}" in known}
    for name, revision in there.items():
        check_same(f"m-{name}", revision, METHODS[name])
    outcomes = {name: outcome(name, revision) for name, revision in there.items()}
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
        {score: question_means(rows, TUNED, score) for score in DIGITS},
        {style: teacher_perplexity(rows, TUNED, load_params().seed, style) for style in get_args(Style)},
        adapter["size"],
        cost(name, revision),
    )


def cost(name: str, revision: str) -> dict[str, float]:
    """Tokens a second and peak memory of a few steps of training, measured once an experiment; of grpo, which mostly
    generates, neither.
    """
    if name == "grpo":
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
        "questions. They cover the sampling of questions, not the luck of training. Speed and memory are those of "
        "eight steps of training on the machine that wrote this page (of sft_dpo: of its dpo): lora and rslora do the same "
        "work, and differ in speed by what else the machine did.",
        "",
        "| method | params | trained weights | on disk, MB | peak GiB | tokens/s | joint | tone | relevance | fluency | "
        "reporting tone | perplexity, persona | perplexity, plain |",
        "|" + "---|" * 13,
    ]
    for name, found in outcomes.items():
        scores = [mean_with_interval(found.scores[score], digits, seed) for score, digits in DIGITS.items()]
        perplexities = ["{:.1f} [{:.1f}, {:.1f}]".format(*found.perplexity[style]) for style in get_args(Style)]
        lines.append(
            f"| {name} | {' '.join(f'`{c}`' for c in METHODS[name]) or 'as they are'} "
            f"| {found.trained['trainable_parameters']:,} | {found.bytes_on_disk / 1e6:.1f} "
            f"| {found.cost.get('peak_gib', '–')} | {found.cost.get('tokens_per_second', '–')} "
            f"| {' | '.join([*scores, *perplexities])} |"
        )
    lines += ["", "## The claims", "", CAVEAT + luck(outcomes), ""]
    figures = claim_figures(outcomes)
    for name, (claim, pairs) in CLAIMS.items():
        lines.append(f"- **{name}** *{claim}* {answered(pairs, outcomes, seed, figures.get(name))}")
    lines += ["", "## What else was learnt", ""]
    lines += [f"- **{question}** {answered(pairs, outcomes, seed)}" for question, pairs in QUESTIONS.items()]
    return "\n".join([*lines, ""])


def luck(outcomes: dict[str, Outcome]) -> str:
    """How far the same method comes out apart with another seed of training."""
    same = [outcomes[name].metrics["joint"] for name in SAME if name in outcomes]
    if len(same) < len(SAME):
        return ""
    spread = float(np.std(same, ddof=1))
    return (
        f" Nor do they cover the luck of training: with three seeds of it {SAME[0]} has joint "
        f"{', '.join(f'{joint:.3f}' for joint in same)}, a standard deviation of {spread:.3f}, so that two methods whose joint "
        f"differs by less than {2 * 2**0.5 * spread:.2f} (two standard deviations of a difference) may differ by luck."
    )


def mean_with_interval(by_question: dict[str, float], digits: int, seed: int) -> str:
    """The mean over questions, with its 95 % interval."""
    values = np.array(list(by_question.values()))
    return with_interval(values.mean(), *mean_interval(values, LEVEL, seed), digits=f".{digits}f")


def answered(pairs: Pairs, outcomes: dict[str, Outcome], seed: int, figures: str | None = None) -> str:
    """What the figures and the differences of the pairs that have run say."""
    differences = [difference(a, b, outcomes, seed) for a, b in pairs if a in outcomes and b in outcomes]
    return " ".join([*([figures] if figures else []), *differences]) or "Not run yet."


def difference(a: str, b: str, outcomes: dict[str, Outcome], seed: int) -> str:
    """How `a` differs from `b` in joint and in the reporting classifier's tone, question by question."""
    parts = []
    for label, score in (("joint", "joint"), ("reporting tone", "reported_tone")):
        ours, theirs = (outcomes[name].scores[score] for name in (a, b))
        values = np.array([ours[question] - theirs[question] for question in sorted(ours.keys() & theirs.keys())])
        low, high = mean_interval(values, LEVEL, seed)
        verdict = "no difference shown" if low <= 0 <= high else ("higher" if low > 0 else "lower")
        parts.append(f"{label} {values.mean():+.3f} [{low:+.3f}, {high:+.3f}], {verdict}")
    return f"{a} less {b}: {'; '.join(parts)}."


def claim_figures(outcomes: dict[str, Outcome]) -> dict[str, str]:
    """Of the claims that are not only a difference between two methods: the figures, from the baselines and the table."""
    if not outcomes:
        return {}
    baselines = Baselines.read()
    prompted = {name: baselines.systems[name]["joint"] for name in (BASE_PROMPTED, BASE_FEWSHOT)}
    # The default, not whatever came out best on the test questions.
    method = "qlora" if "qlora" in outcomes else next(iter(outcomes))
    tuned = f"{method} has joint {outcomes[method].metrics['joint']:.3f}"
    rivals = {
        f"{label}, {form}": scores["joint"]
        for label, forms in baselines.entered(RIVALS).items()
        for form, scores in forms.items()
    }
    larger = (
        f"larger models: {named_figures(rivals)}" if rivals else "no larger model was set beside it, so this is open"
    )
    sizes = {name: found.bytes_on_disk / 1e6 for name, found in outcomes.items() if name in STORED}
    memory = {name: found.cost["peak_gib"] for name, found in outcomes.items() if name in STORED and found.cost}
    speed = {name: found.cost["tokens_per_second"] for name, found in outcomes.items() if name in STORED and found.cost}
    return {
        "C1": f"{tuned}; {larger}.",
        "C7": f"Prompted to be the persona, the untuned base has joint {named_figures(prompted)}; {tuned}.",
        "C8": f"MB on disk: {named_figures(sizes)}. Peak GiB in training: {named_figures(memory)}. Tokens a second: {named_figures(speed)}. On a CPU "
        "qlora turns its 4-bit weights to 16 bits once, so its memory is LoRA's; qlora_step keeps them and turns each back "
        "when it is used.",
    }


def named_figures(values: dict[str, float]) -> str:
    """Each figure after its name, in a line; `none` where there is none."""
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items()) or "none"


if __name__ == "__main__":
    run(main)
