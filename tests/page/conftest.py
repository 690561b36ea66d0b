"""What the page's tests share: the place of chat's tests, with a tiny model and an adapter."""

from tests.scripts.conftest import inside, params, workplace  # noqa: F401  (fixtures)
