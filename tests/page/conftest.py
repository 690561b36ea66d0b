"""What the page's tests share: the place of chat's tests, with a tiny model and an adapter."""

import pytest

from tests.scripts.conftest import inside, params, workplace  # noqa: F401  (fixtures)

pytest.importorskip("gradio", reason="`make page` installs it (requirements-page.lock)")
