"""Bases of many makes: a row becomes tokens, a loss, an adapter and a chat answer as transformers itself would have it."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tests.model.families import FAMILIES, make_family
from tests.support.examples import example
from tests.support.greedy import GREEDY, answer, one_at_a_time
from tests.support.tunings import params_with, train
from tonetune.adapter import load_tuned, save_tuned
from tonetune.conversation import Conversation
from tonetune.core.rows import Message
from tonetune.generation.generate import generate_ids
from tonetune.generation.likelihood import likelihood
from tonetune.model.base import load_base, load_tokenizer
from tonetune.model.chat_template import answer_ids, prompt_ids, rendered
from tonetune.training.encode import IGNORE_INDEX, supervised
from tonetune.training.loss import answer_loss, supervised_tokens
from tonetune.training.tuning import model_for_training

ROW = example("Is it so?", "Quite so, and rather often at that.")
FOLLOW_UP = [
    *ROW.prompt,
    *ROW.completion,
    Message(role="user", content="Why would that be, of all the things that there are?"),
]
NO_THOUGHTS = {"enable_thinking": False}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A family, and a folder with a model of it."""
    folder = tmp_path_factory.mktemp("family")
    return FAMILIES[request.param], make_family(FAMILIES[request.param], folder)


@pytest.fixture(scope="module")
def base(family):
    params = params_with(family[1], tuning="lora")
    return params, load_base(params.base_model, params.compute), load_tokenizer(params.base_model, NO_THOUGHTS)


@pytest.fixture(scope="module")
def plain(family):
    """The library's own model and attention."""
    return AutoModelForCausalLM.from_pretrained(family[1], dtype=torch.float32, attn_implementation="eager").eval()


def test_what_is_supervised_is_the_answer_and_the_end_of_its_turn(family, base):
    tokenizer = base[2]
    row = supervised(tokenizer, ROW, 1024)
    answer = [label for label in row["labels"] if label != IGNORE_INDEX]
    assert tokenizer.decode(answer) == ROW.answer + family[0].end
    prompt = tokenizer.decode([t for t, label in zip(row["input_ids"], row["labels"], strict=True) if label < 0])
    for message in ROW.prompt:
        assert message.content in prompt
    # As the template itself writes a chat with its answer: what is learnt is what is asked for.
    assert rendered(tokenizer, [*ROW.prompt, *ROW.completion]).startswith(tokenizer.decode(row["input_ids"]))


def test_the_published_template_itself_renders_what_it_can(family, base):
    """What is written into a template changes nothing of the chats that it took before."""
    untouched = AutoTokenizer.from_pretrained(family[1])
    for chat in (ROW.prompt[1:], FOLLOW_UP[1:]):
        messages = [message.model_dump() for message in chat]
        own = untouched.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **NO_THOUGHTS)
        assert rendered(base[2], chat, True) == own


def test_the_training_loss_is_the_librarys(base, plain):
    """Over the layers that training uses, and the adapter that it starts with."""
    params, _, tokenizer = base
    model = model_for_training(params)
    row = {name: torch.tensor([values]) for name, values in supervised(tokenizer, ROW, 1024).items()}
    ours = answer_loss(model.get_base_model(), row, supervised_tokens(row))
    torch.testing.assert_close(ours, plain(**row).loss, rtol=1e-4, atol=1e-5)


def test_likelihoods_are_the_librarys(base, plain):
    _, model, tokenizer = base
    prompts = [prompt_ids(tokenizer, chat) for chat in (ROW.prompt, FOLLOW_UP)]
    texts = ["Because.", ROW.answer]
    answers = [answer_ids(tokenizer, text) for text in texts]
    result = likelihood(model, prompts, answers, texts, 10_000)
    for prompt, given, nats in zip(prompts, answers, result.nats, strict=True):
        ids = torch.tensor([prompt + given])
        labels = torch.tensor([[IGNORE_INDEX] * len(prompt) + given])
        assert nats == pytest.approx(float(plain(ids, labels=labels).loss) * len(given), rel=1e-3)


def test_greedy_answers_are_the_librarys(family, base, plain):
    _, model, tokenizer = base
    prompts = [prompt_ids(tokenizer, chat) for chat in (ROW.prompt, FOLLOW_UP)]
    plain.generation_config = GenerationConfig(eos_token_id=tokenizer.convert_tokens_to_ids(family[0].end))
    expected = one_at_a_time(plain, prompts, GREEDY.max_new_tokens)
    assert generate_ids(model, tokenizer, prompts, GREEDY, [0, 0]) == expected


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_what_was_trained_is_loaded_again_and_talks(tuning, family, base, tmp_path):
    tokenizer = base[2]
    params = params_with(family[1], tuning=tuning, epochs=1, **({} if tuning == "lora" else {"learning_rate": 0.001}))
    model = model_for_training(params)
    history = train(params, model, tokenizer, tmp_path, "sft")
    assert any("eval_loss" in row for row in history)
    save_tuned(model, tmp_path / "saved", "someone", "An AI.", params.base_model, tuning)
    loaded = load_tuned(params.base_model, params.compute, tmp_path / "saved")
    prompt = prompt_ids(tokenizer, ROW.prompt)
    ids = torch.tensor([prompt])
    with torch.no_grad():
        trained, saved = model.eval()(ids).logits, loaded(ids).logits
    torch.testing.assert_close(saved, trained, rtol=1e-3, atol=2e-3)
    talk = Conversation(loaded, tokenizer, ROW.prompt[0].content, GREEDY, 0)
    for question in (ROW.question, "And why?"):
        chat = [talk.system, *talk.turns, Message(role="user", content=question)]
        expected = generate_ids(loaded, tokenizer, [prompt_ids(tokenizer, chat)], GREEDY, [0])[0]
        assert answer(talk, question) == tokenizer.decode(expected, skip_special_tokens=True).strip()
