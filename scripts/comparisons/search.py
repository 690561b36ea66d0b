"""Which parameters give the highest joint on validation questions: an optimiser (Optuna's TPE) over DVC experiments.

    python -m scripts.comparisons.search 20                # or make search TRIALS=20: until twenty are measured
    python -m scripts.comparisons.search 20 --space my.yaml

Each trial is `dvc exp run --temp -n s-<hash> -S … --single-item split train_qlora`: it trains, and its adapter then answers the validation questions; no
test question is asked. All answers are scored by the scorers of the workspace. What was tried is kept in .cache/search, so a
search that was stopped goes on where it was, with the proposals that it would have made.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonetune.core.startup import import_bitsandbytes, silence_libraries

PARSER = argparse.ArgumentParser(
    prog="python -m scripts.comparisons.search", description="Search parameters by validation joint."
)
PARSER.add_argument("trials", nargs="?", type=int, default=20, metavar="TRIALS", help="default: 20")
PARSER.add_argument("--space", type=Path, default=Path("search.yaml"), metavar="FILE", help="default: search.yaml")
if __name__ == "__main__":
    PARSER.parse_args()  # help, and what is mistyped, before what takes long to load

silence_libraries()
import_bitsandbytes()

import dvc.api
import numpy as np

from scripts.comparisons.search_space import Space, Value, as_change, read_space
from scripts.comparisons.trained import ADAPTER, STAGES, Measured, measured, measured_experiment
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import cache_dir, load_yaml, locked
from tonetune.core.params import Params, load_params
from tonetune.core.rows import read_examples
from tonetune.core.tables import write_table
from tonetune.experiments import ensure, experiments
from tonetune.report.statistics import LEVEL, mean_interval

if TYPE_CHECKING:
    import optuna

TABLE = Path("reports/search.csv")
WORKSPACE, NAME, ENDED = "workspace", "experiment", "ended"
GIVE_UP = 3
"""Experiments that may fail one after the other."""


def main() -> None:
    arguments = PARSER.parse_args()
    if arguments.trials < 1:
        raise UserError(f"trials: {arguments.trials} is none; give 1 or more")
    params = load_params()
    space = read_space(arguments.space, params)
    validation = read_examples("validation")  # fails before an experiment has run

    with locked(
        cache_dir("search") / "lock"
    ):  # a second search would take the first one's trial for an interrupted one
        study = opened(space)
        if WORKSPACE not in study.user_attrs:
            study.set_user_attr(WORKSPACE, measured(params, params, ADAPTER, validation, "the workspace"))
        failures = 0
        while len(complete(study)) < arguments.trials and failures < GIVE_UP:
            failures = 0 if try_next(study, space, params) else failures + 1
        if trials := complete(study):
            show(trials, study.user_attrs[WORKSPACE], space, params.seed)
            for sentence in conclusions(trials, study.user_attrs[WORKSPACE], space, params.seed):
                print(sentence)
            print(f"{TABLE} written")
        if failures:
            raise UserError(f"the last {failures} experiments failed: see the messages above")


def opened(space: Space) -> "optuna.Study":
    """The study of this space over this data, code and these params; what a killed search left unfinished is closed."""
    try:
        import optuna
    except ImportError:
        raise UserError(
            "optuna: not installed; `make search` installs it, or `pip install --no-deps -r requirements-search.lock`"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lock = load_yaml("dvc.lock").get("stages", {}).get(STAGES[-1])
    if lock is None:
        raise UserError(f"dvc.lock: {STAGES[-1]} has not run; `dvc repro` first")
    fixed = json.dumps([space.model_dump(), lock["deps"], dvc.api.params_show()], sort_keys=True)
    study = optuna.create_study(
        storage=f"sqlite:///{cache_dir('search').resolve() / 'trials.db'}",
        study_name=hashlib.sha256(fixed.encode()).hexdigest()[:12],
        direction="maximize",
        load_if_exists=True,
    )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def complete(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    """The trials that are measured, the highest joint first."""
    from optuna.trial import TrialState

    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(found, key=lambda trial: trial.value or 0.0, reverse=True)


def try_next(study: "optuna.Study", space: Space, params: Params) -> bool:
    """Run and measure what the optimiser proposes; whether its experiment succeeded."""
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    # Seeded by how many have ended, not once: a search that goes on would begin with the proposals of its first start.
    before = sum(ENDED in trial.user_attrs for trial in study.get_trials(deepcopy=False))
    study.sampler = TPESampler(seed=params.seed + before, warn_independent_sampling=False)
    trial = study.ask()
    values = space.propose(trial)
    changes = [as_change(key, value) for key, value in values.items()]
    name = experiment_name(changes)
    trial.set_user_attr(NAME, name)
    if not ensure(name, changes, STAGES):
        trial.set_user_attr(ENDED, True)
        study.tell(trial, state=TrialState.FAIL)
        return False
    found = measured_experiment(experiments()[name], params, read_examples("validation"), name)
    for score, by_question in found.items():
        trial.set_user_attr(score, by_question)
    trial.set_user_attr(ENDED, True)
    study.tell(trial, float(np.mean(found["joint"])))
    return True


def experiment_name(changes: Sequence[str]) -> str:
    """The same for the same changes, so that an experiment is found again."""
    return f"s-{hashlib.sha256(json.dumps(sorted(changes)).encode()).hexdigest()[:10]}"


def conclusions(
    trials: "Sequence[optuna.trial.FrozenTrial]", workspace: Measured, space: Space, seed: int
) -> list[str]:
    """What is best, how sure it is that it beats the workspace's own run, and how to have it. `trials`: the best first."""
    best = trials[0]
    lead = np.array(best.user_attrs["joint"]) - np.array(workspace["joint"])
    low, high = mean_interval(lead, LEVEL, seed)
    verdict = "more than chance would give one trial" if low > 0 else "no more than chance may give"
    options = " ".join(f"-S '{as_change(key, value)}'" for key, value in values_of(best, space).items())
    return [
        f"Best of {len(trials)}: {best.user_attrs[NAME]}, joint {best.value:.3f} on {len(lead)} validation questions.",
        f"That is {lead.mean():+.3f} [{low:+.3f}, {high:+.3f}] on the workspace's own run, {verdict}; the best of several is chosen,"
        " so its lead is flattered: what it is worth, the test questions say.",
        f"To have it: dvc exp run {options}",
    ]


