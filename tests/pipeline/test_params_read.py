"""Every parameter that a stage reads while it runs is listed in dvc.yaml, or an edit of it would leave old results."""

import json
import sys

import pytest

from tests.support.servers.teacher_server import TeacherServer
from tests.support.workspace import ROOT, STAGES, copied
from tonetune.core.teacher_params import TeacherSettings

pytestmark = pytest.mark.slow

# What is asked of an endpoint, and how often; the other fields only say when, at what price and with which key.
ASKED = {"mode", "model", "base_url", "extra_body", "ask_again"}
SENDING = {f"teacher.{name}" for name in TeacherSettings.model_fields if name not in ASKED}


def read_by(stage, space):
    """The parameters that the stage reads in a workspace."""
    noted = space.root.with_name("read.json")
    space.run(sys.executable, "-m", "tests.support.noted_params", stage, str(noted))
    return {*json.loads(noted.read_text())}


def unlisted(stage, read):
    listed = STAGES[stage]["params"]
    return {key for key in read if not any(key == known or key.startswith(f"{known}.") for known in listed)}


@pytest.fixture
def space(tiny_workspace, tmp_path, monkeypatch):
    space = copied(tiny_workspace, tmp_path / "repo")
    monkeypatch.setenv("PYTHONPATH", f"{space.root}:{ROOT}")
    return space


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_every_parameter_that_it_reads(stage, space):
    read = read_by(stage, space)
    assert read
    assert unlisted(stage, read) == set()


@pytest.fixture
def server(space):
    """A live teacher, which is also a rival."""
    with TeacherServer() as server:
        teacher = f"endpoint:test-model@{server.url}"
        space.set(
            teacher__mode="live",
            teacher__model="test-model",
            teacher__base_url=server.url,
            teacher__extra_body={"seed": 1},
            questions__per_prompt=5,
            questions__exchanges=False,
            evaluate__rivals=[teacher],
            evaluate__seeds=1,
            evaluate__best_of=1,
        )
        yield server


@pytest.mark.usefixtures("server")
def test_the_stages_that_ask_a_live_teacher_list_what_it_reads(space):
    for stage in ("questions", "answers"):
        read = read_by(stage, space)
        assert {f"teacher.{name}" for name in ASKED} <= read
        assert unlisted(stage, read - SENDING) == set()


@pytest.mark.usefixtures("server")
def test_baselines_list_what_an_endpoint_that_is_a_rival_reads(space):
    read = read_by("baselines", space)
    assert {f"teacher.{name}" for name in ASKED - {"mode"}} <= read
    assert unlisted("baselines", read - SENDING) == set()
