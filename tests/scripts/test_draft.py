"""Draft, then speak: who answers, and that it is said by the adapter."""

import json
import shutil
from pathlib import Path

import pytest

from scripts.chat.__main__ import main
from scripts.chat.talk import load
from tests.support.greedy import QUESTION, answer, greedy
from tonetune.core.command import run
from tonetune.core.params import Params
from tonetune.core.tasks import rewriting_chat

GREEDY = ("--temperature", "0", "--adapter", "models/both")


@pytest.fixture
def both(inside: Path) -> Path:
    """The workplace's adapter as one that has learnt to answer and to rewrite."""
    for task in ("both", "rewrite"):
        if not (folder := inside / f"models/{task}").exists():
            shutil.copytree(inside / "models/adapter", folder)
            saved = json.loads((folder / "tuning.json").read_text())
            (folder / "tuning.json").write_text(json.dumps(saved | {"task": task}))
    return inside / "models/both"


def spoken(params: Params, draft: str, question: str) -> str:
    conversation = load(params, Path("models/both"), rewriting=True)
    conversation.sampling = greedy(params)
    return answer(conversation, rewriting_chat("", draft, question)[-1].content)


def test_the_base_drafts_and_the_adapter_speaks(both: Path, params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    base = load(params, None)
    base.sampling = greedy(params)
    main([QUESTION, "--draft", "base", *GREEDY])
    assert capsys.readouterr().out == spoken(params, answer(base, QUESTION), QUESTION) + "\n"


def test_a_rewriter_answers_nothing_by_itself_and_an_answerer_speaks_no_draft(
    both: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, expected in (
        ([QUESTION, "--adapter", "models/rewrite"], "models/rewrite: it has learnt to rewrite, not to answer"),
        ([QUESTION, "--draft", "base"], "--draft: models/adapter has learnt to answer, not to rewrite"),
        ([QUESTION, "--draft", "base", "--base"], "--draft: not allowed with argument --base"),
        ([QUESTION, "--draft", "path:nowhere", *GREEDY], "--draft: "),
    ):
        with pytest.raises(SystemExit):
            run(lambda given=arguments: main(given))
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines()[-1].startswith(f"error: {expected}")
