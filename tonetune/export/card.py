"""The model card that goes with an export: what it is, how to load it, what it scores and how sure that is, its limits."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from tonetune.core.files import read_json
from tonetune.core.params import Params
from tonetune.core.rows import SPLITS, Generation, read_rows
from tonetune.core.tables import read_measures
from tonetune.evaluation.names import BASE, BASE_FEWSHOT, BASE_PROMPTED, TEACHER_PERSONA, TUNED
from tonetune.export.provenance import Provenance
from tonetune.report.readers import Item
from tonetune.report.system_names import title

TEMPLATE = Path(__file__).with_name("card.md.j2")
ON_THE_CARD = (TUNED, BASE, BASE_PROMPTED, BASE_FEWSHOT, TEACHER_PERSONA)
SCORES = ("joint", "tone", "sense", "fluency")
LIBRARIES = {"merged": "transformers", "adapter": "peft", "gguf": "gguf", "ollama": "gguf"}
RATED = ("sense", "tone", "sense >= 2 and tone >= 1")


@dataclass(frozen=True)
class Figures:
    """What the run in the workspace came to."""

    scores: dict[str, dict[str, str]]
    """By system and score: `mean (low to high)`."""
    means: dict[str, float]
    """Of the tuned model, by score."""
    readers: dict[str, dict[str, str]]
    """By system and figure; empty where the run's answers were not read."""
    reader_answers: int
    """Answers of the tuned model that were read."""
    says_it_is_an_ai: float | None
    """Share of the probes that ask what it is."""
    says_it_unasked: float | None
    """Share of the answers to test questions."""
    questions: dict[str, int]
    """How many, by split."""

    @classmethod
    def read(cls) -> "Figures | None":
        """From metrics/; None where there are none."""
        if not Path("metrics/intervals.csv").is_file():
            return None
        rows = _rows(Path("metrics/intervals.csv"))
        scores: dict[str, dict[str, str]] = {}
        for row in rows:
            if row["system"] in ON_THE_CARD and row["score"] in SCORES:
                scores.setdefault(row["system"], {})[row["score"]] = _interval(row)
        means = {row["score"]: float(row["mean"]) for row in rows if row["system"] == TUNED}
        readers, answers = _readers()
        retention = Path("metrics/retention.csv")
        kept = read_measures(retention).get(TUNED, {}) if retention.is_file() else {}
        said, unasked = kept.get("says_it_is_an_ai"), kept.get("says_it_unasked")
        split = read_json("metrics/split.json")
        questions = {name: split[name] for name in SPLITS}
        return cls(scores, means, readers, answers, said, unasked, questions)


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _interval(row: dict[str, str]) -> str:
    return f"{float(row['mean']):.2f} ({float(row['low']):.2f} to {float(row['high']):.2f})"


def _readers() -> tuple[dict[str, dict[str, str]], int]:
    """The readers' figures, if what they read are this run's answers, and how many of the tuned model's they read."""
    table, items, answers = (
        Path(path) for path in ("metrics/readers.csv", "data/readers/items.jsonl", "data/tuned_generations.jsonl")
    )
    if not (table.is_file() and items.is_file() and answers.is_file()):
        return {}, 0
    read = {(item.question_id, item.answer) for item in read_rows(items, Item) if item.system == TUNED}
    if not read <= {(row.question_id, row.text) for row in read_rows(answers, Generation)}:
        return {}, 0
    found: dict[str, dict[str, str]] = {}
    count = 0
    for row in _rows(table):
        if row["system"] in ON_THE_CARD and row["figure"] in RATED:
            found.setdefault(row["system"], {})[row["figure"]] = _interval(row)
            count = int(row["answers"]) if row["system"] == TUNED else count
    return found, count


def model_card(source: Provenance, form: str, weights: str, params: Params, figures: Figures | None) -> str:
    """The README.md of an export; without `figures` it says that there are none."""
    base = source.base
    language = params.split.quality.language
    data = ModelCardData(
        language=list(base.languages) if language == "off" else [language],
        license=base.licence or "other",
        library_name=LIBRARIES[form],
        pipeline_tag="text-generation",
        base_model=base.hub,
        tags=["conversational", "style-imitation", "tonetune"],
        model_name=source.persona,
        eval_results=_results(source, figures) or None,
    )
    context: dict[str, Any] = {
        "source": source,
        "form": form,
        "weights": weights,
        "params": params,
        "figures": figures,
        "title": title,
        "scores": SCORES,
        "rated": RATED,
    }
    return str(ModelCard.from_template(data, template_path=str(TEMPLATE), **context))


def _results(source: Provenance, figures: Figures | None) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type="tonetune",
            dataset_name=f"held-out questions, {source.persona}",
            dataset_split="test",
            metric_type=score,
            metric_value=figures.means[score],
        )
        for score in SCORES
        if figures is not None
    ]
