"""The search: what may be tried, what it concludes, and that it asks validation questions alone and goes on where it was."""

import csv
import json
import os
import signal

import numpy as np
import pytest

from scripts.comparisons.search import conclusions, experiment_name
from scripts.comparisons.search_space import Space, as_change, read_space
from scripts.comparisons.trained import MEASURED
from tests.support.workspace import ROOT, copied, in_background, make, ran, wait_for
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.experiments import changed

optuna = pytest.importorskip("optuna", reason="`make search` installs it (requirements-search.lock)")
PARAMS = load_params(ROOT / "params.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no parameter"),
        ("split.train_size: [50, 100]", "split.train_size: changes what is asked or how it is scored"),
        ("train.task: [answer, rewrite]", "train.task: changes what is asked"),
        ("evaluate.seeds: [1, 2]", "evaluate.seeds: changes what is asked"),
        ("train.rate: [1]", "train.rate: unknown key"),
        ("train.nothing.r: [1]", "train.nothing.r: params.yaml has no such parameter"),
        ("train.tuning: [full, half]", 'train.tuning: "half"'),
        ("train.warmup: {low: 0.5, high: 1.5}", "train.warmup: 1.5"),
        ("train.epochs: {low: 2, high: 1}", "low 2 must be under high 1"),
        ("train.epochs: {low: 2}", "low 2 must be under high None"),
        ("train.learning_rate: {low: 0, high: 1, log: true}", "low 0 with log must be over 0"),
        ("train.epochs: {from: 1, to: 2}", "train.epochs"),
        ("train.lora.r: {choices: [8], when: {train.tuning: [lora]}}", "train.tuning is no key above it"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_with_the_key(tmp_path, text, message):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_space(path, PARAMS)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_the_default_space_gives_params_that_are_possible_and_no_rank_where_there_is_none():
    space = read_space(ROOT / "search.yaml", PARAMS)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    tried = [space.propose(study.ask()) for _ in range(60)]
    assert {values["train.tuning"] for values in tried} == {"full", "lora"}
    for values in tried:
        assert ("train.lora.r" in values) == (values["train.tuning"] == "lora")
        assert isinstance(values["train.basics_times"], int)
        assert 1e-4 <= values["train.learning_rate"] <= 1e-3
        changes = [as_change(key, value) for key, value in values.items()]
        type(PARAMS).model_validate(changed(PARAMS.model_dump(), changes))


@pytest.mark.parametrize("value", [None, True, 3, 1e-05, 0.000312, 2.5e-07, "lora", "2r"])
def test_a_value_comes_through_the_command_line_as_it_was(value):
    assert changed({"key": None}, [as_change("key", value)]) == {"key": value}


def test_an_experiment_is_named_by_its_changes_in_any_order():
    assert experiment_name(["a=1", "b=2"]) == experiment_name(["b=2", "a=1"]) != experiment_name(["a=1", "b=3"])


def _trial(joint, **values):
    spread = {key: optuna.distributions.CategoricalDistribution([value]) for key, value in values.items()}
    kept = {score: list(joint) for score in MEASURED} | {"experiment": "s-best"}
    return optuna.trial.create_trial(params=values, distributions=spread, value=float(np.mean(joint)), user_attrs=kept)


def test_the_lead_of_the_best_is_taken_question_by_question_and_said_to_be_flattered():
    space, hard = Space.model_validate({"key": ["x"]}), np.linspace(0.1, 0.8, 50)
    workspace = dict.fromkeys(MEASURED, hard)
    first, second, third = conclusions([_trial(hard + 0.1, key="x")], workspace, space, 1)
    assert first == "Best of 1: s-best, joint 0.550 on 50 validation questions."
    assert second.startswith("That is +0.100 [+0.100, +0.100] on the workspace's own run, more than chance would give")
    assert "flattered" in second
    assert third == "To have it: dvc exp run -S 'key=x'"
    noise = np.tile([0.3, -0.29], 25)
    assert "no more than chance may give" in conclusions([_trial(hard + noise, key="x")], workspace, space, 1)[1]


SMALL = "train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\nevaluate.temperature: [0.3, 0.8]\n"


def _study(space):
    storage = f"sqlite:///{space.root / '.cache/search/trials.db'}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def _begun(space):
    """The experiment that a trial has begun and not ended."""
    if not (space.root / ".cache/search/trials.db").exists():
        return None
    try:
        running = [trial for trial in _study(space).trials if trial.state.name == "RUNNING"]
    except (ValueError, optuna.exceptions.OptunaError):
        return None  # the tables are being made
    return running[0].user_attrs.get("experiment") if running else None


@pytest.mark.slow
def test_a_search_asks_no_test_question_and_goes_on_where_it_was_killed(tiny_repo, tmp_path):
    space = copied(tiny_repo, tmp_path / "repo")
    (space.root / "search.yaml").write_text(SMALL)
    space.run("git", "add", "search.yaml")
    space.run("git", "commit", "-qm", "space")
    search = ("search", "-o", ".venv/search")

    killed = in_background(space, "python", "-m", "scripts.comparisons.search", "1")
    wait_for(lambda: _begun(space), killed)
    begun = _begun(space)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()

    first = make(space, *search, "TRIALS=2").stdout
    assert set(ran(first)) <= {"train_qlora"}
    states = [trial.state.name for trial in _study(space).trials]
    assert states == ["FAIL", "COMPLETE", "COMPLETE"]
    done = _study(space).trials[1:]
    assert done[0].user_attrs["experiment"] == begun  # what was cut off, not what comes after it
    assert done[0].params != done[1].params
    assert space.run("git", "status", "--porcelain").stdout == ""

    with open(space.root / "reports/search.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["experiment"] for row in rows} == {"workspace", *(trial.user_attrs["experiment"] for trial in done)}
    for row in rows:
        assert float(row["joint_low"]) <= float(row["joint"]) <= float(row["joint_high"])
    validation = (space.root / "data/validation.jsonl").read_text().splitlines()
    asked = {json.loads(line)["question_id"] for line in validation}
    assert all(len(trial.user_attrs["joint"]) == len(asked) for trial in done)
    assert "Best of 2: s-" in first

    # All of it is there: nothing runs, and what would run needs no test split.
    (space.root / "data/test.jsonl").unlink()
    again = make(space, *search, "TRIALS=2").stdout
    assert ran(again) == []
    assert again[again.index("\nexperiment") :] == first[first.index("\nexperiment") :]

    wrong = space.run("python", "-m", "scripts.comparisons.search", "0", check=False)
    assert wrong.stderr == "error: trials: 0 is none; give 1 or more\n"
