"""A sentence-transformers model that embeds questions and answers, tuned to bring together those that belong together."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tonetune.core.errors import UserError
from tonetune.core.startup import progress_bars_off
from tonetune.model.locate import locate
from tonetune.scoring.vector_cache import VectorCache

SENTENCE_ADAPTER = "sentence_adapter"


class Embedder:
    """A sentence-transformers model that embeds every text once; `adapter` is a folder that `tune` has saved."""

    def __init__(self, model: str, adapter: Path | None = None):
        # Imported where a model is loaded: what only reads fitted scorers, such as the stage validity, need not wait for them.
        from sentence_transformers import SentenceTransformer

        try:
            with progress_bars_off():
                self.model = SentenceTransformer(str(locate(model, "scorers.sentence_model")), device="cpu")
        except (ValueError, OSError, KeyError) as error:
            raise UserError(f"scorers.sentence_model: {model!r}: not loaded ({str(error).splitlines()[0]})") from None
        if adapter is not None:
            self.merge(adapter)
        self.cache: VectorCache[str] = VectorCache()

    def merge(self, adapter: Path) -> None:
        """Merge an adapter of the transformer into it."""
        from peft import PeftModel

        transformer: Any = self.model[0]
        transformer.model = PeftModel.from_pretrained(transformer.model, adapter).merge_and_unload()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, (texts, dimension)."""
        return self.cache.of(texts, partial(self.model.encode, normalize_embeddings=True, show_progress_bar=False))
