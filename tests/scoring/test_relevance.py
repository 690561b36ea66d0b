"""Relevance is calibrated on right pairs against wrong ones, however many questions there are."""

import numpy as np
import pytest

from tests.support.examples import example
from tonetune.core.errors import UserError
from tonetune.scoring.relevance import (
    WRONG_STEPS,
    Meaning,
    Relevance,
    calibrate_meaning,
    calibrate_relevance,
    fit_words,
)
from tonetune.scoring.words.content_words import survival

TOPICS = 20


def embed(texts):
    """A text is about the topic whose number it names; a little of everything else is in it too."""
    numbers = [int("".join(filter(str.isdigit, text)) or 0) for text in texts]
    vectors = np.eye(TOPICS)[numbers] + 0.05
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Watched(Relevance):
    """Keeps the pairs that it is asked for the features of."""

    def features(self, questions, answers):
        self.pairs = [*getattr(self, "pairs", []), *zip(questions, answers, strict=True)]
        return super().features(questions, answers)


def numbered(count):
    return [example(f"What is {i}?", f"Well, {i} it is.", plain=f"It is {i}.") for i in range(count)]


def made_from(examples):
    questions, answers = [e.question for e in examples], [e.answer for e in examples]
    return Watched(embed, embed(questions), embed(answers), fit_words([*questions, *answers]))


def own(examples, pair):
    """Whether the answer of the pair is one that its question was given."""
    return any(e.question == pair[0] and pair[1] in (e.answer, e.plain) for e in examples)


@pytest.mark.parametrize("count", [2, 7, 13, 14])
def test_no_question_is_paired_with_its_own_answer_as_a_wrong_one(count):
    examples = numbered(count)
    relevance = made_from(examples)
    calibrate_relevance(relevance, examples)
    right, wrong = relevance.pairs[: 2 * count], relevance.pairs[2 * count :]
    assert all(own(examples, pair) for pair in right)
    assert not any(own(examples, pair) for pair in wrong)
    assert len(wrong) == 2 * count * sum(step % count > 0 for step in WRONG_STEPS)


@pytest.mark.parametrize("count", [7, 13])
def test_right_pairs_are_above_wrong_ones_with_as_many_questions_as_a_step(count):
    examples = numbered(count)
    relevance = calibrate_relevance(made_from(examples), examples)
    questions, answers = [e.question for e in examples], [e.answer for e in examples]
    right, wrong = relevance(questions, answers), relevance(questions, answers[1:] + answers[:1])
    assert right.min() > 0.9
    assert wrong.max() < 0.1


def test_one_question_is_too_few():
    examples = numbered(1)
    with pytest.raises(UserError, match=r"1 questions: relevance needs two; raise split\.validation"):
        calibrate_relevance(made_from(examples), examples)


def test_what_is_not_calibrated_gives_no_score():
    with pytest.raises(ValueError, match="not calibrated"):
        made_from(numbered(3))(["What is 1?"], ["It is 1."])


def test_meaning_is_kept_by_the_own_rewriting_and_not_by_anothers():
    examples = numbered(14)
    meaning = calibrate_meaning(made_from(examples), examples)
    plain, answers = [e.plain for e in examples], [e.answer for e in examples]
    assert meaning(plain, answers).min() > 0.9
    assert meaning(plain, plain).min() > 0.9
    assert meaning(plain, answers[1:] + answers[:1]).max() < 0.1
    assert meaning(plain, [""] * 14).max() < 0.1


@pytest.mark.parametrize("count", [2, 7, 13])
def test_no_plain_text_is_paired_with_its_own_rewriting_as_a_wrong_one(count, monkeypatch):
    examples = numbered(count)
    pairs, features = [], Meaning.features

    def noted(self, plain, rewritings):
        pairs.extend(zip(plain, rewritings, strict=True))
        return features(self, plain, rewritings)

    monkeypatch.setattr(Meaning, "features", noted)
    calibrate_meaning(made_from(examples), examples)
    own_texts = {(e.plain, text) for e in examples for text in (e.plain, e.answer)}
    assert set(pairs[: 2 * count]) == own_texts
    assert not own_texts & set(pairs[2 * count :])


def test_meaning_needs_pairs():
    lacking = [example.model_copy(update={"unpaired": True}) for example in numbered(5)]
    with pytest.raises(UserError, match="0 pairs of a plain and a persona answer"):
        calibrate_meaning(made_from(numbered(5)), lacking)


@pytest.mark.parametrize(
    ("plain", "rewriting", "share"),
    [
        ("It takes 30 days.", "Thirty days, give or take.", 1),
        ("It takes 30 days.", "300 days, give or take.", 0),
        ("It takes three days and Anna leaves.", "Anna is gone in 3 days.", 1),
        ("It takes three days and Anna leaves.", "Gone in 3 days.", 0.5),
        ("We paid 1,500 in Anna's shop.", "At Anna's we paid 1500.", 1),
        ("Meetings are long. Nobody listens. I do.", "Nope.", 1),  # a capital at a sentence's beginning is no name
        ("It grew by 3.5 percent.", "It grew by 35 percent.", 0),
    ],
)
def test_numbers_and_names_survive_or_not(plain, rewriting, share):
    assert survival(plain, rewriting) == share
