"""Answers of several systems to the same questions, side by side, as Markdown."""

from collections.abc import Sequence

from tonetune.core.rows import Example, Generation
from tonetune.evaluation.controls import CEILING_CONTROL
from tonetune.evaluation.names import BASE, BASE_PROMPTED, TUNED
from tonetune.report.system_names import title

SHOWN = (CEILING_CONTROL, BASE, BASE_PROMPTED, TUNED)


def first_answers(generations: Sequence[Generation]) -> dict[tuple[str, str], Generation]:
    """By system and question id the answer with the first sampling seed."""
    return {(row.system, row.question_id): row for row in reversed(generations)}


def samples_page(examples: Sequence[Example], generations: Sequence[Generation], disclosure: str) -> str:
    """The first answer of each system to each example's question, with its scores."""
    first = first_answers(generations)
    lines = [
        "# Samples",
        "",
        disclosure,
        "The teacher's answers are text written by a language model, not quotations.",
        "",
    ]
    for example in examples:
        lines += [f"## {example.question}", "", "| | answer | joint | tone | sense |", "|---|---|---|---|---|"]
        for system in SHOWN:
            row = first[system, example.question_id]
            text = " ".join(row.text.replace("|", "\\|").split())
            lines.append(f"| {title(system)} | {text} | {row.joint:.2f} | {row.tone:.2f} | {row.sense:.2f} |")
        lines.append("")
    return "\n".join(lines)
