"""What the scores say of texts whose quality is known."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from tests.support.workspace import ROOT, copy_repo
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import Example, Message, Rating, read_rows
from tonetune.data.split import first_samples
from tonetune.evaluation.controls import control_answers
from tonetune.model.base import load_base, load_tokenizer
from tonetune.scoring.embedder import Embedder
from tonetune.scoring.fluency import WordOrder, fit_word_order, fluency
from tonetune.scoring.hidden_states import HiddenStates
from tonetune.scoring.ratings import fitted_on, rated_means
from tonetune.scoring.relevance import Relevance, calibrate_relevance, fit_words
from tonetune.scoring.scorer import load_tone
from tonetune.scoring.sense import LikelihoodFigures, Sense, fit_sense, known_answers
from tonetune.scoring.sklearn_files import load_array, load_fitted, save_fitted
from tonetune.scoring.tone import Probabilities, Tone, fit_tone, known_tones
from tonetune.scoring.words.corruptions import (
    cut_in_half,
    paste_catchphrases,
    repeat_sentence,
    shuffle_words,
)
from tonetune.scoring.words.repetition import distinct_share

SENSELESS = ("the base's favourite", "one sentence repeated", "empty", "one word", "list that never ends")
"""Those of DEGENERATE that repeat themselves or are no answer at all."""

DEGENERATE = {
    "the base's favourite": "No, no, no. No, no, no. No, no, no. No, no, no.",
    "one sentence repeated": "Yeah, I mean, rockets are pretty much hard. " * 5,
    "word salad": "Rocket the of mean I yeah way too is and so hard the. Guess pretty I thing the launch it you so.",
    "empty": "",
    "one word": "Yeah.",
    "cut off": "Yeah, I mean, the thing is that you've got to build the factory before you even",
    "list that never ends": "1. 1. 1. 1. 1. 1. 1. 1. 1. 1.",
}


@dataclass(frozen=True)
class Fitted:
    """The scores of the default persona, fitted on its real split and on some of the ratings."""

    splits: dict[str, list[Example]]
    word_order: WordOrder
    tone: Tone
    classifier: Probabilities
    sense: Sense

    def joint(self, questions, texts):
        return measured("tone", texts, questions, self.tone) * measured("sense", texts, questions, self.sense)


def measured(name, texts, questions, model):
    """What the metric module of that name says."""
    import evaluate

    result = evaluate.load(str(ROOT / "measures" / name)).compute(predictions=texts, references=questions, model=model)
    assert result[name] == pytest.approx(np.mean(result["scores"]))
    return np.array(result["scores"])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The real split and tone of the default persona; what the stage scorers fits, on less and with an embedder as it comes."""
    space = copy_repo(tmp_path_factory.mktemp("scores") / "repo")
    space.set(base_answers__questions=8, base_answers__max_new_tokens=32)
    for stage in ("questions", "answers", "split", "base_answers", "tone_classifier"):
        space.stage(stage)
    splits = {
        split: first_samples(read_rows(space.root / f"data/{split}.jsonl", Example))
        for split in ("train", "validation", "test")
    }
    splits["test"] = splits["test"][::3]
    texts = [text for example in splits["train"][::5] for text in (example.answer, example.plain)]
    unseen = [text for example in splits["validation"] for text in (example.answer, example.plain)]
    params = load_params(space.root / "params.yaml")
    base, tokenizer = load_base(params.base_model, params.compute), load_tokenizer(params.base_model)
    word_order = fit_word_order(texts, unseen, HiddenStates(base, tokenizer, params.scorers.hidden_layers), 17)

    embed, asked = Embedder(params.scorers.sentence_model), splits["train"][::4]
    questions, answers = [example.question for example in asked], [example.answer for example in asked]
    relevance = Relevance(embed, embed(questions), embed(answers), fit_words([*questions, *answers]))
    sense = Sense(LikelihoodFigures(base, tokenizer), calibrate_relevance(relevance, splits["validation"]))
    ratings = read_rows(space.root / f"data/ratings/{params.persona}.jsonl", Rating)
    rated = fitted_on(ratings)[::24]  # each runs through the base
    known_questions, known, senses = known_answers(splits["validation"][::4], 17)
    figures, authors = sense.figures([r.question for r in rated], [r.answer for r in rated]), [r.author for r in rated]
    sense.model = fit_sense(figures, rated_means(rated)[0], authors, sense.figures(known_questions, known), senses)
    states = HiddenStates(base, tokenizer, params.scorers.hidden_layers)
    tone = load_tone(states, None, str(space.root / "models/tone_classifier"))
    texts, tones = known_tones(splits["validation"][::2], load_persona(params.persona).catchphrases, 17)
    figures = tone.figures([r.answer for r in rated])
    tone.rated = fit_tone(figures, rated_means(rated)[1], authors, tone.figures(texts), tones)
    return space, Fitted(splits, word_order, tone, tone.classifier, sense)


