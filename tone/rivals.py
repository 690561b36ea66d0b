"""Other models to compare with, named in `evaluate.rivals`; one that cannot be had does not lose the others' results."""

from collections.abc import Sequence

from tone.base import load_base, load_tokenizer
from tone.endpoints import PREFIX, EndpointModel
from tone.errors import UserError
from tone.params import Params
from tone.rows import Message
from tone.systems import Contestant, local_contestant


def rival(name: str, params: Params) -> tuple[Contestant, bool]:
    """The rival that `name` says, and whether it is the teacher itself; a `UserError` if it cannot be loaded.

    `name` has base_model's forms, or is `endpoint:<model>[@<base URL>]`.
    """
    if name.startswith(PREFIX):
        model = EndpointModel(name, params, "evaluate.rivals")
        return Contestant(_asked(model, params)), model.is_teacher
    try:
        return local_contestant(load_base(name, params.compute), load_tokenizer(name), params.evaluate), False
    except UserError as error:
        raise UserError(str(error).replace("base_model", "evaluate.rivals", 1)) from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"evaluate.rivals: {name!r}: not loaded ({str(error).splitlines()[0][:200]})") from None


def _asked(model: EndpointModel, params: Params):
    settings = params.evaluate

    def answer(chats: Sequence[Sequence[Message]], seeds: Sequence[int], label: str) -> list[str]:
        extras = [{"top_p": settings.top_p, "seed": seed} for seed in seeds]
        return model.respond(chats, seeds, settings.temperature, settings.max_new_tokens, label, extras)

    return answer
