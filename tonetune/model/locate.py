"""Finds the model that a parameter names: in an installed package, on the hub at a revision, or in a folder."""

import importlib.util
from pathlib import Path

from tonetune.core.errors import UserError

FORMS = "package:<package>/<folder or file.gguf>, hub:<owner>/<name>@<revision> or path:<folder or file.gguf>"


def locate(name: str, key: str) -> Path:
    """A folder with a config.json, or a .gguf file; a `UserError` names the parameter `key` and what is missing."""
    kind, _, rest = name.partition(":")
    if kind == "package":
        return _in_package(name, key, rest)
    if kind == "path":
        path = Path(rest)
        if not is_model(path):
            raise UserError(f"{key}: {name!r}: {path} is neither a .gguf file nor a folder with a config.json")
        return path
    if kind == "hub" and rest.count("@") == 1:
        return _hub_snapshot(name, key, *rest.split("@"))
    raise UserError(f"{key}: {name!r} must be {FORMS}")


def unwatched(base_model: str, base_files: str) -> str | None:
    """What to tell of a base in a folder or file that does not lie in `base_files`, where DVC would see it change."""
    if not _is_out_of_sight(base_model, base_files):
        return None
    return (
        f"base_model: {base_model!r}: DVC would not see other weights there; set base_files: {base_model[5:]}, or "
        "`dvc repro -f` after such a change"
    )


def unwatched_beside(name: str, key: str, stage: str, base_files: str) -> str | None:
    """The same of a model beside the base, which the parameter `key` names and `stage` loads."""
    if not _is_out_of_sight(name, base_files):
        return None
    return (
        f"{key}: {name!r}: DVC would not see other weights there; let base_files name a folder that holds it beside the "
        f"base, or `dvc repro -f {stage}` after such a change"
    )


def _is_out_of_sight(name: str, base_files: str) -> bool:
    """Whether a model is in a folder or file outside `base_files`. One that is not there is for `locate` to tell of."""
    kind, _, rest = name.partition(":")
    path = Path(rest)
    return kind == "path" and is_model(path) and not path.resolve().is_relative_to(Path(base_files).resolve())


def is_model(path: Path) -> bool:
    """Whether `path` can be a model: a GGUF file or a folder with a config."""
    return (path.suffix == ".gguf" and path.is_file()) or (path / "config.json").is_file()


def _in_package(name: str, key: str, rest: str) -> Path:
    package, _, inner = rest.partition("/")
    # find_spec does not import the package, whose own imports may be missing.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{key}: {name!r}: no package {package!r} here; install it, or choose {FORMS}")
    root = Path(next(iter(spec.submodule_search_locations)))
    if not is_model(root / inner):
        there = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.suffix == ".gguf" or is_model(p))
        raise UserError(f"{key}: {name!r}: the package has no model {inner!r}; it has: {', '.join(there) or 'none'}")
    return root / inner


def _hub_snapshot(name: str, key: str, repository: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]  # no code, no pickles
    try:
        snapshot = Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"{key}: {name!r}: cannot be fetched ({str(error).strip().splitlines()[0]})") from None
    # By a branch the same name would be another model tomorrow, and no stage would run again for it.
    if snapshot.name != revision:
        raise UserError(
            f"{key}: {name!r}: {revision!r} is no commit and may move; now it is hub:{repository}@{snapshot.name}"
        )
    return snapshot
