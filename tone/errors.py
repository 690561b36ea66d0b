"""Errors a user can mend, and the frame every command runs in."""

import contextlib
import errno
import os
import re
import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake in the input: its message names the file or key, the value and the way out, in one or two lines."""


STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


def storage_problem(error: BaseException | None) -> str | None:
    """What kept a file from being written, if that is what the error or one of its causes says."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in STORAGE:
            return f"{error.filename or 'a file'}: {error.strerror}"
        # The Rust libraries (safetensors, tokenizers) say it in words, and torch only that writing failed.
        if (found := re.search(r"\(os error (\d+)\)", str(error))) and int(found[1]) in STORAGE:
            return f"a file: {os.strerror(int(found[1]))}"
        if "PytorchStreamWriter failed" in str(error):
            return "a checkpoint: writing it failed"
        error = error.__cause__ or error.__context__
    return None


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `UserError` or a full disk becomes one message on stderr and exit code 1, no traceback."""
    try:
        main()
        _note_stage()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`| head`) has gone: point stdout elsewhere so that Python's exit does not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if (problem := storage_problem(error)) is None:
            raise
        print(f"error: {problem}; make room, or make it writable, and run this again", file=sys.stderr)
        sys.exit(1)


def _note_stage() -> None:
    """Note what a stage took; where that cannot be written, it is no error."""
    module = sys.modules["__main__"].__spec__
    if module is None or not module.name.startswith("stages."):
        return
    from tone.timing import note_stage  # here, because tone.files needs this module

    with contextlib.suppress(OSError, UserError):
        note_stage(module.name.removeprefix("stages."))
