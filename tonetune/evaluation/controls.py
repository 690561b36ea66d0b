"""What the controls must score: they are made from the teacher's answers, so it is known beforehand."""

from collections.abc import Mapping, Sequence

from tonetune.core.rows import Example
from tonetune.scoring.corruptions import cut_in_half, paste_catchphrases, repeat_sentence, shuffle_words

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


def wrong_questions(examples: Sequence[Example], step: int = 1) -> list[str]:
    """For each example the persona's answer to another one's question: the one `step` places further on."""
    return [examples[(i + step) % len(examples)].answer for i in range(len(examples))]


def control_answers(examples: Sequence[Example], catchphrases: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Answers to the examples' questions whose scores are known beforehand: the first set high, the others low."""
    return {
        "teacher_persona": [example.answer for example in examples],
        "teacher_plain": [example.plain for example in examples],
        "wrong_question": wrong_questions(examples),
        "shuffled_words": [shuffle_words(example.answer, seed) for example in examples],
        "repeated": [repeat_sentence(example.answer) for example in examples],
        "cut": [cut_in_half(example.answer) for example in examples],
        "catchphrases": [paste_catchphrases(example.plain, catchphrases, seed) for example in examples],
    }
