"""Do dvc.lock and metrics/ belong to the code, dvc.yaml and params.yaml? Needs no outputs: `python .ci/check_lock.py`."""

import re
import subprocess
import sys


def stale_stages() -> list[str]:
    """The stages that `dvc repro` would run although their outputs need only be fetched."""
    command = [sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing"]
    result = subprocess.run(command, capture_output=True, text=True)
    # In a clone without outputs DVC stops at the first such stage, for want of what it reads.
    names = re.findall(r"^Running stage '(\w+)'|failed to reproduce '(\w+)'", result.stdout + result.stderr, flags=re.M)
    stale = list(dict.fromkeys(one or other for one, other in names))
    if result.returncode and not stale:
        sys.exit(result.stderr)
    return stale


def main() -> None:
    if stale := stale_stages():
        sys.exit(
            f"error: dvc.lock and metrics/ are not those of this code and these params: {', '.join(stale)} changed; "
            "`dvc repro` and commit what it writes"
        )
    print("dvc.lock, metrics/, code and params belong together")


if __name__ == "__main__":
    main()
