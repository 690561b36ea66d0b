"""The questions of a persona of own texts: what its answers answered, talks among them, kept beside the recordings."""

from collections.abc import Iterable
from pathlib import Path

from tonetune.core.files import read_gzip_lines, write_gzip
from tonetune.core.rows import Question, parse_lines
from tonetune.teacher.recordings import FOLDER


def own_questions_path(persona: str) -> Path:
    """Where a persona's own questions lie, if it has any."""
    return FOLDER / f"{persona}.questions.jsonl.gz"


def read_own_questions(persona: str) -> list[Question] | None:
    """The persona's own questions in their order; None if it is asked the teacher's."""
    path = own_questions_path(persona)
    if not path.exists():
        return None
    return parse_lines(read_gzip_lines(path, "import the texts again"), path, Question)


def write_own_questions(persona: str, questions: Iterable[Question]) -> None:
    """Write a persona's own questions, the same bytes for the same questions."""
    lines = "".join(question.model_dump_json(exclude_none=True) + "\n" for question in questions)
    write_gzip(own_questions_path(persona), lines)
