"""`make bench` measures chat beside llama.cpp where there is an export, and says in a line what cannot be measured."""

import shutil
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import chat
from tests.support.exported_models import Place
from tests.support.workspace import ROOT
from tonetune.core.params import load_params


@pytest.fixture
def run(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a run leaves it, its tuned model one of whole weights."""
    for name in ("params.yaml", "personas"):
        (tmp_path / name).symlink_to(place.root / name)
    (tmp_path / "models").mkdir()
    shutil.copytree(place.adapter("full"), tmp_path / "models/adapter")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def test_what_cannot_be_measured_is_a_line_and_no_error(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.extras(load_params()) == {}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "not measured: models/adapter holds no adapter" in lines[0]
    assert "not measured: exports/elon_musk-gguf: no GGUF export there" in lines[1]
    shutil.rmtree(run / "models/adapter")
    assert "`dvc repro` trains one" in str(chat.missing(run))


@pytest.mark.slow
def test_chat_is_measured_beside_llama_cpp(run: Path, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("xllamacpp", reason="llama.cpp comes with the extra llamacpp")
    params = load_params()
    place.export("gguf", run / chat.exported(params), "full")
    found = chat.measure(params, chat.exported(params), 1)
    assert found.keys() == {
        *(f"{way}_first_word_seconds" for way in ("chat", "chat_gguf", "chat_base")),
        *(f"{way}_tokens_per_second" for way in ("chat", "chat_gguf", "chat_llama_cpp")),
    }
    assert min(found.values()) > 0
    assert "| chat --gguf |" in capsys.readouterr().out
