"""Does this run belong to the committed one? Its metrics within a tolerance, and which outputs have the same bytes.

    python -m scripts.verify [--against <revision>]

The same machine writes the same bytes; another CPU adds up in another order, so it samples other answers. What is
computed from given text then moves in the last digits, and what is measured on sampled answers moves like a new sample.
"""

import argparse
import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import read_json

METRICS = Path("metrics")
CACHE = Path(".dvc/cache/files/md5")


@dataclass(frozen=True)
class Rule:
    """How far a metric may be from the committed one."""

    pattern: str
    """Of `<file>:<dotted key>`."""
    absolute: float = 0.0
    relative: float = 0.0
    why: str = ""


# The first that matches holds. 0.12 is what separates two samples of 60 answers in 19 of 20 cases: scores spread by about
# a third, and 1.96 * sqrt(2 / 60) / 3 = 0.12.
RULES = (
    Rule("split.json:*", why="no arithmetic that differs between machines"),
    Rule("train.json:best_step", relative=1.0, why="which of two validation losses is lower may turn"),
    Rule("train.json:steps", relative=1.0, why="stops earlier when the best step is earlier"),
    Rule("train.json:trainable_parameters"),
    Rule("baselines.json:*.prompt", absolute=9, why="which wording is the best on sampled answers may turn"),
    Rule("*loss*", relative=0.03),
    Rule("*perplexity*", relative=0.05),
    Rule("*bits_per_byte*", relative=0.03),
    Rule("tone_classifier.json:*", absolute=0.02),
    Rule("scorers.json:*", absolute=0.05),
    Rule("*", absolute=0.12, why="of sampled answers"),
)


@dataclass(frozen=True)
class Difference:
    metric: str
    committed: Any
    here: Any
    allowed: float

    @property
    def within(self) -> bool:
        numbers = all(isinstance(value, int | float) for value in (self.committed, self.here))
        return numbers and abs(self.here - self.committed) <= self.allowed


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.verify", description="Compare this run with the committed one."
    )
    parser.add_argument("--against", default="HEAD", metavar="REVISION", help="the commit that holds the other run")
    against = parser.parse_args().against

    committed = committed_metrics(against)
    here = {name: flat for path in sorted(METRICS.glob("*.json")) for name, flat in flatten(path.name, read_json(path))}
    differing = compare_runs(committed, here)
    beyond = [difference for difference in differing if not difference.within]
    for difference in sorted(differing, key=lambda d: d.within):
        shown = f"{difference.metric}: committed {difference.committed}, here {difference.here}"
        print(f"{'within' if difference.within else 'BEYOND'} the tolerance of {difference.allowed:.4g}  {shown}")
    other = changed_outputs(json_lock(git_show(against, "dvc.lock")))
    for path, reason in other:
        print(f"other bytes than in {against}'s dvc.lock: {path} ({reason})")
    print(
        f"{len(committed.keys() | here.keys())} metrics: {len(differing) - len(beyond)} differ within the tolerance, "
        f"{len(beyond)} beyond it; {len(other)} outputs have other bytes"
    )
    if beyond:
        raise UserError(f"{len(beyond)} metrics are not those of {against} (docs/experiments.md says what may differ)")


def git_show(revision: str, path: str) -> str:
    """A file as it is in a commit."""
    shown = subprocess.run(["git", "show", f"{revision}:{path}"], capture_output=True, text=True)
    if shown.returncode:
        raise UserError(f"--against {revision}: {shown.stderr.strip().splitlines()[0]}")
    return shown.stdout


def committed_metrics(revision: str) -> dict[str, Any]:
    """Every metric of a commit, as `<file>:<dotted key>`."""
    names = [name for name in git_show(revision, f"{METRICS}/").splitlines() if name.endswith(".json")]
    return {
        key: value
        for name in names
        for key, value in flatten(name, json.loads(git_show(revision, f"{METRICS}/{name}")))
    }


def flatten(file: str, values: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """`<file>:<dotted key>` and value of every leaf of nested dicts."""
    if isinstance(values, dict):
        for name, inner in values.items():
            yield from flatten(file, inner, f"{key}.{name}" if key else str(name))
    else:
        yield f"{file}:{key}", values


def compare_runs(committed: dict[str, Any], here: dict[str, Any]) -> list[Difference]:
    """The metrics that are not equal; one that only one side has is beyond any tolerance."""
    found = []
    for metric in sorted(committed.keys() | here.keys()):
        before, now = committed.get(metric), here.get(metric)
        if before == now:
            continue
        rule = next(rule for rule in RULES if fnmatch(metric, rule.pattern))
        size = abs(before) if isinstance(before, int | float) else 0.0
        found.append(Difference(metric, before, now, max(rule.absolute, rule.relative * size)))
    return found


def json_lock(text: str) -> dict[str, str]:
    """Path and MD5 of every output that a dvc.lock names."""
    stages = YAML(typ="safe").load(text)["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def changed_outputs(locked: dict[str, str]) -> list[tuple[str, str]]:
    """The outputs whose bytes are not those of the lock `locked`, each with the reason."""
    own = json_lock(Path("dvc.lock").read_text(encoding="utf-8")) if Path("dvc.lock").is_file() else {}
    found = []
    for name, md5 in locked.items():
        path = Path(name)
        actual = digest(path) if path.exists() else None
        if actual is None:
            found.append((name, "not there: `dvc checkout` or `dvc repro`"))
        elif actual != md5 and actual != own.get(name):
            # Not even what this workspace's own lock says: edited, or restored from a cache entry that is damaged.
            found += damaged_files(path, own.get(name, md5))
        elif actual != md5:
            found.append((name, f"{actual} instead of {md5}"))
    return found


def damaged_files(path: Path, md5: str) -> list[tuple[str, str]]:
    """The files of an output that are not what its cache entry `md5` lists, each with the way to mend it."""
    files = {path: md5}
    if path.is_dir() and cache_entry(md5).is_file():
        files = {path / file["relpath"]: file["md5"] for file in json.loads(cache_entry(md5).read_text())}
    return [
        (str(file), f"damaged: rm -rf {path} {cache_entry(wanted)}, then `dvc pull` or `dvc repro`")
        for file, wanted in files.items()
        if not file.exists() or digest(file) != wanted
    ] or [(str(path), "holds files that no run wrote")]


def cache_entry(md5: str) -> Path:
    """Where DVC keeps the file or listing with this hash."""
    return CACHE / md5[:2] / md5[2:]


def digest(path: Path) -> str:
    """The MD5 that DVC gives a file or a folder."""
    if path.is_file():
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    files = sorted(p for p in path.rglob("*") if p.is_file())
    listing = [{"md5": digest(p), "relpath": p.relative_to(path).as_posix()} for p in files]
    listing.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


if __name__ == "__main__":
    run(main)
