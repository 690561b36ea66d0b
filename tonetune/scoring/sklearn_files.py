"""Fitted scikit-learn models on disk, by skops: nothing is unpickled."""

import io
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

# skops lists all of scikit-learn's estimators, and on its way through the package meets a shim that imports torch:
# six seconds that a data stage does not have. Marked as absent, the shim is passed over.
sys.modules.setdefault("sklearn.externals.array_api_compat.torch", None)  # type: ignore[arg-type]

import numpy as np
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from tonetune.core.errors import UserError
from tonetune.core.files import replacing_folder, unreadable, write_json

# scikit-learn's own, but not among the types that skops trusts by default
CALIBRATION = ["sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration"]


def save_fitted(
    folder: str | Path,
    models: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray] | None = None,
    folders: Mapping[str, Path] | None = None,
    notes: Mapping[str, object] | None = None,
) -> None:
    """Write `<name>.skops`, `<name>.npy`, copies of `folders` and `<name>.json` of `notes` into `folder`: all or none."""
    with replacing_folder(folder) as unfinished:
        for name, model in models.items():
            (unfinished / f"{name}.skops").write_bytes(_same_bytes(skops.io.dumps(model)))
        for name, array in (arrays or {}).items():
            np.save(unfinished / f"{name}.npy", array)
        for name, source in (folders or {}).items():
            shutil.copytree(source, unfinished / name)
        for name, note in (notes or {}).items():
            write_json(unfinished / f"{name}.json", note)


ADDRESS = re.compile(r'("(?:__id__|content|file)": "?)(\d{12,})')


def _same_bytes(archive: bytes) -> bytes:
    """The skops archive with its objects numbered in order: skops names them by their addresses in memory."""
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return match[1] + numbers.setdefault(match[2], str(len(numbers)))

    rewritten = io.BytesIO()
    with ZipFile(io.BytesIO(archive)) as old, ZipFile(rewritten, "w", ZIP_DEFLATED) as new:
        schema = ADDRESS.sub(number, old.read("schema.json").decode())
        new.writestr(ZipInfo("schema.json"), schema)
        for name in sorted(set(old.namelist()) - {"schema.json"}, key=lambda name: int(numbers[Path(name).stem])):
            new.writestr(ZipInfo(f"{numbers[Path(name).stem]}{Path(name).suffix}"), old.read(name), ZIP_DEFLATED)
    return rewritten.getvalue()


def has_fitted(folder: str | Path, name: str) -> bool:
    """Whether the folder holds the model: some are fitted only where there is data for them."""
    return (Path(folder) / f"{name}.skops").is_file()


def load_fitted(folder: str | Path, name: str) -> Any:
    """Read one model; types other than scikit-learn's and numpy's are refused."""
    path = Path(folder) / f"{name}.skops"
    if not path.is_file():
        raise UserError(f"{path}: no such model; `dvc repro` makes it")
    try:
        return skops.io.load(path, trusted=CALIBRATION)
    except UntrustedTypesFoundException as error:
        raise UserError(f"{path}: holds types that are not trusted ({error}); `dvc checkout` restores it") from None
    except (BadZipFile, KeyError, ValueError, EOFError) as error:
        raise unreadable(path, error) from None


def load_array(folder: str | Path, name: str) -> np.ndarray:
    """Read one array; nothing is unpickled."""
    path = Path(folder) / f"{name}.npy"
    if not path.is_file():
        raise UserError(f"{path}: no such array; `dvc repro` makes it")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise unreadable(path, error) from None
