"""Other models to compare with, named in `evaluate.rivals`; one that cannot be had does not lose the others' results."""

from collections.abc import Sequence

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.rows import Message
from tonetune.core.text import first_sentences
from tonetune.evaluation.systems import Responder, local_responder
from tonetune.model.base import load_base, load_tokenizer
from tonetune.teacher.endpoint.model import PREFIX, EndpointModel


def rival(name: str, params: Params, knob: str = "evaluate.rivals") -> tuple[Responder, bool]:
    """The rival that `name` says, and whether it is the teacher itself; a `UserError` if it cannot be loaded.

    `name` has base_model's forms, or is `endpoint:<model>[@<base URL>]`; `knob` is the parameter that holds it.
    """
    if name.startswith(PREFIX):
        model = EndpointModel(name, params, knob)
        return Responder(_asked(model, params)), model.is_teacher
    try:
        tokenizer = load_tokenizer(name, params.chat_template_kwargs)
        return local_responder(load_base(name, params.compute), tokenizer, params.evaluate), False
    except UserError as error:
        raise UserError(str(error).replace("base_model", knob, 1)) from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{knob}: {name!r}: not loaded ({str(error).splitlines()[0][:200]})") from None


def _asked(model: EndpointModel, params: Params):
    settings = params.evaluate

    def answer(chats: Sequence[Sequence[Message]], seeds: Sequence[int], label: str) -> list[str]:
        # Many servers keep a seed in 32 bits with a sign.
        extras = [{"top_p": settings.top_p, "seed": seed % 2**31} for seed in seeds]
        texts = model.respond(chats, seeds, settings.temperature, settings.max_new_tokens, label, extras)
        return [first_sentences(text, settings.max_sentences) for text in texts]

    return answer
