"""Other models beside the base: whichever fails, wherever it does, costs nobody else's results."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from tests.support.servers.teacher_server import TeacherServer
from tests.support.workspace import ROOT, copied
from tonetune.core.params import load_params
from tonetune.core.rows import SCORES, Message
from tonetune.core.tables import read_measures
from tonetune.evaluation.rivals import rival
from tonetune.teacher.endpoint.model import EndpointModel

pytestmark = pytest.mark.slow

REFUSES = "{{ raise_exception('System role not supported') }}"


def test_a_rival_that_loads_and_then_fails_is_left_out_and_the_others_stay(tiny_workspace, tiny_base, tmp_path):
    space = copied(tiny_workspace, tmp_path / "repo")
    refusing = tmp_path / "refusing"
    shutil.copytree(tiny_base, refusing)
    tokenizer = AutoTokenizer.from_pretrained(refusing)
    tokenizer.chat_template = REFUSES
    tokenizer.save_pretrained(refusing)
    rivals = [f"path:{refusing}", f"path:{tiny_base}", "path:no/such"]
    space.set(evaluate__rivals=rivals)
    said = space.stage("baselines").stderr
    before = json.loads((tiny_workspace.root / "metrics/baselines.json").read_text())
    after = json.loads((space.root / "metrics/baselines.json").read_text())
    found, contents = after.pop("rivals"), after.pop("rival_contents")
    assert after == before
    assert contents.keys() == {rivals[1]}
    assert "System role not supported" in found[rivals[0]]["error"]
    assert "neither a .gguf" in found[rivals[2]]["error"]
    assert said.count("is left out") == 2
    # The same model as the base, prompted in the same two ways.
    assert found[rivals[1]]["prompted"] == before["base_prompted"]
    systems = {
        json.loads(line)["system"] for line in (space.root / "data/baseline_generations.jsonl").read_text().splitlines()
    }
    assert f"{rivals[1]} fewshot" in systems
    assert not [name for name in systems if str(refusing) in name]


@pytest.fixture(scope="module")
def with_rivals(tiny_workspace, tiny_base, tmp_path_factory):
    """The stage baselines run with a rival that is not there and one that is."""
    space = copied(tiny_workspace, tmp_path_factory.mktemp("rivals") / "repo")
    present = shutil.copytree(tiny_base, space.root.with_name("present"))
    space.set(evaluate__rivals=["path:nowhere", f"path:{present}"], evaluate__seeds=1)
    return space, space.stage("baselines"), f"path:{present}"


def test_a_rival_that_is_not_there_is_reported_and_the_others_are_measured(with_rivals):
    space, result, present = with_rivals
    metrics = json.loads((space.root / "metrics/baselines.json").read_text())
    assert "nowhere" in metrics["rivals"]["path:nowhere"]["error"]
    assert "warning: evaluate.rivals: 'path:nowhere'" in result.stderr
    assert "Traceback" not in result.stderr
    for style in ("prompted", "fewshot"):
        assert metrics["rivals"][present][style]["perplexity_persona"] > 0
    # The rival is the base itself, asked the same with the same seeds: it must say the same.
    assert metrics["rivals"][present]["prompted"] == metrics["base_prompted"]


class Listening(TeacherServer):
    """Keeps the bodies that it is sent."""

    def __enter__(self):
        self.bodies = []
        return super().__enter__()

    def refuse(self, request, body):
        self.bodies.append(body)
        return super().refuse(request, body)


def test_a_rival_samples_as_params_say_and_only_the_teacher_gets_the_teachers_fields(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the store of what was answered lies in .cache
    params = load_params(ROOT / "params.yaml")
    chat = [Message(role="system", content="Be brief."), Message(role="user", content="Why?")]
    with Listening() as server:
        name = f"endpoint:test-model@{server.url}"
        params = params.model_copy(update={"chat_template_kwargs": {}})
        own = {"extra_body": {"top_k": 5, "top_p": 0.1}}
        for model, url in (("other-model", server.url), ("test-model", server.url)):
            teacher = params.teacher.model_copy(update=own | {"model": model, "base_url": url})
            changed = params.model_copy(update={"teacher": teacher})
            contestant, is_teacher = rival(name, changed)
            assert is_teacher is (model == "test-model")
            contestant.answer([chat, chat], [5, 2**32 - 1], "answers")
            EndpointModel(name, changed, "evaluate.judge").respond([chat], [0], 0.0, 4, "judge")
    sent = [{key: body.get(key) for key in ("temperature", "top_p", "seed", "top_k")} for body in server.bodies]
    sampled = {"temperature": params.evaluate.temperature, "top_p": params.evaluate.top_p}
    greedy = {"temperature": 0.0, "seed": None}
    for seed in (5, 2**31 - 1):  # many servers keep it in 32 bits with a sign
        assert sampled | {"seed": seed, "top_k": None} in sent
        assert sampled | {"seed": seed, "top_k": 5} in sent
    assert greedy | {"top_p": None, "top_k": None} in sent
    assert greedy | {"top_p": 0.1, "top_k": 5} in sent
    assert len(sent) == 6


def test_a_model_behind_an_endpoint_is_a_rival_the_teacher_is_a_ceiling_and_neither_may_judge(tiny_workspace, tmp_path):
    space = copied(tiny_workspace, tmp_path / "repo")
    with TeacherServer() as server:
        name = f"endpoint:test-model@{server.url}"
        space.set(evaluate__seeds=1, evaluate__rivals=[name, f"endpoint:other@{server.url}"], evaluate__judge=name)
        space.stage("baselines")
        metrics = json.loads((space.root / "metrics/baselines.json").read_text())
        assert set(metrics["rivals"][name]["prompted"]) == {*SCORES, "prompt"}
        assert "other" in metrics["rivals"][f"endpoint:other@{server.url}"]["error"]
        assert "ceiling" not in metrics
        answered = sum(server.successes.values())
        space.stage("baselines")
        assert sum(server.successes.values()) == answered  # what was answered is not asked for again

        # The server's replies name neither A nor B: every verdict is a tie.
        warned = space.stage("evaluate").stderr
        assert "warning: evaluate.judge: test-model: " in warned
        assert "replies name neither A nor B, which makes ties" in warned
        verdicts = read_measures(space.root / "metrics/judge.csv")
        assert verdicts["base"] == {"wins": 0.0, "losses": 0.0, "ties": 1.0}
        assert "teacher_persona" in verdicts

        space.set(teacher__model="test-model", teacher__base_url=server.url, evaluate__rivals=[name])
        space.stage("baselines")
        assert "prompted" in json.loads((space.root / "metrics/baselines.json").read_text())["ceiling"][name]
        result = space.stage("evaluate", check=False)
        assert result.returncode == 1
        assert "evaluate.judge: 'test-model' wrote the data" in result.stderr


def test_answers_of_a_rivals_old_weights_are_not_compared_as_those_of_its_new_ones(with_rivals):
    space, _, present = with_rivals
    file = Path(present.removeprefix("path:")) / "model.safetensors"
    kept = file.read_bytes()
    weights = load_file(file)
    weights["model.layers.0.mlp.up_proj.weight"] *= -1
    save_file(weights, file, metadata={"format": "pt"})
    try:
        result = space.stage("evaluate", check=False)
    finally:
        file.write_bytes(kept)
    assert result.returncode == 1
    assert f"error: evaluate.rivals: {present!r} is not what metrics/baselines.json was made from" in result.stderr
