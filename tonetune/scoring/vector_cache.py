"""Vectors that cost a model's forward pass, so that each is computed once."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)


class VectorCache(dict[Key, np.ndarray]):
    """Vectors by what they are of: a text, or a question and its answer."""

    def add(self, keys: Sequence[Key], vectors: Iterable[np.ndarray]) -> None:
        """Take the vectors of `keys`, one for each."""
        self.update(zip(keys, vectors, strict=True))

    def of(self, keys: Sequence[Key], compute: Callable[[list[Key]], Iterable[np.ndarray]]) -> np.ndarray:
        """(keys, size): those that are not there yet are computed together, each once, in the order of `keys`."""
        if new := [key for key in dict.fromkeys(keys) if key not in self]:
            self.add(new, compute(new))
        return np.array([self[key] for key in keys])
