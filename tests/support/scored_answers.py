"""Answers whose scores are known."""

from tonetune.core.rows import SCORES, Generation


def answers(system: str, scores, seed: int = 1) -> list[Generation]:
    """An answer to question number i with all of its scores at `scores[i]`."""
    return [
        Generation(
            system=system,
            question_id=f"q{i:03}",
            seed=seed,
            text="Yes.",
            **dict.fromkeys(SCORES, score),
        )
        for i, score in enumerate(scores)
    ]
