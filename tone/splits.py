"""The splits as `datasets` reads them, for what trains on them."""

import logging
import tempfile
from collections.abc import Sequence
from typing import cast

from datasets import DatasetDict, disable_progress_bars, load_dataset
from datasets.exceptions import DatasetGenerationError

from tone.rows import Example, read_examples

disable_progress_bars()  # of a fraction of a second
logging.getLogger("datasets").setLevel(logging.CRITICAL)  # what is wrong with a file is told below


def load_splits(sides: Sequence[str]) -> dict[str, list[Example]]:
    """The rows of `data/<side>.jsonl` by side; a `UserError` names the file and the line that is wrong.

    The library's own cache goes by path and time of a file, which `dvc checkout` may leave as they were: it is not kept.
    """
    files = {side: f"data/{side}.jsonl" for side in sides}
    try:
        with tempfile.TemporaryDirectory() as cache:
            splits = cast(DatasetDict, load_dataset("json", data_files=files, cache_dir=cache, keep_in_memory=True))
        rows = {side: [Example.model_validate(row) for row in splits[side]] for side in sides}
    except (DatasetGenerationError, FileNotFoundError, ValueError):
        rows = {}
    return {side: rows.get(side) or read_examples(side) for side in sides}  # which says what is wrong, and where
