"""Chat, with a tiny random Llama in a folder, the real tokenizer and a real adapter."""

import io
import signal
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from ruamel.yaml import YAML
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from scripts.chat import load, main
from tonetune.adapter import save_tuned
from tonetune.conversation import Conversation, as_text
from tonetune.core.command import run
from tonetune.core.params import Params, load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import Message
from tonetune.generation.generate import generate
from tonetune.generation.sampling import Sampling
from tonetune.model.base import load_base
from tonetune.model.chat_template import prompt_ids

REPO = Path(__file__).parents[2]
WINDOW = 192
QUESTION = "Why is the sky blue?"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A folder with params.yaml, the personas, a tiny base model and an adapter for it."""
    folder = tmp_path_factory.mktemp("workplace")
    yaml = YAML()
    values = yaml.load(REPO / "params.yaml")
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=WINDOW,
        initializer_range=0.3,  # wide enough for the next token to depend on the whole chat
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "tiny")
    tokenizer.save_pretrained(folder / "tiny")
    values["base_model"] = "path:tiny"
    values["compute"] = {"threads": 1, "dtype": "float32", "attention": "sdpa"}
    values["evaluate"]["max_new_tokens"] = 24
    yaml.dump(values, folder / "params.yaml")
    (folder / "personas").symlink_to(REPO / "personas")
    with chdir(folder):
        params = load_params()
        lora = LoraConfig(
            r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
        )
        model = get_peft_model(load_base(params.base_model, params.compute), lora)
        for name, base_model in (("adapter", params.base_model), ("strange", "path:other")):
            model.peft_config["default"].base_model_name_or_path = base_model
            save_tuned(model, f"models/{name}", params.persona, "disclosed", base_model, "lora")
    return folder


@pytest.fixture(autouse=True)
def inside(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)


@pytest.fixture
def params() -> Params:
    return load_params()


@pytest.fixture
def tuned(params: Params) -> Conversation:
    """A greedy conversation with base and adapter."""
    conversation = load(params, Path("models/adapter"))
    conversation.sampling = greedy(params)
    return conversation


def greedy(params: Params) -> Sampling:
    return Sampling(temperature=0, top_p=1, max_new_tokens=params.evaluate.max_new_tokens, batch_tokens=1)


def type_in(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    text = "".join(line + "\n" for line in lines).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))


def answer(conversation: Conversation, question: str) -> str:
    return "".join(conversation.ask(question))


def test_streams_what_generate_answers(tuned: Conversation, params: Params) -> None:
    chat = [Message(role="system", content=params.system_prompt), Message(role="user", content=QUESTION)]
    pieces = list(tuned.ask(QUESTION))
    expected = generate(tuned.model, tuned.tokenizer, [prompt_ids(tuned.tokenizer, chat)], greedy(params), [0])
    assert "".join(pieces) == expected[0]
    assert sum(map(bool, pieces)) > 10


def test_draws_what_generate_draws_from_the_same_seed(tuned: Conversation, params: Params) -> None:
    tuned.sampling = Sampling(temperature=1.5, top_p=0.9, max_new_tokens=24, batch_tokens=1)
    prompt = tuned._prompt(Message(role="user", content=QUESTION))
    assert answer(tuned, QUESTION) == generate(tuned.model, tuned.tokenizer, [prompt], tuned.sampling, [params.seed])[0]


def test_an_answer_ends_at_the_end_of_turn(tuned: Conversation) -> None:
    whole = [*tuned._tokens(tuned._prompt(Message(role="user", content=QUESTION)))]
    tuned.tokenizer.eos_token_id = whole[5]
    assert answer(tuned, QUESTION) == tuned.tokenizer.decode(whole[: whole.index(whole[5])]).strip()


def test_later_answers_take_the_history_into_account(tuned: Conversation, params: Params) -> None:
    first = answer(tuned, QUESTION)
    second = answer(tuned, "And at night?")
    chat = [
        Message(role="system", content=params.system_prompt),
        Message(role="user", content=QUESTION),
        Message(role="assistant", content=first),
        Message(role="user", content="And at night?"),
    ]
    alone = [chat[0], chat[3]]
    prompts = [prompt_ids(tuned.tokenizer, messages) for messages in (chat, alone)]
    with_history, without = generate(tuned.model, tuned.tokenizer, prompts, greedy(params), [0, 0])
    assert second == with_history != without


def test_the_earlier_conversation_never_runs_through_the_model_again(tuned: Conversation) -> None:
    lengths: list[int] = []
    tuned.model.model.register_forward_pre_hook(
        lambda _, __, inputs: lengths.append(inputs["input_ids"].shape[1]), with_kwargs=True
    )
    answer(tuned, " ".join([QUESTION] * 12))
    assert lengths[0] > 80
    lengths.clear()
    answer(tuned, "And at night?")
    # The new turn and, where its text is cut into other tokens than it was drawn in, the end of the first answer.
    assert lengths[0] < 50
    assert set(lengths[1:]) == {1}


def test_a_long_history_loses_its_oldest_turns_and_keeps_the_system_prompt(tuned: Conversation, params: Params) -> None:
    questions = [f"Question number {i}, what of it?" for i in range(8)]
    for question in questions:
        answer(tuned, question)
        assert len(tuned.cached) <= WINDOW
    assert tuned.turns[0].role == "user"
    assert tuned.turns[0].content != questions[0]
    assert [turn.content for turn in tuned.turns[::2]] == questions[-len(tuned.turns) // 2 :]
    shown = tuned.tokenizer.decode(tuned.cached)
    assert shown.startswith(f"<|im_start|>system\n{params.system_prompt}<|im_end|>\n<|im_start|>user\n")
    assert shown.count("<|im_start|>system") == 1
    # The cache that was cut and filled again answers as a fresh one does.
    prompt = tuned._prompt(Message(role="user", content=QUESTION))
    assert answer(tuned, QUESTION) == generate(tuned.model, tuned.tokenizer, [prompt], tuned.sampling, [0])[0]


def test_a_question_longer_than_the_window_is_an_error_and_the_conversation_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, "why " * WINDOW, QUESTION)
    main([])
    out, err = capsys.readouterr()
    assert "error: the question makes 2" in err.splitlines()[-1]
    assert f"window of {WINDOW}" in err
    assert out.strip()


def test_stopping_an_answer_keeps_what_was_said(tuned: Conversation) -> None:
    pieces = tuned.ask(QUESTION)
    said = next(pieces) + next(pieces) + next(pieces)
    pieces.close()
    assert [turn.content for turn in tuned.turns] == [QUESTION, said]


def test_half_characters_wait_for_their_other_half(tuned: Conversation) -> None:
    tokens = tuned.tokenizer.encode(" Rockets 🚀, naïve 火箭! ", add_special_tokens=False)
    assert any("\ufffd" in tuned.tokenizer.decode([token]) for token in tokens)
    pieces = list(as_text(tuned.tokenizer, tokens))
    assert "".join(pieces) == "Rockets 🚀, naïve 火箭!"
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_sliding_window_that_cannot_be_rewound_starts_afresh(tuned: Conversation) -> None:
    from transformers import DynamicCache, MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=len(tuned.tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=WINDOW,
        sliding_window=16,
    )
    tuned.model = MistralForCausalLM(config).eval()
    tuned.cache = DynamicCache(config=config)
    answer(tuned, QUESTION)
    tuned.turns.clear()
    prompt = tuned._prompt(Message(role="user", content="Another?"))
    assert answer(tuned, "Another?") == generate(tuned.model, tuned.tokenizer, [prompt], tuned.sampling, [0])[0]


def test_disclosure_is_on_stderr_and_only_the_answer_on_stdout(
    capsys: pytest.CaptureFixture[str], params: Params, tuned: Conversation
) -> None:
    main([QUESTION, "--temperature", "0"])
    out, err = capsys.readouterr()
    assert err == load_persona(params.persona).disclosure + "\n"
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


def test_text_that_is_not_utf8_is_asked_all_the_same(tuned: Conversation) -> None:
    assert answer(tuned, "caf\udce9?")


def test_help_and_mistyped_options_do_not_wait_for_torch() -> None:
    code = """if True:
        import sys
        from scripts.chat import main
        from tonetune.core.command import run
        try:
            run(main)
        finally:
            print("torch" in sys.modules)
    """
    for arguments in (["--help"], ["--temperature", "hot"], ["--nope"]):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(REPO)})
        assert done.stdout.splitlines()[-1] == "False", done


def test_the_command_shows_nothing_but_disclosure_and_answer(params: Params) -> None:
    command = [sys.executable, "-m", "scripts.chat", "--temperature", "0", QUESTION]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(REPO)})
    assert (done.returncode, done.stderr) == (0, load_persona(params.persona).disclosure + "\n")
    assert done.stdout.strip()
