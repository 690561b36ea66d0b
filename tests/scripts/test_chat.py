"""The command: what it shows and where, what it reads, and its mistakes."""

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.chat.__main__ import main
from tests.scripts.conftest import DISCLOSED
from tests.support.greedy import QUESTION, WINDOW, answer
from tests.support.workspace import ROOT
from tonetune.conversation import Conversation
from tonetune.core.command import run
from tonetune.core.params import Params
from tonetune.core.persona import load_persona
from tonetune.core.rows import Message

pytestmark = pytest.mark.usefixtures("inside")


def type_in(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    text = "".join(line + "\n" for line in lines).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))


def test_a_question_longer_than_the_window_is_an_error_and_the_conversation_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, "why " * WINDOW, QUESTION)
    main([])
    out, err = capsys.readouterr()
    assert "error: the question makes 2" in err.splitlines()[-1]
    assert f"window of {WINDOW}" in err
    assert out.strip()


def test_disclosure_is_on_stderr_and_only_the_answer_on_stdout(
    capsys: pytest.CaptureFixture[str], params: Params, tuned: Conversation
) -> None:
    main([QUESTION, "--temperature", "0"])
    out, err = capsys.readouterr()
    assert err == DISCLOSED + "\n"  # of the adapter's own card, whatever params.yaml says
    assert out == answer(tuned, QUESTION) + "\n"


def test_base_differs_from_the_adapter_and_says_so(capsys: pytest.CaptureFixture[str], params: Params) -> None:
    main([QUESTION, "--temperature=0"])
    tuned = capsys.readouterr().out
    main([QUESTION, "--temperature=0", "--base"])
    base, err = capsys.readouterr()
    assert base != tuned
    assert err.splitlines()[0] == load_persona(params.persona).disclosure
    assert "as it was before tuning" in err.splitlines()[1]


def test_a_conversation_reads_lines_until_quit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tuned: Conversation
) -> None:
    type_in(monkeypatch, QUESTION, "", "And at night?", "/quit", "not asked")
    main(["--temperature", "0"])
    first, second = answer(tuned, QUESTION), answer(tuned, "And at night?")
    assert capsys.readouterr().out == f"{first}\n{second}\n"


def test_ctrl_c_stops_the_answer_and_not_the_conversation(monkeypatch: pytest.MonkeyPatch, tuned: Conversation) -> None:
    class PressesCtrlC(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.pieces: list[str] = []

        def write(self, text: str) -> int:
            if text:
                self.pieces.append(text)
                if len(self.pieces) == 3:
                    signal.raise_signal(signal.SIGINT)
            return len(text)

    screen = PressesCtrlC()
    monkeypatch.setattr(sys, "stdout", screen)
    type_in(monkeypatch, QUESTION, "And at night?")
    main(["--temperature", "0"])
    whole = [piece for piece in tuned.ask(QUESTION) if piece]
    assert screen.pieces[:4] == [*whole[:3], "\n"]
    tuned.turns[1] = Message(role="assistant", content="".join(whole[:3]))
    assert "".join(screen.pieces[4:]) == answer(tuned, "And at night?") + "\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_strength_goes_from_the_base_to_the_tuned_model_and_base_back_and_forth(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: str) -> list[str]:
        main([*arguments, "--temperature", "0"])
        return capsys.readouterr().out.splitlines()

    (base,), (tuned,) = said(QUESTION, "--base"), said(QUESTION)
    lines = (QUESTION, "/reset", "/strength 0", QUESTION, "/reset", "/base", QUESTION, "/reset", "/base", "/strength 1")
    type_in(monkeypatch, *lines, QUESTION)
    assert said() == [tuned, base, base, tuned]
    assert said(QUESTION, "--strength", "0") == [base]
    assert said(QUESTION, "--strength", "0.7")[0] not in (base, tuned)


def test_what_was_said_is_saved_with_who_said_it_and_no_file_is_overwritten(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "talk.json"
    type_in(monkeypatch, "forgotten", "/reset", QUESTION, "/base", "And at night?", f"/save {file}", f"/save {file}")
    main([])
    out, err = capsys.readouterr()
    saved = json.loads(file.read_text())
    messages = saved["messages"]
    assert saved["disclosure"] == DISCLOSED
    assert [m["content"] for m in messages[::2]] == [QUESTION, "And at night?"]
    assert out.endswith("".join(m["content"] + "\n" for m in messages[1::2]))
    assert [m["speaker"] for m in messages[1::2]] == ["models/adapter", "path:tiny as it was before tuning"]
    assert f"{file}: is there already" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/strength", "/strength: '' is not a number"),
        ("/strength -1", "strength: -1 is not between 0 and 2"),
        ("/strength nan", "strength: nan is not between"),
        ("/nope", "/nope: no such command"),
    ],
)
def test_a_mistyped_command_is_told_and_the_talk_goes_on(
    line: str, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, line, "/etc/hosts is what?")
    main([])
    out, err = capsys.readouterr()
    assert expected in err.splitlines()[-1]
    assert len(out.splitlines()) >= 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hi", "--adapter", "models/strange"], "made for 'path:other', not for base_model: 'path:tiny'"),
        (["hi", "--adapter", "models/none"], "models/none: no adapter there"),
        (["hi", "--temperature", "3"], "--temperature: Input should be less than or equal to 2, got '3'"),
        (["hi", "--temperature", "nan"], "--temperature: "),
        (["hi", "--top-p", "0"], "--top-p: Input should be greater than 0, got '0'"),
        (["hi", "--max-new-tokens", "many"], "--max-new-tokens: Input should be a valid integer"),
        (["hi", "--seed", "-1"], "--seed: "),
        (["hi", "--max-new-tokens", "9999"], "an answer of up to 9999 (--max-new-tokens)"),
        (["hi", "--base", "--adapter", "x"], "--adapter: not allowed with argument --base"),
        (["hi", "there"], "unrecognized arguments: there"),
        ([" "], "the question is empty"),
        (["hi", "--base", "--strength", "0.5"], "--strength: not allowed with argument --base"),
        (["hi", "--strength", "much"], "--strength: 'much' is not a number"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(lambda: main(arguments))
    out, err = capsys.readouterr()
    assert exit_.value.code == 1
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert expected in last
    assert len(err.splitlines()) == 1 or "9999" in expected  # only there the model had to be loaded first


def test_help_and_mistyped_options_do_not_wait_for_torch() -> None:
    code = """if True:
        import sys
        from scripts.chat.__main__ import main
        from tonetune.core.command import run
        try:
            run(main)
        finally:
            print("torch" in sys.modules)
    """
    for arguments in (["--help"], ["--temperature", "hot"], ["--nope"]):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
        assert done.stdout.splitlines()[-1] == "False", done


def test_the_command_shows_nothing_but_disclosure_and_answer(params: Params) -> None:
    command = [sys.executable, "-m", "scripts.chat", "--temperature", "0", QUESTION]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stderr) == (0, DISCLOSED + "\n")
    assert done.stdout.strip()
