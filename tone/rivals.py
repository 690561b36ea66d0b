"""Other models to compare with, named in `evaluate.rivals`; one that cannot be had does not lose the others' results."""

from collections.abc import Iterator
from contextlib import contextmanager

from tone.base import load_base, load_tokenizer
from tone.errors import UserError
from tone.params import Params
from tone.systems import Contestant, local_contestant


@contextmanager
def rival_model(name: str, params: Params) -> Iterator[tuple[Contestant, bool]]:
    """The rival that `name` says, and whether it is the teacher itself; a `UserError` if it cannot be loaded."""
    try:
        model, tokenizer = load_base(name, params.compute), load_tokenizer(name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"evaluate.rivals: {name!r}: not loaded ({str(error).splitlines()[0][:200]})") from None
    yield local_contestant(model, tokenizer, params.evaluate), False
