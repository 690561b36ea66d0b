"""The questions of a persona of own texts: what its answers answered, talks among them, kept beside the recordings."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from tonetune.core.errors import UserError
from tonetune.core.files import replacing
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
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return parse_lines(file.readlines(), path, Question)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a whole gzip file ({error}); import the texts again") from None


def write_own_questions(persona: str, questions: Iterable[Question]) -> None:
    """Write a persona's own questions, the same bytes for the same questions."""
    lines = "".join(question.model_dump_json(exclude_none=True) + "\n" for question in questions)
    with replacing(own_questions_path(persona), "wb") as file:
        file.write(gzip.compress(lines.encode(), mtime=0))
