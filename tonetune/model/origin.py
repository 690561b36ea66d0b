"""Where the base comes from, in words that other tools and people can follow: its name on the hub, its licence, its languages."""

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonetune.core.errors import UserError
from tonetune.model.locate import locate

LINK = re.compile(r"huggingface\.co/([\w.-]+/[\w.-]+)(?:/(?:blob|resolve)/([0-9a-f]{40})/([\w.-]+\.gguf))?")


@dataclass(frozen=True)
class Origin:
    """What is known of the base beyond this machine."""

    base_model: str
    """As params.yaml names it; of a folder of this machine the last part alone."""
    hub: str | None = None
    """owner/name on the hub, of the weights as they were before any quantisation."""
    revision: str | None = None
    quantised: str | None = None
    """The quantised file that training started from, and where it is from; None where the base is not quantised."""
    licence: str | None = None
    """Its identifier on the hub, such as apache-2.0."""
    languages: tuple[str, ...] = ()


def origin(base_model: str, hub_base: str | None = None) -> Origin:
    """What the base's own file and package say of where it is from; `hub_base` (owner/name[@revision]) overrules them.

    A `UserError` if `hub_base` has another form.
    """
    kind, _, rest = base_model.partition(":")
    path = locate(base_model, "base_model")
    header = gguf_header(path) if path.suffix == ".gguf" else {}
    hub = revision = None
    base_model = f"path:{path.name}" if kind == "path" else base_model
    quantised = f"{path.name} ({base_model})" if header else None
    if kind == "hub":
        hub, _, revision = rest.partition("@")
    elif kind == "package":
        linked = LINK.findall(package_readme(rest.partition("/")[0]))
        for repository, commit, file in linked:
            if file == path.name:
                quantised = f"{file} of {repository} at {commit}"
        originals = [name for name, _, file in linked if not file and is_name_of(name, path.name)]
        hub = originals[0] if originals else None
    if hub_base is not None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", hub_base):
            raise UserError(f"--hub-base: {hub_base!r} must be <owner>/<name> or <owner>/<name>@<revision>")
        hub, _, revision = hub_base.partition("@")
    languages = tuple(header.get("general.languages") or ())
    return Origin(base_model, hub, revision or None, quantised, header.get("general.license"), languages)


def is_name_of(repository: str, file: str) -> bool:
    """Whether a GGUF file's name begins with the repository's."""
    return file.startswith(repository.partition("/")[2])


def package_readme(module: str) -> str:
    """The description of the installed package that brings a module; empty where there is none."""
    names = importlib.metadata.packages_distributions().get(module, [])
    return importlib.metadata.distribution(names[0]).read_text("METADATA") or "" if names else ""


def gguf_header(path: Path) -> dict[str, Any]:
    """The `general.*` fields of a GGUF file."""
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    return {name: field.contents() for name, field in fields.items() if name.startswith("general.")}
