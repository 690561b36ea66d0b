"""Questions, answers, rivals and judges of servers that do everything wrong, with kills in between.

Nothing good is lost, nothing is paid twice, no money is forgotten; each end is the right data or one line.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from tests.support.faulty_server.asking import CONCURRENCY
from tests.support.faulty_server.server import FaultyServer, Mixture, name_of
from tests.support.workspace import ROOT
from tonetune.teacher.endpoint.store import Store
from tonetune.teacher.question_list import parse_question_list

pytestmark = pytest.mark.usefixtures("here")


MANY = pytest.mark.skipif(not os.environ.get("TEST_ALL"), reason="ten minutes more: make test-all")


@pytest.mark.parametrize(
    "mixtures",
    [range(30), pytest.param(range(30, 200), marks=[pytest.mark.slow, MANY])],
    ids=["30", "200"],
)
def test_whatever_a_server_does_the_end_is_the_right_data_or_one_line(mixtures, tmp_path):
    with FaultyServer() as server:
        folders = {number: tmp_path / str(number) for number in mixtures}
        for folder in folders.values():
            folder.mkdir()
        lines = "".join(f"{folder} {server.address(number)}\n" for number, folder in folders.items())
        command = [sys.executable, "-m", "tests.support.faulty_server.asking", "2"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        result = subprocess.run(command, input=lines, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    ended_well = ended_by_rule = 0
    for number, folder in folders.items():
        end = json.loads((folder / "end.json").read_text())
        said = (folder / "stderr").read_text(errors="replace")
        assert "Traceback" not in said, f"{number}: {said[-2000:]}"
        name = str(number)
        with Store(folder / ".cache/teacher") as store:
            spent = store.spent()
            rows = store.database.execute("SELECT about, text, request FROM responses").fetchall()
        # What is stored is what the server meant, and no more.
        for about, text, _ in rows:
            if about in ("funny", "odd"):
                assert set(parse_question_list(text)) <= server.questions[name], number
            else:
                assert any(meant.startswith(text) for meant in server.answers[name]), (number, text)
        assert spent >= server.billed[name] - 1e-9, number
        # What was stored is not asked for again, and no run asks for what it has been given.
        runs = json.loads((folder / "kills.json").read_text())
        for begun, ended in pairwise([0.0, *(run["killed"] for run in runs)]):
            given = Counter(asked for at, asked in server.delivered[name] if begun < at <= ended)
            assert set(given.values()) <= {1}, (number, given.most_common(3))
        for kill in runs:
            kept = {name_of(messages) for messages in kill["kept"]}
            assert not [at for at, asked in server.arrived[name] if at > kill["killed"] and asked in kept], number
        mixture = Mixture(name)
        if server.refused[name]:
            ended_by_rule += 1
            assert mixture.fatal_end in end["error"], (number, end["error"])
            assert server.refused[name] <= len(runs) * 2 * CONCURRENCY, number
        if "error" in end:
            assert len(end["error"].splitlines()) == 1, end["error"]
            continue
        ended_well += 1
        assert len(set(end["questions"])) == len(end["questions"]) == 24
        assert set(end["questions"]) <= server.questions[name]
        assert set(end["answers"]) <= server.answers[name]
        assert len(end["answers"]) + 2 * len(end["dropped"]) >= 48
        spoken = [bool(text) for text in end["rival"]]
        assert all(said or asked in server.worthless[name] for said, asked in zip(spoken, end["chats"], strict=True)), (
            number
        )
        assert {text for text in end["rival"] if text} <= beginnings(server.answers[name], end["rival"])
        assert {*end["verdicts"]} <= {"A", ""}
    assert ended_by_rule > 0
    assert ended_well > 0.8 * (len(folders) - ended_by_rule)


def beginnings(meant, texts):
    """Those of the texts with which one that was meant begins: a rival's may be cut off."""
    return {text for text in texts if any(whole.startswith(text) for whole in meant)}
