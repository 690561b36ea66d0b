"""What the scores say of texts whose quality is known."""

import json
import random

import numpy as np
import pytest

from tests.support.workspace import ROOT, copy_repo
from tonetune.core.params import load_params
from tonetune.core.rows import Example, Message, read_rows
from tonetune.core.text import sentences
from tonetune.evaluation.controls import control_answers
from tonetune.model.base import load_base, load_tokenizer
from tonetune.scoring.corruptions import cut_in_half, paste_catchphrases, repeat_sentence, shuffle_words, slip_words
from tonetune.scoring.fluency import distinct_share, finished, fit_word_order, fluency
from tonetune.scoring.hidden_states import HiddenStates
from tonetune.scoring.sklearn_files import load_array, load_fitted, save_fitted

DEGENERATE = {
    "the base's favourite": "No, no, no. No, no, no. No, no, no. No, no, no.",
    "one sentence repeated": "Yeah, I mean, rockets are pretty much hard. " * 5,
    "word salad": "Rocket the of mean I yeah way too is and so hard the. Guess pretty I thing the launch it you so.",
    "empty": "",
    "one word": "Yeah.",
    "cut off": "Yeah, I mean, the thing is that you've got to build the factory before you even",
    "list that never ends": "1. 1. 1. 1. 1. 1. 1. 1. 1. 1.",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The real split and tone classifier of the default persona."""
    space = copy_repo(tmp_path_factory.mktemp("scores") / "repo")
    space.set(base_answers__questions=8, base_answers__max_new_tokens=32)
    for stage in ("questions", "answers", "split", "base_answers", "tone_classifier"):
        space.stage(stage)
    sides = {side: read_rows(space.root / f"data/{side}.jsonl", Example) for side in ("train", "validation", "test")}
    texts = [text for example in sides["train"][::3] for text in (example.answer, example.plain)]
    unseen = [text for example in sides["validation"] for text in (example.answer, example.plain)]
    params = load_params(space.root / "params.yaml")
    base = load_base(params.base_model, params.compute)
    states = HiddenStates(base, load_tokenizer(params.base_model), params.scorers.hidden_layers)
    word_order = fit_word_order(texts, unseen, states, 17)
    return space, sides, word_order, load_fitted(space.root / "models/tone_classifier", "classifier")


def tone_of(texts, data):
    import evaluate

    _, _, word_order, classifier = data
    fluent = fluency(texts, word_order)
    return np.array(
        evaluate.load(str(ROOT / "measures/tone")).compute(predictions=texts, fluency=fluent, classifier=classifier)[
            "scores"
        ]
    )


@pytest.mark.parametrize("text", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_text_has_no_tone_at_all(text, data):
    assert tone_of([text], data)[0] == 0


def test_good_texts_are_told_apart_on_questions_nobody_trained_on(data):
    _, sides, word_order, _ = data
    persona = [example.answer for example in sides["test"]]
    plain = [example.plain for example in sides["test"]]
    assert tone_of(persona, data).mean() > 0.8
    assert tone_of(plain, data).mean() < 0.15
    assert fluency(persona + plain, word_order).mean() > 0.85


def test_broken_copies_of_good_texts_score_nothing(data):
    _, sides, word_order, _ = data
    persona = [example.answer for example in sides["test"]]
    assert fluency([shuffle_words(text, 1) for text in persona], word_order).mean() < 0.1
    assert fluency([repeat_sentence(text) for text in persona], word_order).max() < 0.1
    assert fluency([cut_in_half(text) for text in persona], word_order).max() == 0


def test_catchphrases_do_not_buy_the_tone(data):
    _, sides, _, _ = data
    phrases = ["Probably fine, give or take a crater.", "I mean, what could possibly melt."]
    assert tone_of([paste_catchphrases(example.plain, phrases, 3) for example in sides["test"]], data).mean() < 0.15


def test_the_style_is_not_told_by_surface_or_topic(data):
    probes = json.loads((data[0].root / "metrics/tone_classifier.json").read_text())
    assert probes["auc"] > 0.95
    assert probes["surface_auc"] < 0.75
    assert probes["content_auc"] < 0.8
    assert probes["masked_auc"] > 0.95


def test_shuffling_keeps_the_words_and_the_marks():
    text = "I like it. The goose, however, does not like me!"
    shuffled = shuffle_words(text, 1)
    assert shuffled != text
    assert len(sentences(shuffled)) == 2
    assert shuffled.endswith("!")
    assert sorted(w.strip(".,!").lower() for w in shuffled.split()) == sorted(
        w.strip(".,!").lower() for w in text.split()
    )


def test_the_draws_of_ordinary_text_are_fixed():
    text = "I like it. The goose, however, does not like me!"
    assert shuffle_words(text, 1) == "I like it. Not the does me goose, however, like!"
    assert slip_words(text, 1) == "I like it. goose, The however, does not like like me me!"


def odd_texts():
    """Texts of marks, spaces and a few words in any order, the empty one among them."""
    drawn = random.Random(1)
    pieces = (
        ".",
        "?",
        "!",
        "...",
        "\u2026",
        ",",
        '"',
        "'",
        ")",
        "*",
        " ",
        "\n",
        "I",
        "I'm",
        "word",
        "Ünd",
        "\U0001f680",
        "1",
    )
    yield from ("", " ", "\n", ".", "...", ". . .", '"', "?!", "Well . . . maybe.", "...well", "I", "I . I'm . i")
    for _ in range(500):
        yield "".join(drawn.choice(pieces) for _ in range(drawn.randrange(12)))


def words_of(text):
    return sorted(word.strip(".?!,;:").lower() for word in text.split() if word.strip(".?!,;:"))


def test_a_sentence_is_repeated():
    assert repeat_sentence("A b c. D e.", 2) == "A b c. A b c."


def test_any_text_has_controls_and_shuffling_loses_no_word():
    for text in odd_texts():
        kept = " ".join(sentences(text))
        assert words_of(shuffle_words(text, 1)) == words_of(kept), text
        assert words_of(slip_words(text, 1, share=0)) == words_of(kept), text
        for seed in range(3):
            assert set(words_of(slip_words(text, seed))) <= set(words_of(kept)), text
        assert len(cut_in_half(text).split()) <= max(1, len(text.split()) // 2), text
        assert paste_catchphrases(text, ["Oh."], 1) == f"Oh. {text} Oh."


def test_odd_answers_keep_their_place_among_the_controls():
    answers = ["Well . . . maybe.", "...", "An ordinary answer."]
    examples = [
        Example(
            question_id=answer,
            category="c",
            prompt=[Message(role="user", content="Why?")],
            completion=[Message(role="assistant", content=answer)],
            plain=answer,
        )
        for answer in answers
    ]
    assert {len(texts) for texts in control_answers(examples, [], 1).values()} == {len(examples)}


def test_repetition_and_endings():
    assert distinct_share("a b c d e f") == 1
    assert distinct_share("no no no no no no") == pytest.approx(1 / 4)
    assert finished('He said "this is quite enough."')
    assert not finished("This is not quite")
    assert not finished("Yes.")


def test_fitted_models_come_back_the_same_and_foreign_types_are_refused(tmp_path):
    import skops.io
    from sklearn.linear_model import LogisticRegression

    from tonetune.core.errors import UserError

    model = LogisticRegression().fit([[0], [1], [2], [3]], [0, 0, 1, 1])
    save_fitted(tmp_path / "m", {"model": model}, {"numbers": np.array([1, 2])})
    assert np.array_equal(load_fitted(tmp_path / "m", "model").coef_, model.coef_)
    assert load_array(tmp_path / "m", "numbers").tolist() == [1, 2]
    skops.io.dump(Foreign(), tmp_path / "m" / "foreign.skops")
    with pytest.raises(UserError, match="not trusted"):
        load_fitted(tmp_path / "m", "foreign")
    with pytest.raises(UserError, match="no such model"):
        load_fitted(tmp_path / "m", "other")


class Foreign:
    """A type that no loader should build."""

    def __init__(self):
        self.value = 1
