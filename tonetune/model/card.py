"""The card that goes with what training writes: all that is known before anything has measured it."""

from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from tonetune.core.params import Params
from tonetune.core.persona import Persona
from tonetune.model.origin import origin

TEMPLATE = Path(__file__).with_name("card.md.j2")


def trained_card(params: Params, persona: Persona, adapter: bool, data: str) -> str:
    """The README.md beside an adapter, or beside whole weights; `data` is a hash of the training split.

    It holds no figures and no commit, which come later than the bytes that they are of: an export's card has them.
    """
    base = origin(params.base_model)
    known = ModelCardData(
        language=list(base.languages) or None,
        license=base.licence or "other",
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        base_model=base.hub or base.base_model,
        tags=["conversational", "style-imitation", "tonetune"],
    )
    context: dict[str, Any] = {"params": params, "persona": persona, "base": base, "adapter": adapter, "data": data}
    return str(ModelCard.from_template(known, template_path=str(TEMPLATE), **context))
