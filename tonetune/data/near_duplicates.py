"""Texts that say nearly the same, by MinHash over runs of characters (datasketch)."""

from collections.abc import Sequence
from zlib import crc32

from datasketch import MinHash, MinHashLSH

from tonetune.core.text import shingles

PERMUTATIONS = 128


def near_pairs(texts: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    """All (i, j, similarity) with i < j whose shingles overlap by a Jaccard similarity of at least `threshold`.

    MinHash finds the candidates, the exact similarity decides. See https://ekzhu.com/datasketch/lsh.html.
    """
    sets = [shingles(text) for text in texts]
    # The index looks for less than the threshold, so that the sketch's error loses hardly a true pair.
    index = MinHashLSH(threshold=max(0.1, threshold - 0.25), num_perm=PERMUTATIONS)
    empty = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=crc32)
    pairs = []
    for j, items in enumerate(sets):
        sketch = empty.copy()  # drawing the permutations anew costs more than using them
        sketch.update_batch([item.encode() for item in items])
        for i in sorted(index.query(sketch)):
            fewer, more = sorted((sets[i], items), key=len)
            if len(fewer) < threshold * len(more):  # no overlap is enough
                continue
            shared = len(fewer & more)
            similarity = shared / (len(fewer) + len(more) - shared)
            if similarity >= threshold:
                pairs.append((i, j, similarity))
        index.insert(j, sketch)
    return pairs
