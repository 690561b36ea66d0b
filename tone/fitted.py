"""Fitted scikit-learn models on disk, by skops: nothing is unpickled."""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# skops lists all of scikit-learn's estimators, and on its way through the package meets a shim that imports torch:
# six seconds that a data stage does not have. Marked as absent, the shim is passed over.
sys.modules.setdefault("sklearn.externals.array_api_compat.torch", None)  # type: ignore[arg-type]

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from tone.errors import UserError
from tone.files import write_json

# scikit-learn's own, but not among the types that skops trusts by default
CALIBRATION = ["sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration"]


def save_fitted(folder: str | Path, models: Mapping[str, Any], **values: Any) -> None:
    """Write each model to `<folder>/<name>.skops` and each of `values` to `<folder>/<name>.json`: all or nothing."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, suffix=".tmp"))
    try:
        for name, model in models.items():
            skops.io.dump(model, unfinished / f"{name}.skops")
        for name, value in values.items():
            write_json(unfinished / f"{name}.json", value)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
        os.chmod(folder, 0o755)
    except OSError as error:
        raise UserError(f"{folder}: not written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_fitted(folder: str | Path, name: str) -> Any:
    """Read one model; types other than scikit-learn's and numpy's are refused."""
    path = Path(folder) / f"{name}.skops"
    if not path.is_file():
        raise UserError(f"{path}: no such model; `dvc repro` makes it")
    try:
        return skops.io.load(path, trusted=CALIBRATION)
    except UntrustedTypesFoundException as error:
        raise UserError(f"{path}: holds types that are not trusted ({error}); `dvc checkout` restores it") from None
