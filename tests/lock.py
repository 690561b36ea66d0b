"""Do dvc.lock and metrics/ belong to the code, dvc.yaml and params.yaml? Needs no outputs: `python -m tests.lock`."""

import subprocess
import sys


def stale_stages() -> list[str]:
    """The stages that `dvc repro` would run although their outputs need only be fetched."""
    command = [sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage")]


def main() -> None:
    if stale := stale_stages():
        sys.exit(
            f"error: dvc.lock and metrics/ are not those of this code and these params: {', '.join(stale)} changed; "
            "`dvc repro` and commit what it writes"
        )
    print("dvc.lock, metrics/, code and params belong together")


if __name__ == "__main__":
    main()
