"""What the server lets in and shows beside the page."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

gradio = pytest.importorskip("gradio", reason="`make page` installs it (requirements-page.lock)")

from fastapi.testclient import TestClient

from tests.support.workspace import ROOT
from tonetune.core.errors import UserError
from tonetune.page import server
from tonetune.page.server import application, experiments_page, listener


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> gradio.Blocks:
    """A page with nothing on it, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with gradio.Blocks(analytics_enabled=False) as blocks:
        gradio.Markdown("x")
    return blocks


def test_on_loopback_another_sites_name_for_this_machine_is_refused(empty: gradio.Blocks) -> None:
    with TestClient(application(empty, "127.0.0.1"), base_url="http://127.0.0.1") as client:
        assert client.get("/").status_code == 200
        assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    with TestClient(application(empty, "0.0.0.0"), base_url="http://my-machine") as client:
        assert client.get("/").status_code == 200


def test_report_and_samples_are_the_runs_own_or_told_to_be_missing(empty: gradio.Blocks) -> None:
    with TestClient(application(empty, "127.0.0.1"), base_url="http://127.0.0.1") as client:
        missing = client.get("/report")
        assert (missing.status_code, missing.text) == (404, f"{server.REPORT}: no such file; `dvc repro` makes it")
        Path("reports").mkdir()
        server.REPORT.write_text("<p>It</p>")
        server.SAMPLES.write_text("# <b>not bold</b>")
        assert client.get("/report").text == "<p>It</p>"
        assert client.get("/samples").headers["content-type"].startswith("text/plain")
        assert client.get("/experiments").status_code == 503  # no repository here


def test_the_experiments_are_those_of_the_repository(empty: gradio.Blocks, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("rank: 4\n")
    (tmp_path / "score.json").write_text('{"joint": 0.25}')
    (tmp_path / "dvc.yaml").write_text("params: [params.yaml]\nmetrics: [score.json]\n")
    someone = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    dvc = [sys.executable, "-m", "dvc", "init", "-q"]
    for command in (["git", "init", "-q"], dvc, ["git", "add", "-A"], ["git", *someone, "commit", "-qm", "start"]):
        subprocess.run(command, check=True)
    (tmp_path / "score.json").write_text('{"joint": 0.75}')  # --only-changed shows what differs
    with TestClient(application(empty, "127.0.0.1"), base_url="http://127.0.0.1") as client:
        shown = client.get("/experiments")
    assert shown.status_code == 200
    assert all(part in shown.text for part in ("<th>joint</th>", "<td>0.75</td>", "<td>0.25</td>"))


def test_the_experiments_table_is_escaped() -> None:
    page = experiments_page('Experiment,joint\n"<script>x</script>",0.5\n')
    assert "<script>" not in page
    assert "<th>joint</th>" in page
    assert "<td>0.5</td>" in page


def test_a_taken_port_is_one_line() -> None:
    with listener("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(UserError, match=r"--port \d+: Address already in use"):
            listener("127.0.0.1", taken.getsockname()[1])
    assert isinstance(taken, socket.socket)


def test_without_gradio_the_command_says_what_installs_it(inside: Path, tmp_path: Path) -> None:
    (tmp_path / "gradio.py").write_text("raise ModuleNotFoundError(\"No module named 'gradio'\", name='gradio')")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.page"],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the page needs gradio; `make page` installs it (requirements-page.lock)\n"
