"""Errors a user can mend."""

import errno
import os
import re


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
