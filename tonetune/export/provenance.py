"""What an export is of: persona, base, data and commit; written into every export as export.json."""

import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tonetune.core.errors import UserError
from tonetune.core.files import content_key, read_json
from tonetune.core.params import Params
from tonetune.core.persona import load_persona
from tonetune.model.origin import Origin, origin

TRAIN = Path("data/train.jsonl")
RECORD = "export.json"


@dataclass(frozen=True)
class Provenance:
    """Where an export comes from."""

    persona: str
    """The name of its file in personas/."""
    name: str
    disclosure: str
    system_prompt: str
    """What it was trained under; other tools must send it too."""
    base: Origin
    tuning: str
    adapter: str
    """A hash of what training wrote."""
    data: str | None
    """A hash of data/train.jsonl."""
    commit: str | None
    """The git commit, with `-dirty` where tracked files differ from it; None outside a repository."""

    def record(self, export: str, **more: Any) -> dict[str, Any]:
        """The contents of export.json."""
        return {"format": export, **asdict(self), **more}


def provenance(params: Params, adapter: Path, hub_base: str | None = None) -> Provenance:
    """Of the tuned model in `adapter`; a `UserError` if there is none, or it is another persona's than params.yaml names."""
    files = sorted(adapter.glob("*.safetensors"))
    if not files:
        raise UserError(f"{adapter}: no tuned model there; `dvc repro` trains one")
    from tonetune.adapter import TUNING  # here, as torch takes seconds to import and publishing needs none
    from tonetune.merged import disclosure_of

    persona = load_persona(params.persona)
    said = disclosure_of(adapter)
    if said is not None and said != " ".join(persona.disclosure.split()):
        raise UserError(
            f"{adapter}: whose tone it imitates its card says ({said!r}), and it is not that of persona: {params.persona} "
            f"({persona.disclosure!r}); set the persona that it was trained for, or train one for this with `dvc repro`"
        )
    saved = adapter / TUNING
    return Provenance(
        persona=params.persona,
        name=persona.name,
        disclosure=persona.disclosure,
        system_prompt=params.system_prompt,
        base=origin(params.base_model, hub_base),
        tuning=read_json(saved)["tuning"] if saved.is_file() else "lora",
        adapter=content_key(files),
        data=content_key([TRAIN]) if TRAIN.is_file() else None,
        commit=commit(),
    )


def commit() -> str | None:
    """The commit of the working folder, `-dirty` if tracked files were changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
