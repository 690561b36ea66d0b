"""Which answers a report shows: by rank, not by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

from tonetune.core.rows import Generation


@dataclass(frozen=True)
class Rank:
    """An answer's rank by joint, from 1, among `of` answers."""

    question_id: str
    seed: int
    position: int
    of: int


def ranked(generations: Sequence[Generation], system: str, count: int) -> dict[str, list[Rank]]:
    """The `count` best, median and worst of the system's answers with its first sampling seed; none stands twice."""
    rows = [row for row in generations if row.system == system]
    rows = sorted((row for row in rows if row.seed == rows[0].seed), key=lambda row: (-row.joint, row.question_id))
    ranks = [Rank(row.question_id, row.seed, position, len(rows)) for position, row in enumerate(rows, 1)]
    count = max(1, min(count, len(ranks) // 3))
    middle = (len(ranks) - count) // 2
    best, worst = ranks[:count], ranks[max(count, len(ranks) - count) :]
    median = [rank for rank in ranks[middle : middle + count] if rank not in best and rank not in worst]
    return {"best": best, "median": median, "worst": worst}
