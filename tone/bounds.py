"""What the controls must score: they are made from the teacher's answers, so it is known beforehand."""

from collections.abc import Mapping

CEILING = 0.75
CONTROL_BOUND = 0.15
CEILING_CONTROL = "teacher_persona"


def bound_mark(control: str) -> float:
    """The control's bound on joint."""
    return CEILING if control == CEILING_CONTROL else CONTROL_BOUND


def bound(control: str) -> str:
    """The control's bound on joint, in words."""
    return f"{'at least' if control == CEILING_CONTROL else 'at most'} {bound_mark(control)}"


def keeps_bound(control: str, joint: float) -> bool:
    """Whether a control's joint is on the right side of its bound."""
    return joint >= CEILING if control == CEILING_CONTROL else joint <= CONTROL_BOUND


def broken_bounds(controls: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What is wrong with the controls' joint scores: one sentence for each control beyond its bound."""
    return [
        f"control {name}: joint {scores['joint']:.3f} should be {bound(name)}"
        for name, scores in controls.items()
        if not keeps_bound(name, scores["joint"])
    ]
