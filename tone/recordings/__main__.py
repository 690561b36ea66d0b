"""python -m tone.recordings import FILE: turn your own question-answer pairs into a persona's recordings."""

import argparse
from pathlib import Path

from tone.errors import run
from tone.params import load_params
from tone.persona import load_persona
from tone.recordings import recordings_path
from tone.recordings.pairs import import_pairs, read_pairs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tone.recordings", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    importing = commands.add_parser(
        "import", help="from .jsonl or .csv: question, persona_answer, plain_answer[, category]"
    )
    importing.add_argument("file", type=Path)
    importing.add_argument("--persona", help="default: the persona of params.yaml")
    importing.add_argument("--teacher", required=True, help='what wrote the answers, e.g. "written by hand"')
    importing.add_argument("--per-request", type=int, default=50, help="questions in one list of the teacher's")
    arguments = parser.parse_args()

    params = load_params()
    name = arguments.persona or params.persona
    pairs = read_pairs(arguments.file)
    counts = import_pairs(pairs, params, name, load_persona(name), arguments.teacher, arguments.per_request)
    listed = ", ".join(f"{count} {category}" for category, count in counts.items())
    print(f"wrote {recordings_path(name)}: {listed}")


if __name__ == "__main__":
    run(main)
