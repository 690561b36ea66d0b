"""What a larger dataset brings: the personas tuned on all their questions and on 200, as DVC experiments.

    python -m scripts.comparisons.compare_sizes      # prints the table of docs/dataset.md, in Markdown

The split is stable, so the test questions of the smaller set are among those of the larger one: the differences are taken
on these, question by question. An experiment that is there already is not run again.
"""

from tonetune.core.startup import silence_libraries

silence_libraries()

import argparse
from collections.abc import Sequence

import numpy as np

from scripts.comparisons.points import with_interval
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.rows import Generation
from tonetune.evaluation.names import TUNED
from tonetune.experiments import answers_of, ensure, experiments
from tonetune.report.statistics import LEVEL, mean_interval, question_means, teacher_perplexity

# Questions per prompt, the most first; philippa_wren has 200 questions in all.
SIZES = {"elon_musk": (100, 50), "philippa_wren": (50,)}
SCORES = ("joint", "tone")


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m scripts.comparisons.compare_sizes", description=__doc__.splitlines()[0]
    ).parse_args()
    seed = load_params().seed
    lines = [
        "| persona | questions | test questions | perplexity, persona | joint | tone |",
        "|---|---|---|---|---|---|",
    ]
    differences = []
    for persona, sizes in SIZES.items():
        found = [answers(persona, size) for size in sizes]
        for size, rows in zip(sizes, found, strict=True):
            cells = [with_interval(*teacher_perplexity(rows, TUNED, seed), digits=".1f")]
            for score in SCORES:
                values = np.array(list(question_means(rows, TUNED, score).values()))
                cells.append(with_interval(values.mean(), *mean_interval(values, LEVEL, seed)))
            asked = len({row.question_id for row in rows})
            lines.append(f"| `{persona}` | 4 × {size} | {asked} | {' | '.join(cells)} |")
        for size, rows in zip(sizes[1:], found[1:], strict=True):
            differences.append(f"- `{persona}`, 4 × {sizes[0]} less 4 × {size}, {more(found[0], rows, seed)}")
    print("\n".join([*lines, "", *differences]))


def answers(persona: str, per_prompt: int) -> list[Generation]:
    """The scored answers of the persona's tuned model on that many questions per prompt; run if need be."""
    name = f"{persona.replace('_', '-')}-{per_prompt}"
    if not ensure(name, [f"persona={persona}", f"questions.per_prompt={per_prompt}"]):
        raise UserError(f"{name}: no experiment; see the messages above")
    return answers_of(name, experiments()[name])


def more(whole: Sequence[Generation], half: Sequence[Generation], seed: int) -> str:
    """What the larger set adds on the questions that both were tested on."""
    shared = {row.question_id for row in half} & {row.question_id for row in whole}
    whole, half = ([row for row in rows if row.question_id in shared] for rows in (whole, half))
    ours, theirs = (teacher_perplexity(rows, TUNED, seed)[0] for rows in (whole, half))
    parts = [f"on the {len(shared)} test questions of both: perplexity {ours:.1f} against {theirs:.1f}"]
    for score in SCORES:
        one, other = (question_means(rows, TUNED, score) for rows in (whole, half))
        values = np.array([one[question] - other[question] for question in one])
        parts.append(f"{score} {with_interval(values.mean(), *mean_interval(values, LEVEL, seed))}")
    return "; ".join(parts)


if __name__ == "__main__":
    run(main)
