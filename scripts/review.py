"""Look at the data and mend it: `make data` writes a page, whose saved decisions `recordings apply` takes in."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError

import tonetune.imports
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import content_key, read_json, replacing
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import OWN_WORDS, SPLITS, Answer, Example, Question, Style, read_rows, write_rows
from tonetune.core.validation import explain
from tonetune.data.near_duplicates import near_pairs
from tonetune.data.quality import check_quality
from tonetune.data.split import assign_splits, reindexed
from tonetune.imports.review import Decision, Edit, mended, review_items
from tonetune.teacher.prompts import TeacherPrompts
from tonetune.teacher.recordings import merge_recordings, recordings_path

PAGE = Path("reports/data.html")
QUESTIONS, ANSWERS = "data/questions.jsonl", "data/answers.jsonl"


def edits_path(persona: str) -> Path:
    """Where the edits of a persona's answers are kept, before and after."""
    return Path("data/edits") / f"{persona}.jsonl"


def write_page() -> None:
    """Write reports/data.html from what the stages have made: the split need not have passed its gate."""
    params = load_params()
    persona = load_persona(params.persona)
    answers = read_rows(ANSWERS, Answer)
    texts: dict[tuple[str, Style], list[str]] = {}
    for answer in answers:
        texts.setdefault((answer.question_id, answer.style), []).append(answer.text)
    every = read_rows(QUESTIONS, Question)
    own = any(answer.teacher == OWN_WORDS for answer in answers)
    limits = params.split.own_quality if own else params.split.quality
    near = near_pairs([question.text for question in every], limits.near_question)
    assigned = assign_splits(
        every, [(i, j) for i, j, _ in near], params.split.validation, params.split.test, params.seed
    )
    questions = [question for question in every if (question.id, "persona") in texts]
    checks = check_quality(questions, texts, assigned, reindexed(near, every, questions), limits)
    items = review_items(questions, answers, _written_splits() or assigned, [check for check in checks if check.failed])
    listed = json.dumps([item.model_dump() for item in items], ensure_ascii=False).replace("<", "\\u003c")
    folder = Path(tonetune.imports.__file__).parent
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("review.html.j2").render(
        persona=persona.name,
        disclosure=persona.disclosure,
        items=Markup(listed),
        key=content_key([QUESTIONS, ANSWERS]),
    )
    with replacing(PAGE) as file:
        file.write(page)
    found = sum(bool(item.findings) for item in items)
    print(f"wrote {PAGE}: {len(items)} answers, {found} with findings of the gate; open it in a browser")


def _written_splits() -> dict[str, str]:
    """The split of each question as the stage wrote it, if it did."""
    written = [split for split in SPLITS if Path(f"data/{split}.jsonl").exists()]
    return {row.question_id: split for split in written for row in read_rows(f"data/{split}.jsonl", Example)}


def apply_decisions(file: Path) -> None:
    """Write the decisions that a page saved into the persona's recordings, and keep the edits."""
    params = load_params()
    if not file.is_file():
        raise UserError(f"{file}: no such file; the page's button saves it")
    try:
        decisions = [Decision.model_validate(row) for row in read_json(file)]
    except (ValidationError, TypeError) as error:
        reason = explain(error) if isinstance(error, ValidationError) else "no list"
        raise UserError(f"{file}: not what the page saves: {reason}") from None
    prompts = TeacherPrompts(params, load_persona(params.persona))
    recordings, edits = mended(prompts, read_rows(QUESTIONS, Question), read_rows(ANSWERS, Answer), decisions)
    path = edits_path(params.persona)
    if edits:
        write_rows(path, [*(read_rows(path, Edit) if path.exists() else []), *edits])
    changed = merge_recordings(recordings_path(params.persona), recordings)
    dropped = sum(decision.action == "drop" for decision in decisions)
    print(
        f"{recordings_path(params.persona)}: {changed} recordings changed; {len(edits)} edits kept in {path}, {dropped} dropped"
    )


def main(command_line: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser(prog="python -m scripts.review", description=__doc__).parse_args(command_line)
    write_page()


if __name__ == "__main__":
    run(main)
