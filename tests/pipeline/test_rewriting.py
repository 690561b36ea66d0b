"""The pipeline where the task is rewriting: what is learnt, told, scored and shown."""

import json

import pytest

from tests.support.html_page import Page
from tests.support.workspace import copied
from tonetune.core.params import load_params
from tonetune.core.rows import Example, Generation, read_rows
from tonetune.core.tasks import training_rows

pytestmark = pytest.mark.slow

STAGES = ("scorers", "train_qlora", "baselines", "evaluate")


@pytest.fixture(scope="module")
def rewriting(tiny_workspace, tmp_path_factory):
    """The stages that the task changes, run for rewriting, with drafts of three."""
    space = copied(tiny_workspace, tmp_path_factory.mktemp("rewriting") / "repo")
    space.set(train__task="rewrite", evaluate__drafts=["base", "ideal", "path:nowhere"])
    said = [space.stage(name).stderr for name in STAGES]
    return space, said[-1]


def answers(space):
    """The scored answers by system, in the order of the file."""
    found = {}
    for name in ("baseline", "tuned"):
        for row in read_rows(space.root / f"data/{name}_generations.jsonl", Generation):
            found.setdefault(row.system, []).append(row)
    return found


def test_every_system_and_control_is_scored_by_the_meaning_it_keeps(rewriting):
    space, _ = rewriting
    found = answers(space)
    for system in ("base", "base_prompted", "base_fewshot", "tuned", "copied", "other_rewriting", "teacher_persona"):
        assert all(row.meaning_kept is not None for row in found[system]), system
    assert "teacher_plain" not in found
    controls = json.loads((space.root / "metrics/baselines.json").read_text())["controls"]
    kept = {name: scores.get("meaning_kept") for name, scores in controls.items()}
    assert kept["copied"] > 0.9 > kept["other_rewriting"] + 0.5
    assert json.loads((space.root / "metrics/scorers.json").read_text())["meaning_auc"] > 0.9


def test_over_ideal_drafts_the_tuned_model_says_what_it_says_of_the_plain_answers(rewriting):
    """The same chats with the same seeds, by another way."""
    space, _ = rewriting
    found = answers(space)
    assert [row.text for row in found["tuned over ideal"]] == [row.text for row in found["tuned"]]
    assert [row.text for row in found["tuned over base"]] != [row.text for row in found["tuned"]]


def test_drafts_that_cannot_be_had_are_left_out(rewriting):
    space, said = rewriting
    assert "warning: evaluate.drafts: 'path:nowhere'" in said
    assert set(json.loads((space.root / "metrics/evaluate.json").read_text())["drafts"]) == {"base", "ideal"}


def test_the_page_and_the_adapter_say_which_task_it_is(rewriting):
    space, _ = rewriting
    texts = Page((space.root / "reports/evaluation.html").read_text()).texts
    assert "The task is to rewrite" in " ".join(" ".join(texts).split())
    assert "Tuned, speaking drafts of the base" in texts
    assert json.loads((space.root / "models/adapter/tuning.json").read_text())["task"] == "rewrite"


def test_the_tuned_rewriter_rewrites_at_the_command_line(rewriting):
    space, _ = rewriting
    done = space.run("python", "-m", "scripts.rewrite", "Meetings are long.\n\nThey end.", "--temperature", "0")
    assert len(done.stdout.splitlines()) == 3


def test_training_takes_as_many_steps_as_both_tasks_have_rows(rewriting, tmp_path):
    space = copied(rewriting[0], tmp_path / "repo")
    space.set(train__task="both")
    space.stage("train_qlora")
    params = load_params(space.root / "params.yaml")
    train = read_rows(space.root / "data/train.jsonl", Example)
    rows = training_rows(train, "both", params.rewrite_prompt)
    steps = json.loads((space.root / "metrics/train.json").read_text())["steps"]
    assert steps == -(-len(rows) // params.train.batch_size)


def test_drafts_with_a_model_that_only_answers_are_refused(workspace):
    workspace.set(evaluate__drafts=["base"])
    result = workspace.stage("evaluate", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: params.yaml: evaluate.drafts: ['base']: drafts are spoken by a model")


def test_rewards_do_not_go_with_rewriting(workspace):
    workspace.set(train__task="rewrite", train__objective="grpo")
    result = workspace.stage("train_qlora", check=False)
    assert "task rewrite with objective grpo" in result.stderr
    assert "Traceback" not in result.stderr
