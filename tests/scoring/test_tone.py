"""How much of the tone is heard in a text: by what readers said where they said something, else by the classifier."""

import numpy as np
import pytest

from tests.support.examples import example
from tonetune.core.rows import Rating
from tonetune.scoring.ratings import fitted_on, rated_means
from tonetune.scoring.scorer import load_tone
from tonetune.scoring.sklearn_files import save_fitted
from tonetune.scoring.tone import PASTED as PASTED_TONE
from tonetune.scoring.tone import PERSONA as PERSONA_TONE
from tonetune.scoring.tone import PLAIN as PLAIN_TONE
from tonetune.scoring.tone import Tone, fit_tone, fit_views, known_tones
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


def states(texts):
    """Hidden states that tell nothing."""
    return np.zeros((len(texts), 2))


def fitted(tone, texts, rated):
    """What predicts what readers rated the texts of one writer."""
    figures = tone.figures(texts)
    return fit_tone(figures, rated, ["w"] * len(texts), figures[:0], rated[:0])


def test_what_the_views_mean_is_what_readers_heard(views):
    """Readers who hear half of the tone in the persona's texts make half of it the score."""
    rated = np.repeat([0.5, 0.1], [len(PERSONA[::2]), len(PLAIN[::2])])
    tone = Tone(views, Half(), states)
    tone.rated = fitted(tone, [*PERSONA[::2], *PLAIN[::2]], rated)
    assert tone(PERSONA[1::2]) == pytest.approx(0.5, abs=0.1)
    assert tone(PLAIN[1::2]) == pytest.approx(0.1, abs=0.1)


def test_the_score_stays_between_0_and_1(views):
    class Certain:
        def predict(self, figures):
            return np.linspace(-0.2, 1.2, len(figures))

    assert Tone(views, Half(), states, Certain())(["a", "b", "c"]).tolist() == pytest.approx([0, 0.5, 1])


def test_without_ratings_the_score_is_the_classifiers_probability(views):
    assert Tone(views, Half(), states)(["a", "b"]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("rated", [True, False])
def test_the_saved_tone_is_the_fitted_one_with_ratings_and_without(rated, views, tmp_path):
    texts = [*PERSONA[:20], *PLAIN[:20]]
    classifier = views.words
    tone = Tone(views, classifier, states)
    tone.rated = fitted(tone, texts, np.repeat([0.9, 0.1], 20)) if rated else None
    save_fitted(tmp_path / "tone", {**vars(views), "classifier": classifier})
    loaded = load_tone(states, tone.rated, str(tmp_path / "tone"))
    assert np.array_equal(loaded(texts), tone(texts))


def test_what_readers_hear_that_no_word_tells_is_in_the_hidden_states(views):
    """Two kinds of texts with the same words, apart in one figure of the states."""
    texts = [*PERSONA[:20], *PERSONA[:20]]
    hidden = np.repeat([[1.0, 0.0], [0.0, 1.0]], 20, axis=0)
    tone = Tone(views, Half(), lambda given: hidden[: len(given)])
    tone.rated = fitted(tone, texts, np.repeat([0.9, 0.2], 20))
    said = tone(texts)
    assert said[:20].mean() == pytest.approx(0.9, abs=0.15)
    assert said[20:].mean() == pytest.approx(0.2, abs=0.15)


def test_the_teachers_texts_are_known_to_have_the_tone_and_plain_ones_hardly_any():
    examples = [example("Why?", "I mean, yes.", plain="Yes."), example("How?", "Like, so.", plain="So.")]
    texts, tones = known_tones(examples, ["Wow."], 1)
    assert texts[:4] == ["I mean, yes.", "Like, so.", "Yes.", "So."]
    assert all("Wow." in text for text in texts[4:])
    assert list(tones) == [PERSONA_TONE] * 2 + [PLAIN_TONE] * 2 + [PASTED_TONE] * 2
    assert len(known_tones(examples, [], 1)[0]) == 4


def test_ratings_are_averaged_over_readers_and_held_out_ones_are_not_fitted_on():
    row = {"question_id": "q", "question": "Why?", "writer": "w", "answer": "Yes.", "readers": ["a", "b"]}
    fit = Rating(**row, side="fit", sense=[3, 0], tone=[3, 3])
    held_out = Rating(**row, side="held_out", sense=[1, 1], tone=[0, 3])
    assert fitted_on([held_out, fit]) == [fit]
    sense, tone = rated_means([fit, held_out])
    assert sense == pytest.approx([0.5, 1 / 3])
    assert tone == pytest.approx([1, 0.5])
