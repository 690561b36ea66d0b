"""What the exports' tests share: a tuned tiny model, and what it says."""

import pytest

from tests.conftest import once
from tests.support.exported_models import Place, make_place
from tonetune.core.params import load_params
from tonetune.export.check import Ours


@pytest.fixture(scope="session")
def place(tmp_path_factory, tiny_base) -> Place:
    root = once(tmp_path_factory, "export_place", lambda folder: make_place(folder, tiny_base))
    return Place(root, load_params(root / "params.yaml"))


@pytest.fixture(scope="module")
def ours(place) -> Ours:
    """What the model with the adapter says."""
    return place.ours()
