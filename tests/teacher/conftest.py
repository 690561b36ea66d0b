"""What the live teacher's tests share."""

import pytest

from tests.support.servers.teacher_requests import KEY


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A store of its own, a key in the environment, and nobody else's settings."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def live(workspace, here, monkeypatch):
    """A function that turns the copy of the repo to a server."""
    monkeypatch.setenv("DVC_ROOT", str(workspace.root))

    def turn(server, **changes):
        mine = {
            "teacher__mode": "live",
            "teacher__base_url": server.url,
            "teacher__model": "test-model",
            "teacher__timeout": 60,
            "teacher__api_key_env": {"127.0.0.1": "OPENAI_API_KEY"},
            "teacher__batch_poll": 0.1,
            "teacher__extra_body": {"seed": 1},  # by which the server can tell the samples to one question apart
            "questions__per_prompt": 5,
        }
        workspace.set(**(mine | changes))
        return workspace

    return turn
