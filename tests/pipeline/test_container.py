"""What the Dockerfile copies and runs is there, and the dev container is a stage of it. `.ci/run` builds it where there is a Docker."""

import json
import re
import subprocess

from tests.support.workspace import ROOT

STEPS = re.findall(r"^([A-Z]+) +((?:.*\\\n)*.*)$", (ROOT / "Dockerfile").read_text(), flags=re.M)


def said(instruction: str) -> list[str]:
    return [" ".join(rest.replace("\\\n", " ").split()) for name, rest in STEPS if name == instruction]


def test_what_is_copied_is_in_git_and_what_is_made_is_a_target():
    tracked = set(subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines())
    copied = [word for step in said("COPY") for word in step.split()[:-1] if not word.startswith("--")]
    assert {name for name in copied if name != "."} == {"Makefile", "requirements.lock", "requirements-models.lock"}
    assert set(copied) - {"."} <= tracked
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    made = {target for step in said("RUN") for target in re.findall(r"^make ([\w./-]+)", step)}
    assert made | set(json.loads(said("CMD")[0])[1:]) <= targets
    assert made == {".venv/ready"}
    # What builds the environment must not wait for the rest, or every edit would install torch again.
    order = [rest for name, rest in STEPS if name in ("COPY", "RUN")]
    assert order.index("make .venv/ready") < next(i for i, rest in enumerate(order) if rest.endswith(" . ."))


def test_it_does_not_run_as_root_and_takes_pytorch_for_cpus():
    assert said("USER") == ["tonetune"]
    assert said("ENV") == ["PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu"]


def test_the_dev_container_is_a_stage_of_it():
    settings = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    build = settings["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (ROOT / ".devcontainer" / build["context"]).resolve() == ROOT
    assert build["target"] in re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text(), flags=re.M)
    assert settings["postCreateCommand"] == "make .venv/ready"
    assert "iterative.dvc" in settings["customizations"]["vscode"]["extensions"]
