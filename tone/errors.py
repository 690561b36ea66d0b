"""Errors a user can mend, and the frame every command runs in."""

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake in the input: its message names the file or key, the value and the way out, in one or two lines."""


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `UserError` becomes one message on stderr and exit code 1, without a traceback."""
    try:
        main()
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