def values_of(trial: "optuna.trial.FrozenTrial", space: Space) -> dict[str, Value]:
    """What the trial tried, as its experiment had it."""
    return {key: space.rounded(value) for key, value in trial.params.items()}


def show(trials: "Sequence[optuna.trial.FrozenTrial]", workspace: Measured, space: Space, seed: int) -> None:
    """Print the trials, best joint first, with the workspace's own run, and write them as CSV."""
    keys = list(space.root)
    lines: list[list[Any]] = [
        [trial.user_attrs[NAME], *figures(trial.user_attrs, seed), *(values_of(trial, space).get(key) for key in keys)]
        for trial in trials
    ]
    lines.append([WORKSPACE, *figures(workspace, seed), *(None for _ in keys)])
    print(f"\n{'experiment':<14}{'joint':<22}{'sense':>6}{'tone':>6}  tried")
    for name, joint, low, high, sense, tone, *values in sorted(lines, key=lambda line: line[1], reverse=True):
        tried = " ".join(f"{key}={value}" for key, value in zip(keys, values, strict=True) if value is not None)
        print(f"{name:<14}{f'{joint:.3f} [{low:.3f}, {high:.3f}]':<22}{sense:>6.3f}{tone:>6.3f}  {tried}")
    print("in brackets: 95 % bootstrap intervals over the validation questions\n")
    write_table(TABLE, [NAME, "joint", "joint_low", "joint_high", "sense", "tone", *keys], lines)


def figures(scores: Measured, seed: int) -> list[float]:
    """Mean joint with the ends of its 95 % interval over the validation questions, mean sense and mean tone."""
    joint = np.array(scores["joint"])
    found = [joint.mean(), *mean_interval(joint, LEVEL, seed), np.mean(scores["sense"]), np.mean(scores["tone"])]
    return [round(float(value), 6) for value in found]


if __name__ == "__main__":
    run(main)
