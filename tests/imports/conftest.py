"""A copy of the repository with a persona of own texts, and its commands called as a person types them."""

from collections.abc import Callable

import pytest

from scripts.recordings import main
from tests.support.workspace import Workspace
from tonetune.core.errors import UserError

CONSENT = "consent: {words_of: Ada Quill, agreed: true}\n"
PERSONA = """name: Ada Quill
disclosure: An AI that imitates how Ada Quill writes. It is not her.
system: Write as Ada Quill writes to her friends, and only as to the tone.
"""


@pytest.fixture
def space(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The copy, which is the working directory."""
    (workspace.root / "personas/ada.yaml").write_text(PERSONA + CONSENT)
    monkeypatch.chdir(workspace.root)
    return workspace


@pytest.fixture
def refused(space: Workspace) -> Callable[..., str]:
    """What an import is refused with; it must be short, and leave every file as it was."""

    def attempt(*arguments: str) -> str:
        before = {path: path.stat().st_mtime_ns for path in space.root.rglob("*")}
        with pytest.raises(UserError) as error:
            main(["import", *arguments, "--persona", "ada", "--yes"])
        assert {path: path.stat().st_mtime_ns for path in space.root.rglob("*")} == before
        return str(error.value)

    return attempt
