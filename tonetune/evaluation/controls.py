"""Controls: answers whose scores are known beforehand, and the bounds that a run must keep."""

from collections.abc import Mapping, Sequence

from tonetune.core.rows import Example, Message, Rating
from tonetune.evaluation.names import (
    CATCHPHRASES,
    COPIED,
    CUT,
    FILLERS,
    MIXED_SENTENCES,
    NONSENSE,
    OTHER_REWRITING,
    REPEATED,
    SHUFFLED_WORDS,
    TEACHER_PERSONA,
    TEACHER_PLAIN,
    TUNED,
    UNSEEN_WRITER,
    WRONG_QUESTION,
)
from tonetune.scoring.words.corruptions import (
    cut_in_half,
    mix_sentences,
    paste_catchphrases,
    repeat_sentence,
    shuffle_words,
    strew_fillers,
)

CEILING_CONTROL = TEACHER_PERSONA
AT_LEAST = {CEILING_CONTROL: 0.75, UNSEEN_WRITER: 0.6}
# An answer cut off makes sense with a flaw, two of three on the readers' scale, and catchphrases are a little of the tone, one of
# three; the persona's marks may come on top.
AT_MOST = {MIXED_SENTENCES: 0.25, FILLERS: 0.2, CUT: 0.5, CATCHPHRASES: 0.35}
FROM_PLAIN = (TEACHER_PLAIN, CATCHPHRASES, FILLERS)
USUAL = 0.15  # what any other control may score at most
AS_REWRITINGS = {TEACHER_PLAIN: COPIED, WRONG_QUESTION: OTHER_REWRITING}
"""What controls are called where the task is rewriting."""
MEANING_AT_LEAST = {CEILING_CONTROL: 0.7, COPIED: 0.9}
MEANING_AT_MOST = {OTHER_REWRITING: 0.2}
A_LITTLE, CLEARLY = 1 / 3, 2 / 3  # one and two of three on the readers' scales


def bound_mark(control: str) -> float:
    """The control's bound on joint."""
    return AT_LEAST.get(control, AT_MOST.get(control, USUAL))


def bound(control: str) -> str:
    """The control's bound on joint, in words."""
    return f"{'at least' if control in AT_LEAST else 'at most'} {bound_mark(control)}"


def keeps_bound(control: str, joint: float) -> bool:
    """Whether a control's joint is on the right side of its bound."""
    return joint >= bound_mark(control) if control in AT_LEAST else joint <= bound_mark(control)


def broken_bounds(controls: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What is wrong with the controls' joint scores, and rewritings' meaning: a sentence for each that is beyond its bound."""
    broken = [
        f"control {name}: joint {scores['joint']:.3f} should be {bound(name)}"
        for name, scores in controls.items()
        if not keeps_bound(name, scores["joint"])
    ]
    for name, scores in controls.items():
        kept = scores.get("meaning_kept")
        if kept is not None and kept < (least := MEANING_AT_LEAST.get(name, 0)):
            broken.append(f"control {name}: meaning kept {kept:.3f} should be at least {least}")
        if kept is not None and kept > (most := MEANING_AT_MOST.get(name, 1)):
            broken.append(f"control {name}: meaning kept {kept:.3f} should be at most {most}")
    return broken


def other_answers(examples: Sequence[Example], step: int = 1) -> list[str]:
    """For each example the persona's answer to another one's question: the one `step` rows further on."""
    return [examples[(i + step) % len(examples)].answer for i in range(len(examples))]


def control_answers(
    examples: Sequence[Example], catchphrases: Sequence[str], fillers: Sequence[str], seed: int
) -> dict[str, list[str]]:
    """Answers to the examples' questions whose scores are known beforehand: the first set high, the others low.

    Those that are made from plain answers are left out where no plain answers were written.
    """
    others = other_answers(examples)
    made = {
        TEACHER_PERSONA: [example.answer for example in examples],
        TEACHER_PLAIN: [example.plain for example in examples],
        WRONG_QUESTION: others,
        MIXED_SENTENCES: [mix_sentences(e.answer, other) for e, other in zip(examples, others, strict=True)],
        SHUFFLED_WORDS: [shuffle_words(example.answer, seed) for example in examples],
        REPEATED: [repeat_sentence(example.answer) for example in examples],
        CUT: [cut_in_half(example.answer) for example in examples],
        CATCHPHRASES: [paste_catchphrases(example.plain, catchphrases, seed) for example in examples],
        FILLERS: [strew_fillers(example.plain, fillers, seed) for example in examples],
    }
    lacking = FROM_PLAIN if any(example.unpaired for example in examples) else ()
    return {name: answers for name, answers in made.items() if name not in lacking}


def rated_controls(ratings: Sequence[Rating]) -> dict[str, list[Rating]]:
    """Recorded answers that nothing was fitted on, whose joint readers have settled; none without ratings.

    `unseen_writer`: of writers that no score was fitted on, what readers found sensible and clearly in the tone.
    `nonsense`: of tuned models, what has some of the tone and of which readers made no sense at all.
    """
    held_out = [rating for rating in ratings if rating.side == "held_out"]
    seen = {rating.writer for rating in ratings if rating.side == "fit"}
    found = {
        UNSEEN_WRITER: [r for r in held_out if r.writer not in seen and min(r.mean_sense, r.mean_tone) >= CLEARLY],
        NONSENSE: [r for r in held_out if r.writer.startswith(TUNED) and r.mean_sense == 0 and r.mean_tone >= A_LITTLE],
    }
    return {name: rows for name, rows in found.items() if rows}


def rated_example(rating: Rating) -> Example:
    """The rated answer as an example, so that it can be scored like a system's."""
    return Example(
        question_id=rating.question_id,
        category="rated",
        prompt=[Message(role="user", content=rating.question)],
        completion=[Message(role="assistant", content=rating.answer)],
        plain=rating.answer,
    )
