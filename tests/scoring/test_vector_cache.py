"""A cache of vectors computes each of them once, and says them in the order in which they are asked for."""

import numpy as np

from tonetune.scoring.vector_cache import VectorCache


def test_a_vector_is_computed_once_and_what_was_added_never():
    asked = []

    def lengths(texts):
        asked.append(texts)
        return np.array([[len(text)] for text in texts])

    cache = VectorCache()
    cache.add(["given"], np.array([[-1]]))
    assert cache.of(["no", "given", "yes", "no"], lengths).tolist() == [[2], [-1], [3], [2]]
    assert cache.of(["yes"], lengths).tolist() == [[3]]
    assert asked == [["no", "yes"]]
    assert cache.of([], lengths).size == 0
