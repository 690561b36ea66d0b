"""Keep a live teacher's answers or your own pairs as recordings, or write the splits for other trainers."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scripts import import_texts
from scripts.review import apply_decisions
from scripts.splits import export_splits
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import DROPPED, read_dropped
from tonetune.imports.pairs import import_pairs, read_pairs
from tonetune.teacher.offline import used_recordings
from tonetune.teacher.recordings import merge_recordings, read_recordings, recordings_path, shared_path

UNKNOWN = "unknown"


def main(command_line: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.recordings", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    importing = commands.add_parser(
        "import",
        help="own texts (--from, --me), or pairs from .jsonl or .csv: question, persona_answer, plain_answer[, category]",
    )
    importing.add_argument("file", type=Path, nargs="+")
    importing.add_argument("--persona", help="default: the persona of params.yaml")
    importing.add_argument("--teacher", default=UNKNOWN, help='what wrote the answers, e.g. "written by hand"')
    importing.add_argument("--per-request", type=int, default=50, help="questions in one list of the teacher's")
    importing.add_argument("--replace", action="store_true", help="drop the recordings that the persona has")
    import_texts.add_options(importing)
    exporting = commands.add_parser("export", help="write the splits as JSONL with `messages`, one chat a line")
    exporting.add_argument("folder", type=Path)
    saving = commands.add_parser("save", help="keep in git what a run with teacher.mode: live was answered")
    saving.add_argument("--prune", action="store_true", help="drop what the current params do not need")
    applying = commands.add_parser("apply", help="take in what the page of `make data` saved: edits and drops")
    applying.add_argument("decisions", type=Path)
    arguments = parser.parse_args(command_line)
    if arguments.command == "import" and _own_texts(arguments):
        import_texts.import_texts(arguments)
    elif arguments.command == "import":
        teacher = arguments.teacher.strip() or UNKNOWN
        if len(arguments.file) > 1:
            raise UserError(
                f"{arguments.file[1]}: pairs come from one file; for chats, mails and posts give --from auto"
            )
        import_file(arguments.file[0], arguments.persona, teacher, arguments.per_request, arguments.replace)
    elif arguments.command == "apply":
        apply_decisions(arguments.decisions)
    elif arguments.command == "save":
        save(arguments.prune)
    else:
        export_splits(arguments.folder)


def _own_texts(arguments: argparse.Namespace) -> bool:
    """Whether it is somebody's texts that are to be imported, and not pairs with a plain answer each."""
    is_table = arguments.file[0].suffix.lower() in (".jsonl", ".csv", ".tsv", "")
    named = arguments.question or arguments.answer or arguments.plain
    return bool(arguments.form or arguments.me or named) or not (is_table or _is_array(arguments.file[0]))


def _is_array(path: Path) -> bool:
    """Whether it is pairs as one JSON array."""
    try:
        return path.suffix.lower() == ".json" and '"persona_answer"' in path.read_text(encoding="utf-8")[:20_000]
    except (OSError, UnicodeDecodeError):
        return False


def import_file(file: Path, persona: str | None, teacher: str, per_request: int, replace: bool) -> None:
    """Make the pairs in `file` the persona's recordings; those that it has already only go with `replace`."""
    params = load_params()
    name = persona or params.persona
    described, path = load_persona(name), recordings_path(name)
    if path.exists() and not replace:
        raise UserError(
            f"{path}: holds {len(read_recordings(path))} recordings, and an import would replace them; give --replace "
            "if they may go, or another --persona"
        )
    counts = import_pairs(read_pairs(file), file, params, name, described, teacher, per_request)
    listed = ", ".join(f"{count} {category}" for category, count in counts.items())
    print(f"wrote {path}: {listed}")


def save(prune: bool) -> None:
    """Write the responses that replay of the current params needs into data/recordings."""
    params = load_params()
    dropped = read_dropped() if DROPPED.exists() else []
    lists, answers = used_recordings(params, dropped)
    own = recordings_path(params.persona)
    shared = shared_path(load_persona(params.persona).prompts is not None, params.persona)
    if shared == own:
        answers = [*lists, *answers]
    else:
        print(f"{shared}: {merge_recordings(shared, lists)} of {len(lists)} new")
    if prune:
        own.unlink(missing_ok=True)
    print(f"{own}: {merge_recordings(own, answers)} of {len(answers)} new")


if __name__ == "__main__":
    run(main)
