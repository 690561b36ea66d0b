"""How much of the tone is heard in a text: by what readers said where they said something, else by the classifier."""

import numpy as np
import pytest

from tests.support.examples import example
from tonetune.core.rows import Rating
from tonetune.scoring.ratings import fitted_on, means
from tonetune.scoring.scorer import load_tone
from tonetune.scoring.sklearn_files import save_fitted
from tonetune.scoring.tone import Tone, fit_tone, fit_views
from tonetune.scoring.tone_classifier import labelled

THINGS = ("goose", "bridge", "kettle", "harbour", "ladder", "violin", "garden", "engine")
PERSONA = [f"Yeah, the {a} is just a {b}. I mean, why not." for a in THINGS for b in THINGS if a != b]
PLAIN = [f"A {a} may resemble a {b}. This is well established." for a in THINGS for b in THINGS if a != b]


class Half:
    """A classifier that cannot tell."""

    def predict_proba(self, texts):
        return np.full((len(texts), 2), 0.5)


@pytest.fixture(scope="module")
def views():
    return fit_views(PERSONA[::2], PLAIN[::2])


def test_an_answer_that_is_its_own_plain_answer_tells_nothing_of_the_tone():
    texts, labels = labelled([example("q", "Yes!", plain="Yes."), example("r", "I am an AI.", plain="I am an AI.")])
    assert (texts, labels.tolist()) == (["Yes!", "Yes."], [1, 0])


def test_a_plain_answer_that_several_samples_share_counts_once():
    rows = [example("Why?", text, plain="Because.") for text in ("Well.", "Oh well.")] + [example("How?", "So.")]
    texts, labels = labelled(rows)
    assert texts == ["Well.", "Oh well.", "So.", "Because.", "Plain."]
    assert labels.tolist() == [1, 1, 1, 0, 0]


def test_every_text_has_its_figures_the_empty_one_too(views):
    figures = views.figures(["", "...", PERSONA[1], PLAIN[1]])
    assert figures.shape == (4, 10)
    assert np.isfinite(figures).all()
    for log_odds in (0, 1, 4):  # words, characters, the mean over sentences
        assert figures[2, log_odds] > 0 > figures[3, log_odds]
    assert figures[2:, 8].tolist() == [2, 2]  # sentences


def test_what_the_views_mean_is_what_readers_heard(views):
    """Readers who hear half of the tone in the persona's texts make half of it the score."""
    heard = np.repeat([0.5, 0.1], [len(PERSONA[::2]), len(PLAIN[::2])])
    tone = Tone(views, fit_tone(views.figures([*PERSONA[::2], *PLAIN[::2]]), heard), Half())
    assert tone(PERSONA[1::2]) == pytest.approx(0.5, abs=0.1)
    assert tone(PLAIN[1::2]) == pytest.approx(0.1, abs=0.1)


def test_the_score_stays_between_0_and_1(views):
    class Certain:
        def predict(self, figures):
            return np.linspace(-0.2, 1.2, len(figures))

    assert Tone(views, Certain(), Half())(["a", "b", "c"]).tolist() == pytest.approx([0, 0.5, 1])


def test_without_ratings_the_score_is_the_classifiers_probability(views):
    assert Tone(views, None, Half())(["a", "b"]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("rated", [True, False])
def test_the_saved_tone_is_the_fitted_one_with_ratings_and_without(rated, views, tmp_path):
    texts = [*PERSONA[:20], *PLAIN[:20]]
    classifier = views.words
    weighed = fit_tone(views.figures(texts), np.repeat([0.9, 0.1], 20)) if rated else None
    models = {**vars(views), "classifier": classifier} | ({"rated": weighed} if rated else {})
    save_fitted(tmp_path / "tone", models)
    loaded = load_tone(str(tmp_path / "tone"))
    assert (loaded.rated is not None) is rated
    assert np.array_equal(loaded(texts), Tone(views, weighed, classifier)(texts))


def test_ratings_are_averaged_over_readers_and_held_out_ones_are_not_fitted_on():
    row = {"question_id": "q", "question": "Why?", "writer": "w", "answer": "Yes.", "readers": ["a", "b"]}
    fit = Rating(**row, side="fit", sense=[3, 0], tone=[3, 3])
    held_out = Rating(**row, side="held_out", sense=[1, 1], tone=[0, 3])
    assert fitted_on([held_out, fit]) == [fit]
    sense, tone = means([fit, held_out])
    assert sense == pytest.approx([0.5, 1 / 3])
    assert tone == pytest.approx([1, 0.5])
