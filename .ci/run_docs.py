"""Runs the console blocks of README.md, CONTRIBUTING.md and docs/ in a fresh clone, on a tiny model.

    python .ci/run_docs.py [docs/experiments.md ...]

A command is a line that starts with `$ ` in a block marked console. Those of one document run in their order in one clone, each in
the document's shell state as far as its environment is the activated .venv.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.machine import hide_gpu
from tests.support.tiny_model import make_base
from tests.support.workspace import Workspace, as_someone, make_small

# What cannot run here, and why.
SKIPPED = {
    r"make test": "runs this",
    r"<[a-z _-]+>": "a placeholder",
    r"make learning-curve": "more questions than the tiny run has; tests/scripts/comparisons/test_learning_curve.py runs it",
    r"make compare-bases": "its bases are not there; tests/scripts/comparisons/test_compare_bases.py runs it on tiny ones",
    r"make search": "twenty trainings; tests/scripts/comparisons/test_search.py runs two",
    r"https://example\.org|s3://|gs://": "somebody's server; tests/scripts/test_remotes.py runs the same against a real one",
    r"OPENAI_API_KEY|base_url=|mode=live": "needs a key or a server; the teacher's tests run a real one",
    r"verify": "the run here is a tiny one, not the committed one",
    r"dvc (pull|push|exp push|exp pull)": "needs the remote; tests/scripts/test_remotes.py",
    r"python -m scripts\.chat *(#.*)?$": "waits for a person",
    r"make export|scripts\.export .*--check": "a random model's choices are near ties, which other kernels turn; tests/export has a steadier one",
    r"make page": "waits for a person; tests/page runs it in a browser",
}


def commands(document: Path) -> list[str]:
    """The commands of a document, their comments left out."""
    blocks = re.findall(r"^```console\n(.*?)^```", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s{2,}#.*", "", line) for line in lines]


def skipped(command: str) -> str | None:
    return next((why for pattern, why in SKIPPED.items() if re.search(pattern, command)), None)


def clone(target: Path, base: Path, cache: Path) -> Workspace:
    """A clone of the current commit with small params, committed, this environment as its .venv and a DVC cache that all share:
    a stage that one document's clone has run, DVC takes from its run cache in the next."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(target)], check=True)
    space = Workspace(target)
    as_someone(space)
    (target / ".venv").symlink_to(Path(sys.prefix))
    (target / ".git/info/exclude").write_text(".venv\n")
    (target / ".dvc/config.local").write_text(f"[cache]\n    dir = {cache}\n")
    make_small(space, base)
    space.run("git", "commit", "-qam", "small")
    return space


def main() -> None:
    hide_gpu()
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder) / "base")
        every = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
        for document in [ROOT / name for name in sys.argv[1:]] or every:
            space = None
            for command in commands(document):
                why = skipped(command)
                print(f"{document.relative_to(ROOT)}: {command}" + (f"   [not run: {why}]" if why else ""), flush=True)
                if why:
                    continue
                if space is None:
                    space = clone(Path(folder) / document.stem, base, Path(folder) / "cache")
                shell = f'set -e; . .venv/bin/activate; make() {{ command make -o .venv/ready "$@"; }}; {command}'
                environment = os.environ | {
                    "MAKEFLAGS": "-o .venv/ready",
                    "DVC_ROOT": str(space.root),
                    "MPLBACKEND": "agg",
                }
                result = subprocess.run(
                    ["bash", "-c", shell], cwd=space.root, env=environment, capture_output=True, text=True
                )
                if result.returncode:
                    failed.append(command)
                    print(result.stdout[-2000:], result.stderr[-3000:], sep="\n", flush=True)
    if failed:
        sys.exit("error: these commands of the documents fail:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
