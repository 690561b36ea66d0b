"""Chat templates of every kind: thoughts switched off, system text in its place, answers that end where the turn does."""

import re
from dataclasses import replace
from datetime import datetime

import pytest
from transformers.utils import chat_template_utils

from tests.model.families import FAMILIES, Family, make_tokenizer, published
from tonetune.core.errors import UserError
from tonetune.core.rows import Message
from tonetune.model.base import load_tokenizer
from tonetune.model.chat_template import adapt_template, answer_ids, end_of_turn, prompt_ids, rendered

CHAT = [Message(role="system", content="Be brief."), Message(role="user", content="Why?")]
OFF = {"enable_thinking": False}
CHATML = FAMILIES["Qwen3"]
HARMONY = replace(
    CHATML, template=published("gptoss"), end="<|return|>", marks=("<|start|>", "<|channel|>", "<|message|>", "<|end|>")
)


def adapted(family: Family, fixed=OFF):
    tokenizer = make_tokenizer(family)
    adapt_template(tokenizer, "path:base", fixed)
    return tokenizer


@pytest.mark.parametrize("name", ["Qwen3", "SmolLM3"])
def test_a_model_that_thinks_begins_with_its_answer(name):
    prompt = adapted(FAMILIES[name])
    assert rendered(prompt, CHAT, True).rstrip().endswith("<think>\n\n</think>")
    assert not rendered(adapted(FAMILIES[name], {"enable_thinking": True}), CHAT, True).rstrip().endswith("</think>")


def test_what_is_fixed_holds_for_the_library_too():
    """TRL's trainers and servers render with the tokenizer alone, and know nothing of params.yaml."""
    tokenizer = adapted(FAMILIES["Qwen3"])
    messages = [message.model_dump() for message in CHAT]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ids == prompt_ids(tokenizer, CHAT)
    assert tokenizer.decode(ids).endswith("</think>\n\n")


def test_a_thought_that_no_variable_keeps_closed_is_closed():
    opens = replace(CHATML, template=published("deepseek_r1_distill"), end="<｜end▁of▁sentence｜>", eos=None)
    assert rendered(adapted(opens), CHAT, True).endswith("<think>\n</think>\n\n")
    assert rendered(adapted(opens, {}), CHAT, True).endswith("<think>\n")


SILENT = (
    "{% for m in messages if m.role != 'system' %}{{ '<|im_start|>' + m.role + m.content + '<|im_end|>' }}{% endfor %}"
)


@pytest.mark.parametrize("family", [FAMILIES["Gemma 2"], FAMILIES["Mistral"], replace(CHATML, template=SILENT)])
def test_system_text_that_a_template_refuses_or_leaves_out_begins_the_first_question(family):
    tokenizer = adapted(family)
    talk = [*CHAT, Message(role="assistant", content="So."), Message(role="user", content="And?")]
    for chat in (CHAT, talk):
        text = rendered(tokenizer, chat, True)
        assert "Be brief.\n\nWhy?" in text
        assert text.count("Be brief.") == 1


def test_the_end_of_a_turn_is_what_follows_the_answer():
    """Not the first special token of the turn, which may open a channel."""
    template = "{% for m in messages %}{{ '<|im_start|>' + m.role + '<|endoftext|>' + m.content + '<|im_end|>\n' }}{% endfor %}"
    tokenizer = adapted(replace(CHATML, template=template))
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end_of_turn(tokenizer) == end == answer_ids(tokenizer, "Yes.")[-1]


TURNS = "{% for m in messages %}{{ m.role + ': ' + m.content + END }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (None, "no chat template"),
        ("{{ raise_exception('no chats here') }}", "renders no question (no chats here)"),
        ("{% for m in messages %}{{ m.role }", "renders no question"),
        (TURNS.replace("END", "'<|eot|>'"), "ends an answer with '<|eot|>', which is no token"),
        ("{% for m in messages if m.role != 'assistant' %}{{ m.content }}{% endfor %}", "leaves the answer out"),
    ],
)
def test_a_template_that_cannot_be_trained_on_is_refused_by_name(template, says, tmp_path):
    from tests.model.families import make_family

    folder = make_family(CHATML, tmp_path / "base")
    if template is None:
        (folder / "chat_template.jinja").unlink()
    else:
        (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(UserError) as error:
        load_tokenizer(f"path:{folder}", OFF)
    assert str(error.value).startswith(f"base_model: 'path:{folder}'")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_an_answer_that_no_mark_follows_ends_with_the_text():
    tokenizer = adapted(replace(CHATML, template=TURNS.replace("END", "'\\n'"), eos="<|endoftext|>"))
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id


@pytest.mark.parametrize("name", ["llama3_1", "llama3_2", "gptoss"])
def test_a_template_that_writes_todays_date_always_writes_the_same(name, monkeypatch):
    """Trained today and talked to tomorrow, the model would have another prompt; and no run would give the same twice."""

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2031, 3, 4)

    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow)
    family = HARMONY if name == "gptoss" else replace(FAMILIES["Llama 3"], template=published(name))
    text = rendered(adapted(family), CHAT, True)
    assert "2031" not in text
    assert re.search("26 Jul 2024|2024-07-26", text)
    own = {"enable_thinking": False, "date_string": "1 May 1999"}
    if name != "gptoss":
        assert "Today Date: 1 May 1999" in rendered(adapted(family, own), CHAT, True)


def test_a_mark_that_every_answer_begins_with_ends_the_prompt():
    """gpt-oss writes its answers into a channel; training would teach another form than the template's."""
    tokenizer = adapted(HARMONY)
    prompt = rendered(tokenizer, CHAT, True)
    assert prompt.endswith("<|start|>assistant<|channel|>final<|message|>")
    answer = Message(role="assistant", content="So it is.")
    assert rendered(tokenizer, [*CHAT, answer]) == prompt + "So it is.<|return|>"
    thinks = adapted(FAMILIES["Qwen3"], {})
    assert rendered(thinks, CHAT, True).endswith("<|im_start|>assistant\n")
