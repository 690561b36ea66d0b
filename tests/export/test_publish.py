"""Pushed to a stand-in of the hub over HTTP: private, whole, and nobody's tone without consent or a title that says what it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers.hub_server import TOKEN, Hub, Repository, running_hub
from tests.support.workspace import ROOT

DISCLOSURE = "An unofficial AI imitation of somebody."


@pytest.fixture
def hub():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an export of each persona, and what consent.yaml says of them."""
    said = {"somebody": {"real": True}, "invented": {"real": False}, "friend": {"real": True, "consent": "A letter."}}
    (tmp_path / "consent.yaml").write_text(json.dumps(said))
    for persona in (*said, "unlisted"):
        folder = tmp_path / persona
        folder.mkdir()
        (folder / "README.md").write_text(
            f"---\nlicense: apache-2.0\n---\n\n# {persona}: {DISCLOSURE}\n\n{DISCLOSURE}\n"
        )
        record = {"format": "merged", "persona": persona, "disclosure": DISCLOSURE, "commit": "abc", "weights": "f16"}
        (folder / "export.json").write_text(json.dumps(record))
        (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    return tmp_path


def push(place: Path, hub: Hub, *arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(place / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(ROOT),
    }
    if token:
        environment["HF_TOKEN"] = token
    command = [sys.executable, "-m", "scripts.publish", *arguments]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)


def test_an_invented_persona_is_pushed_whole_and_private(place, hub):
    done = push(place, hub, "invented", "me/invented")
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["me/invented"]
    assert repository.private
    assert repository.files == {path.name: path.read_bytes() for path in (place / "invented").iterdir()}
    assert "private" in done.stdout
    assert "abc" in repository.messages[0]


def test_public_only_when_told_and_never_into_a_public_repository_unasked(place, hub):
    hub.repositories["me/open"] = Repository(private=False)
    refused = push(place, hub, "invented", "me/open")
    assert refused.returncode == 1
    assert "everybody can read it" in refused.stderr
    assert hub.repositories["me/open"].files == {}
    assert push(place, hub, "invented", "me/new", "--public").returncode == 0
    assert not hub.repositories["me/new"].private


def test_public_into_a_repository_that_is_there_and_private_is_refused_and_it_stays_so(place, hub):
    hub.repositories["me/closed"] = Repository(private=True)
    refused = push(place, hub, "invented", "me/closed", "--public")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: me/closed: is there already, and private")
    assert "for everybody to read" not in refused.stdout
    assert hub.repositories["me/closed"] == Repository(private=True)
    assert push(place, hub, "invented", "me/closed").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["somebody", "me/somebody"], "no consent:"),
        (["unlisted", "me/unlisted"], "no consent:"),
        (["somebody", "me/somebody", "--imitation"], "me/somebody-imitation"),
        (["invented", "invented"], "must be <owner>/<name>"),
        (["nowhere", "me/invented"], "nowhere: no export there"),
    ],
)
def test_what_may_not_be_pushed_is_one_line_and_nothing_is_sent(place, hub, arguments, expected):
    done = push(place, hub, *arguments)
    assert done.returncode == 1
    assert expected in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert hub.requests == []


def test_a_real_person_is_pushed_with_consent_or_as_an_imitation_by_name_and_title(place, hub):
    assert push(place, hub, "friend", "me/friend").returncode == 0
    assert push(place, hub, "somebody", "me/somebody-imitation", "--imitation").returncode == 0
    card = place / "somebody/README.md"
    card.write_text(card.read_text().replace(f"# somebody: {DISCLOSURE}", "# The real somebody"))
    done = push(place, hub, "somebody", "me/other-imitation", "--imitation")
    assert done.returncode == 1
    assert "title must have the disclosure" in done.stderr
    card.write_text("---\nlicense: other\n---\n\n# invented\n")
    (place / "invented/README.md").write_text(card.read_text())
    assert "the disclosure is gone" in push(place, hub, "invented", "me/x").stderr
    assert set(hub.repositories) == {"me/friend", "me/somebody-imitation"}


def test_an_export_whose_check_failed_is_not_pushed(place, hub):
    (place / "invented/check.json").write_text(json.dumps({"passed": False}))
    done = push(place, hub, "invented", "me/invented")
    assert done.returncode == 1
    assert "its check failed" in done.stderr
    assert hub.requests == []


@pytest.mark.parametrize("token", ["", "hf_wrong"])
def test_a_token_that_the_hub_refuses_is_said_in_a_line(place, hub, token):
    done = push(place, hub, "invented", "me/invented", token=token)
    assert done.returncode == 1
    assert "HF_TOKEN" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert hub.repositories == {}