QUESTION = "Why are rockets hard?"


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_text_scores_next_to_nothing(name, data):
    text, fitted = DEGENERATE[name], data[1]
    assert fluency([text], fitted.word_order)[0] < 0.1
    joint = fitted.joint([QUESTION], [text])[0]
    if name in SENSELESS:
        assert joint == 0
    elif name != "cut off":  # half an answer has half the tone and sense: that it ends nowhere is fluency's
        assert joint < 0.2


def test_good_texts_are_told_apart_on_questions_nobody_trained_on(data):
    fitted = data[1]
    questions = [example.question for example in fitted.splits["test"]]
    persona = [example.answer for example in fitted.splits["test"]]
    plain = [example.plain for example in fitted.splits["test"]]
    assert measured("tone", persona, questions, fitted.tone).mean() > 0.8
    assert measured("tone", plain, questions, fitted.tone).mean() < 0.15
    assert fitted.classifier.predict_proba(persona)[:, 1].mean() > 0.8
    assert fitted.classifier.predict_proba(plain)[:, 1].mean() < 0.15
    assert measured("fluency", persona + plain, questions * 2, fitted.word_order).mean() > 0.85
    assert measured("sense", persona + plain, questions * 2, fitted.sense).mean() > 0.7
    assert fitted.joint(questions, persona).mean() > 0.6
    assert fitted.joint(questions, plain).mean() < 0.15


def test_broken_copies_of_good_texts_score_nothing(data):
    fitted = data[1]
    questions = [example.question for example in fitted.splits["test"]]
    persona = [example.answer for example in fitted.splits["test"]]
    shuffled, repeated = [shuffle_words(text, 1) for text in persona], [repeat_sentence(text) for text in persona]
    assert fluency(shuffled, fitted.word_order).mean() < 0.1
    assert fluency(repeated, fitted.word_order).max() < 0.1
    assert fluency([cut_in_half(text) for text in persona], fitted.word_order).max() == 0
    assert fitted.joint(questions, shuffled).mean() < 0.15
    assert fitted.joint(questions, repeated).max() < 0.1


def test_an_answer_to_another_question_makes_less_sense(data):
    fitted = data[1]
    questions = [example.question for example in fitted.splits["test"]]
    persona = [example.answer for example in fitted.splits["test"]]
    right = measured("sense", persona, questions, fitted.sense)
    wrong = measured("sense", persona[1:] + persona[:1], questions, fitted.sense)
    assert wrong.mean() < right.mean() - 0.3


def test_catchphrases_do_not_buy_the_tone(data):
    fitted = data[1]
    phrases = ["Probably fine, give or take a crater.", "I mean, what could possibly melt."]
    pasted = [paste_catchphrases(example.plain, phrases, 3) for example in fitted.splits["test"]]
    questions = [example.question for example in fitted.splits["test"]]
    assert measured("tone", pasted, questions, fitted.tone).mean() < 0.5  # readers hear a little, 0.33


def test_what_the_style_is_told_by_is_reported(data):
    """What gives the tone away has no bounds: tones differ in how far they live on marks and on matter."""
    probes = json.loads((data[0].root / "metrics/tone_classifier.json").read_text())
    assert probes["auc"] > 0.95
    assert probes["masked_auc"] > 0.95
    assert {"surface_auc", "content_auc"} <= probes.keys()
    assert all(0 <= value <= 1 for value in probes.values())


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
    assert {len(texts) for texts in control_answers(examples, [], [], 1).values()} == {len(examples)}


def test_repetition():
    assert distinct_share("a b c d e f") == 1
    assert distinct_share("no no no no no no") == pytest.approx(1 / 4)


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
