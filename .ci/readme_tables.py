"""README's tables of results, written from metrics/: `python .ci/readme_tables.py`; with --check, an error where they differ."""

import csv
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tonetune.evaluation.lineup import Baselines
from tonetune.evaluation.names import BASE, BASE_FEWSHOT, BASE_PROMPTED, TUNED
from tonetune.report.system_names import WAY_TITLES, title

README, METRICS = ROOT / "README.md", ROOT / "metrics"
SCORES = ("joint", "tone", "sense", "reported_tone", "relevance", "fluency")
PERPLEXITIES = ("perplexity_persona", "perplexity_plain")
ANSWERERS = (TUNED, BASE, BASE_PROMPTED, BASE_FEWSHOT)
HEADS = {"reported_tone": "tone, reporting classifier"}


def rows_of(name: str) -> list[dict[str, str]]:
    with open(METRICS / name, newline="") as file:
        return list(csv.DictReader(file))


def shown(system: str) -> str:
    """The system's name; the tuned model's is bold and those of controls, the teacher's texts, are in italics."""
    if system == TUNED:
        return f"**{title(system).lower()}**"
    asked = system.startswith(BASE) or system.endswith(tuple(WAY_TITLES))
    return title(system).lower() if asked else f"*{title(system).lower()}*"


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join([line(head), "|" + "---|" * len(head), *(line(row) for row in rows)])


def scores() -> str:
    """What the scores say of all systems and controls, from metrics/intervals.csv."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows_of("intervals.csv"):
        found.setdefault(row["system"], {})[row["score"]] = row
    perplexities = dict(Baselines.read(METRICS / "baselines.json").systems)
    perplexities[TUNED] = json.loads((METRICS / "evaluate.json").read_text())
    rows = []
    for system, by_score in found.items():
        joint = by_score["joint"]
        cells = [shown(system), f"{float(joint['mean']):.2f} ({float(joint['low']):.2f} to {float(joint['high']):.2f})"]
        cells += [f"{float(by_score[score]['mean']):.2f}" for score in SCORES[1:]]
        own = perplexities.get(system, {})
        cells += [f"{own[name]:.1f}" if name in own else "" for name in PERPLEXITIES]
        rows.append(cells)
    head = ["system", *(HEADS.get(score, score) for score in SCORES), "perplexity, persona", "perplexity, plain"]
    return table(head, rows)


def readers() -> str:
    """What blind readers say, from metrics/readers.csv."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows_of("readers.csv"):
        found.setdefault(row["system"], {})[row["figure"]] = row
    order = [*ANSWERERS, *(system for system in found if system not in ANSWERERS)]
    rows = []
    for system in (name for name in order if name in found):
        own = found[system]

        def share(figure: str, own: dict[str, dict[str, str]] = own) -> str:
            mean, low, high = (100 * float(own[figure][part]) for part in ("mean", "low", "high"))
            return f"{mean:.0f} % ({low:.0f} % to {high:.0f} %)"

        def mean(figure: str, own: dict[str, dict[str, str]] = own) -> str:
            return "{:.2f} ({:.2f} to {:.2f})".format(*(float(own[figure][part]) for part in ("mean", "low", "high")))

        rows.append(
            [
                shown(system),
                own["sense"]["answers"],
                mean("sense"),
                mean("tone"),
                share("sense >= 2 and tone >= 1"),
                share("sense >= 2 and tone >= 2") if "sense >= 2 and tone >= 2" in own else "",
                mean("sense x tone / 9"),
            ]
        )
    head = ["what blind readers say", "answers", "sense, 0 to 3", "tone, 0 to 3", "sense ≥ 2 and tone ≥ 1"]
    return table([*head, "sense ≥ 2 and tone ≥ 2", "sense × tone / 9"], rows)


def main() -> None:
    text = README.read_text()
    for name, made in (("scores", scores()), ("readers", readers())):
        start, end = f"<!-- {name}: python .ci/readme_tables.py -->\n", f"\n<!-- /{name} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = before + start + made + end + after
    if "--check" in sys.argv:
        if text != README.read_text():
            sys.exit("error: README.md: its tables are not those of metrics/; `python .ci/readme_tables.py`")
    else:
        README.write_text(text)


if __name__ == "__main__":
    main()
