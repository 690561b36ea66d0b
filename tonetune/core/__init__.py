"""What every room stands on: params, personas, the rows that stages hand on, files, texts, errors.

It says what a score or a rating looks like as a row, but computes none, and it loads no model and asks no teacher.
"""

import sys
from importlib.util import find_spec

if sys.version_info < (3, 11):  # noqa: UP036  # a user's own, which no installer has checked
    sys.exit(
        f"error: {sys.executable} is Python {sys.version.split()[0]}, and 3.11 or newer is needed: run `. .venv/bin/activate` first"
    )
# Another Python than .venv's, as with `.venv/bin/dvc repro` and no activated .venv: one line in place of a traceback.
if _missing := [
    name for name in ("pydantic", "psutil", "torch", "transformers", "peft", "trl") if find_spec(name) is None
]:
    sys.exit(
        f"error: {sys.executable} has no {_missing[0]}: run `. .venv/bin/activate` first, or `make repro`, which builds and "
        "uses .venv"
    )
