"""Have people, or a language model, read the run's answers blind: a sheet to fill in, and the figures of what they say.

    python -m scripts.readers sheet                # or make readers: reports/readers.html, which works offline
    python -m scripts.readers take FILE ...        # saved sheets -> data/readers/readings.jsonl and metrics/readers.csv
    python -m scripts.readers ask                  # the model of evaluate.judge reads the sheet's items, as one more reader
    python -m scripts.readers take reports/choices.jsonl   # likewise what was chosen blind on the page (make page)

The sheet names no system; which answer is whose is kept in data/readers/items.jsonl, which readers must not see.
"""

import argparse
import json
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import tonetune.report
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import content_key, replacing
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import Generation, read_examples, read_rows, write_rows
from tonetune.core.tables import write_rows_of
from tonetune.evaluation.lineup import Baselines
from tonetune.evaluation.names import BEST, TUNED
from tonetune.page.choices import Choice, choice_figures, merged
from tonetune.report.model_reader import ask_model
from tonetune.report.readers import (
    KNOWN_BAD,
    KNOWN_GOOD,
    Item,
    ReadersFigure,
    Reading,
    blind_items,
    readers_agreement,
    readers_figures,
    unreliable,
)
from tonetune.teacher.endpoint.model import EndpointModel

FOLDER = Path("data/readers")
ITEMS, READINGS = FOLDER / "items.jsonl", FOLDER / "readings.jsonl"
CHOICES = FOLDER / "choices.jsonl"
SHEET = Path("reports/readers.html")
KNOWN = (KNOWN_GOOD, KNOWN_BAD)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.readers", description="Blind reading of the run's answers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    sheet = commands.add_parser("sheet", help="write the sheet")
    sheet.add_argument("--answers", type=int, default=60, help="answers of each system, to the same questions")
    take = commands.add_parser("take", help="take in saved sheets")
    take.add_argument("files", nargs="+", type=Path)
    ask = commands.add_parser("ask", help="let a language model read the sheet's items")
    ask.add_argument("--model", help="endpoint:<model>[@<base URL>]; default: evaluate.judge")
    arguments = parser.parse_args()
    if arguments.command == "sheet":
        write_sheet(arguments.answers)
    elif arguments.command == "ask":
        ask_reader(arguments.model)
    else:
        take_readings(arguments.files)


def write_sheet(count: int) -> None:
    """The sheet of the current run's answers, and whose they are beside it."""
    params = load_params()
    persona = load_persona(params.persona)
    entered = Baselines.read().lineup()
    shown = {TUNED, BEST, *entered.others, *KNOWN}
    answers: dict[str, dict[str, str]] = {}
    for path in ("data/tuned_generations.jsonl", "data/baseline_generations.jsonl"):
        for row in read_rows(path, Generation):
            if row.system in shown:
                answers.setdefault(row.system, {}).setdefault(row.question_id, row.text)
    questions = {example.question_id: example.question for example in read_examples("test")}
    items = blind_items(answers, questions, count, params.seed)
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_rows(ITEMS, items)
    environment = Environment(
        loader=FileSystemLoader(Path(tonetune.report.__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    blind = json.dumps([{"id": i.id, "question": i.question, "answer": i.answer} for i in items], ensure_ascii=False)
    page = environment.get_template("readers.html.j2").render(
        items=Markup(blind.replace("<", "\\u003c")),
        sheet=content_key([ITEMS]),
        disclosure=persona.disclosure,
        tone=persona.system,
    )
    with replacing(SHEET) as file:
        file.write(page)
    print(f"wrote {SHEET}: {len(items)} answers of {len(answers)} systems; save it there, then `take` the file")


def ask_reader(name: str | None) -> None:
    """Let a language model that wrote none of the data read the items, and take its readings in."""
    params = load_params()
    if not (name := name or params.evaluate.judge):
        raise UserError("evaluate.judge: null; name the model that reads, there or with --model")
    model = EndpointModel(name, params, "evaluate.judge")
    if model.is_teacher:
        raise UserError(f"evaluate.judge: {name!r} wrote the data; choose another model")
    readings, odd = ask_model(model, read_rows(ITEMS, Item), load_persona(params.persona), params.evaluate)
    if odd:
        print(f"warning: {odd} replies of {name} are no two ratings; those items it has not read", file=sys.stderr)
    add_readings(readings)


def take_readings(files: list[Path]) -> None:
    """Take saved sheets in, and the page's choices between two answers; nothing of them if one holds what is not of the sheet."""
    known = {item.id for item in read_rows(ITEMS, Item)}
    taken: list[Reading] = []
    choices = read_rows(CHOICES, Choice) if CHOICES.exists() else []
    for path in files:
        if holds_choices(path):
            choices = merged(choices, read_rows(path, Choice))
            continue
        for reading in read_rows(path, Reading):
            if reading.id not in known:
                raise UserError(f"{path}: item {reading.id} is not of the sheet in {ITEMS}; nothing was taken")
            taken.append(reading)
    if choices:
        write_rows(CHOICES, choices)
    add_readings(taken)


def add_readings(added: list[Reading]) -> None:
    """Add the readings to those that are there, a reader's newer one in place of the older, and write the figures."""
    items = read_rows(ITEMS, Item)
    known = {item.id for item in items}
    there = read_rows(READINGS, Reading) if READINGS.exists() else []
    if gone := sum(reading.id not in known for reading in there):
        print(f"{READINGS}: {gone} readings of answers that are not in this sheet go")
    readings = {(reading.reader, reading.id): reading for reading in there if reading.id in known}
    readings |= {(reading.reader, reading.id): reading for reading in added}
    write_rows(READINGS, list(readings.values()))
    wrong = unreliable(items, list(readings.values()))
    for reader in wrong:
        print(f"warning: {reader} is left out: the answers of known quality were rated wrong", file=sys.stderr)
    taken = [reading for reading in readings.values() if reading.reader not in wrong]
    choices = read_rows(CHOICES, Choice) if CHOICES.exists() else []
    figures = [*readers_figures(items, taken, load_params().seed), *choice_figures(choices)]
    write_rows_of("metrics/readers.csv", ReadersFigure, figures)
    agreement = ", ".join(f"{scale} {readers_agreement(taken, scale)[0]:.2f}" for scale in ("sense", "tone"))
    several = readers_agreement(taken, "sense")[1]
    print(
        f"wrote metrics/readers.csv: {len(taken)} readings, {len(choices)} choices; "
        f"rank correlation between readers: {agreement} ({several} items)"
    )


def holds_choices(path: Path) -> bool:
    """Whether a file's first line is a choice between two answers; what else is wrong with it is told on reading."""
    try:
        with open(path, encoding="utf-8") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and "tuned_answer" in first


if __name__ == "__main__":
    run(main)
