"""What cannot be had is refused by the first stage, before anything is paid for; what that has found reruns nothing else."""

import pytest

from tests.support.servers.scripted_server import ScriptedServer
from tests.support.servers.teacher_replies import error
from tests.support.servers.teacher_server import TeacherServer
from tests.support.workspace import copied, ran

pytestmark = pytest.mark.slow

PASSED = "data/preflight.txt"


@pytest.fixture
def space(workspace, tiny_base):
    """A copy of the repo in which nothing has run."""
    workspace.set(base_model=f"path:{tiny_base}", evaluate__rivals=[])
    return workspace


def refused(space):
    """The line by which the stage refuses."""
    result = space.stage("preflight", check=False)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert not (space.root / PASSED).exists()
    (line,) = [line for line in result.stderr.splitlines() if line.startswith(("error: ", "note: "))]
    return line


def test_a_judge_or_rival_that_does_not_answer_is_refused_by_its_knob(space):
    def unknown(body, count):
        return error(404, "The model `test-model` does not exist", "model_not_found")

    with ScriptedServer(unknown) as server:
        named = f"endpoint:test-model@{server.url}"
        space.set(evaluate__judge=named)
        assert refused(space).startswith("error: evaluate.judge: 'test-model' is not at")
        space.set(evaluate__judge=None, evaluate__rivals=["recorded:anybody", named])
        assert refused(space).startswith("error: evaluate.rivals: 'test-model' is not at")
        space.set(evaluate__rivals=[], evaluate__drafts=["base", "ideal", named], train__task="both")
        assert refused(space).startswith("error: evaluate.drafts: 'test-model' is not at")
        assert len(server.bodies) == 3


def test_what_lies_on_this_machine_is_looked_for_before_anybody_is_asked(space):
    with TeacherServer() as server:
        base = space.root / "base"
        base.mkdir()
        space.set(
            base_model="path:base", base_files="requirements-models.lock", evaluate__judge=f"endpoint:any@{server.url}"
        )
        assert refused(space) == (
            "error: base_model: 'path:base': base is neither a .gguf file nor a folder with a config.json"
        )
        space.set(base_model="hub:owner/name")
        assert refused(space).startswith("error: base_model: 'hub:owner/name' must be package:")
        assert server.arrivals == []


def test_a_rival_in_a_folder_that_is_not_there_is_refused(space):
    space.set(evaluate__rivals=["path:no/such"])
    assert refused(space).startswith("error: evaluate.rivals: 'path:no/such': no/such is neither a .gguf file")


def test_a_judge_that_lacks_its_key_is_refused_and_nobody_is_asked(space, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    space.set(evaluate__judge="endpoint:gpt-4o")
    assert refused(space).startswith(
        "error: OPENAI_API_KEY is not set; evaluate.judge https://api.openai.com/v1 needs it"
    )


def test_no_teacher_is_paid_where_the_judge_cannot_be_asked(tiny_repo, tmp_path):
    space = copied(tiny_repo, tmp_path / "repo")
    with TeacherServer() as server:
        space.set(
            teacher__mode="live",
            teacher__model="test-model",
            teacher__base_url=server.url,
            evaluate__judge=f"endpoint:another-model@{server.url}",
        )
        result = space.run("dvc", "repro", check=False)
        assert result.returncode != 0
        assert ran(result.stdout) == ["preflight"]
        assert "error: evaluate.judge: 'another-model' is not at" in result.stderr
        assert len(server.arrivals) == 1


def test_another_judge_runs_preflight_and_evaluate_and_nothing_else(tiny_repo, tmp_path):
    space = copied(tiny_repo, tmp_path / "repo")
    with TeacherServer() as server:
        space.set(evaluate__judge=f"endpoint:test-model@{server.url}")
        assert ran(space.run("dvc", "repro", "preflight").stdout) == ["preflight"]
        assert len(server.successes) == 1
        assert ran(space.run("dvc", "repro", "--dry").stdout) == ["evaluate"]
