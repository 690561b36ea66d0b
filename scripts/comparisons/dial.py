"""How strong the tone is best: the tuned model between the base (0) and beyond what it was trained to (1), on validation questions.

    python -m scripts.comparisons.dial                    # or make dial: 0, 0.25, ... 1.25
    python -m scripts.comparisons.dial 0.8 0.9 1 1.1

At each strength it answers the validation questions, never the test questions, and is asked what it is. `python -m scripts.chat
--strength S` talks at one.
"""

from tonetune.core.startup import silence_libraries

silence_libraries()

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
PARSER = argparse.ArgumentParser(
    prog="python -m scripts.comparisons.dial", description="Compare strengths of the tone."
)
PARSER.add_argument("strengths", nargs="*", type=float, default=STRENGTHS, metavar="S", help="default: 0 to 1.25")
PARSER.add_argument("--adapter", type=Path, default=Path("models/adapter"), metavar="DIR")
if __name__ == "__main__":
    PARSER.parse_args()  # help, and what is mistyped, before what takes long to load

import numpy as np

from scripts.comparisons.points import figure_of, picture, plot_intervals, write_points
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.persona import for_persona
from tonetune.core.rows import Generation, read_examples
from tonetune.evaluation.probes import run_probes
from tonetune.evaluation.systems import local_responder, sampled, score_answers
from tonetune.merged import STRONGEST, Strength, load_merged
from tonetune.model.base import load_base, load_tokenizer
from tonetune.report.statistics import LEVEL, mean_interval, question_means
from tonetune.scoring.scorer import Scorer

TABLE, PICTURE = Path("reports/dial.csv"), Path("reports/dial.png")
SCORES_SHOWN = ("tone", "sense", "joint")


@dataclass(frozen=True)
class StrengthPoint:
    """What one strength came to; low and high are the ends of the 95 % interval over the validation questions."""

    strength: float
    tone: float
    tone_low: float
    tone_high: float
    sense: float
    sense_low: float
    sense_high: float
    joint: float
    joint_low: float
    joint_high: float
    says_it_is_an_ai: float
    """Share of the probes that ask what it is."""


def main() -> None:
    arguments = PARSER.parse_args()
    strengths = sorted(set(arguments.strengths))
    for value in strengths:
        if not 0 <= value <= STRONGEST:
            raise UserError(f"strength: {value:g} is not between 0 and {STRONGEST:g}")

    params = for_persona(load_params())
    validation = read_examples("validation")
    tuned = load_merged(params.base_model, params.compute, arguments.adapter)
    strength = Strength(tuned, params.base_model, params.compute, arguments.adapter)
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    scorer = Scorer(params, load_base(params.base_model, params.compute), tokenizer)
    responder = local_responder(tuned, tokenizer, params.evaluate)
    seeds = [params.seed + turn for turn in range(params.evaluate.seeds)]
    asked = sampled(validation, [example.prompt for example in validation], seeds)

    points: list[StrengthPoint] = []
    joints: dict[float, np.ndarray] = {}
    for value in strengths:
        strength.set(value)
        name = f"strength {value:g}"
        texts = responder.answer(asked.chats, asked.seeds, f"{name}: answers")
        every = [seed for seed in seeds for _ in validation]
        rows = score_answers(name, [*validation] * len(seeds), every, texts, scorer)
        probes = run_probes(responder.answer, {name: params.system_prompt}, scorer, params.seed, name)
        points.append(point(value, rows, name, probes[name]["says_it_is_an_ai"], params.seed))
        joints[value] = means(rows, name, "joint")
    show(points)
    for sentence in conclusions(joints, params.seed):
        print(sentence)
    plot(points, PICTURE)
    print(f"{TABLE} and {PICTURE} written")


def means(rows: Sequence[Generation], name: str, score: str) -> np.ndarray:
    """(questions): the score of each, averaged over the sampling seeds."""
    return np.array(list(question_means(rows, name, score).values()))


def point(strength: float, rows: Sequence[Generation], name: str, says_it_is_an_ai: float, seed: int) -> StrengthPoint:
    """The means of the system `name` with their intervals."""
    figures: dict[str, float] = {"says_it_is_an_ai": says_it_is_an_ai}
    for score in SCORES_SHOWN:
        values = means(rows, name, score)
        low, high = mean_interval(values, LEVEL, seed)
        figures |= {score: float(values.mean()), f"{score}_low": low, f"{score}_high": high}
    return StrengthPoint(strength, **figures)


def conclusions(joints: dict[float, np.ndarray], seed: int) -> list[str]:
    """Which strength has the highest joint, and how sure it is that it beats 1, question by question.

    The interval is that of one comparison; the best of several is chosen, so its lead is flattered.
    """
    best = max(joints, key=lambda strength: joints[strength].mean())
    best_strength = f"Joint is highest at strength {best:g}: {joints[best].mean():.3f}."
    if best == 1 or 1 not in joints:
        return [best_strength]
    lead = joints[best] - joints[1]
    low, high = mean_interval(lead, LEVEL, seed)
    verdict = "more than chance would give" if low > 0 else "no more than chance may give"
    return [best_strength, f"That is {lead.mean():+.3f} [{low:+.3f}, {high:+.3f}] on strength 1, {verdict}."]


def show(points: Sequence[StrengthPoint]) -> None:
    """Print the points and write them as CSV."""
    print(f"\n{'strength':>8}  " + "".join(f"{score:<22}" for score in SCORES_SHOWN) + "says it is an AI")
    for p in points:
        cells = (figure_of(p, score) for score in SCORES_SHOWN)
        print(f"{p.strength:>8g}  " + "".join(f"{cell:<22}" for cell in cells) + f"{p.says_it_is_an_ai:.0%}")
    print("in brackets: 95 % bootstrap intervals over the validation questions\n")
    write_points(TABLE, StrengthPoint, points)


def plot(points: Sequence[StrengthPoint], path: Path) -> None:
    """Tone, sense and joint with their intervals, and the share that says it is an AI, against the strength, as a PNG."""
    strengths = [p.strength for p in points]
    with picture(path, 1, (7, 4), "95 % intervals over the validation questions") as (axis,):
        for score in SCORES_SHOWN:
            plot_intervals(axis, strengths, points, score, label=score)
        axis.plot(strengths, [p.says_it_is_an_ai for p in points], marker="s", linestyle="--", label="says it is an AI")
        axis.axvline(1, color="grey", linewidth=0.8)
        axis.set_xlabel("strength: 0 = the base, 1 = as it was trained")
        axis.set_ylim(0, 1)
        axis.legend()


if __name__ == "__main__":
    run(main)
