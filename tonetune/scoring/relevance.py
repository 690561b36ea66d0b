"""Does the answer answer this question, and does a rewriting say what the plain text says? Both calibrated to a probability.

A cosine alone means nothing absolute: some questions are near everything, and some answers. So it is set beside the
answer's cosine with other questions and the question's with other answers (the idea of CSLS, Lample et al. 2018,
https://arxiv.org/abs/1710.04087), and a logistic regression fitted on right and wrong pairs turns these, with the overlap
of rare words, into a probability.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tonetune.core.errors import UserError
from tonetune.core.rows import Example
from tonetune.scoring.embedder import Embedder
from tonetune.scoring.words.content_words import content_words, survival
from tonetune.scoring.words.tfidf import tfidf_ngrams

NEAREST = 10
SAME = 0.999  # the cosine from which on two questions are one
WRONG_STEPS = (1, 7, 13)


class Relevance:
    """Scores question-answer pairs against `questions` and `answers` (n, dimension): embeddings of n pairs to compare with."""

    def __init__(
        self,
        embed: Embedder,
        questions: np.ndarray,
        answers: np.ndarray,
        words: Pipeline,
        model: Pipeline | None = None,
    ):
        self.embed = embed
        self.questions = questions
        self.answers = answers
        self.words = words
        self.model = model

    def features(self, questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        """(pairs, 4): cosine, its lead over the nearest other questions and other answers, overlap of content words."""
        texts = [answer or "." for answer in answers]
        asked, given = self.embed(questions), self.embed(texts)
        cosine = (asked * given).sum(1)
        # A question must not compete with itself.
        same = asked @ self.questions.T > SAME
        near_questions = np.sort(np.where(same, -1, given @ self.questions.T), axis=1)[:, -NEAREST:].mean(1)
        near_answers = np.sort(np.where(same, -1, asked @ self.answers.T), axis=1)[:, -NEAREST:].mean(1)
        shared = self.words.transform([content_words(text) for text in questions]).multiply(
            self.words.transform([content_words(text) for text in texts])
        )
        overlap = np.asarray(shared.sum(1)).ravel()
        return np.stack([cosine, cosine - near_questions, cosine - near_answers, overlap], axis=1)

    def __call__(self, questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        """The probability, for each pair, that the answer belongs to the question."""
        if self.model is None:
            raise ValueError("not calibrated yet")
        return self.model.predict_proba(self.features(questions, answers))[:, 1]


def fit_words(texts: Sequence[str]) -> Pipeline:
    """Weights of word stems (runs of letters), rare ones counting more."""
    return tfidf_ngrams((4, 5), analyzer="char_wb").fit([content_words(text) for text in texts])


def calibrate_relevance(relevance: Relevance, examples: Sequence[Example]) -> Relevance:
    """Fit on both answers to the right question and to wrong ones, balanced."""
    questions = [example.question for example in examples]
    features, labels = [], []
    # A step that is a multiple of their number would pair every question with its own answer, as a wrong one.
    steps = [step for step in WRONG_STEPS if step % len(questions)]
    if not steps:
        raise UserError(
            f"data/validation.jsonl: {len(questions)} questions: relevance needs two; raise split.validation"
        )
    for step in (0, *steps):
        for answers in ([example.answer for example in examples], [e.twin or e.answer for e in examples]):
            moved = [answers[(i + step) % len(answers)] for i in range(len(answers))]
            features.append(relevance.features(questions, moved))
            labels += [int(step == 0)] * len(questions)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=10, class_weight="balanced", max_iter=1000))
    relevance.model = model.fit(np.concatenate(features), np.array(labels))
    return relevance


class Meaning:
    """Scores rewritings of plain texts: the probability that both say the same, times what survives of numbers and names.

    A sentence embedding hardly sees that 30 has become 300, so these are looked for one by one.
    """

    def __init__(self, relevance: Relevance, model: Pipeline | None = None):
        """`relevance` lends its embeddings and the answers to compare with."""
        self.relevance = relevance
        self.model = model

    def features(self, plain: Sequence[str], rewritings: Sequence[str]) -> np.ndarray:
        """(pairs, 4): cosine, its lead over other answers near the one and near the other, overlap of content words."""
        texts = [text or "." for text in rewritings]
        before, after = self.relevance.embed(plain), self.relevance.embed(texts)
        cosine = (before * after).sum(1)
        others = self.relevance.answers
        near = [np.sort(side @ others.T, axis=1)[:, -NEAREST:].mean(1) for side in (before, after)]
        shared = self.relevance.words.transform([content_words(text) for text in plain]).multiply(
            self.relevance.words.transform([content_words(text) for text in texts])
        )
        return np.stack([cosine, cosine - near[0], cosine - near[1], np.asarray(shared.sum(1)).ravel()], axis=1)

    def __call__(self, plain: Sequence[str], rewritings: Sequence[str]) -> np.ndarray:
        """From 0 to 1 for each pair."""
        if self.model is None:
            raise ValueError("not calibrated yet")
        kept = [survival(*pair) for pair in zip(plain, rewritings, strict=True)]
        return self.model.predict_proba(self.features(plain, rewritings))[:, 1] * np.array(kept)


def calibrate_meaning(relevance: Relevance, examples: Sequence[Example]) -> Meaning:
    """Fit on plain answers with their own persona answer and with others' answers, balanced.

    A `UserError` where there are no pairs of plain and persona answers, or only one.
    """
    pairs = [(example.plain, example.answer) for example in examples if not example.unpaired]
    steps = [step for step in WRONG_STEPS if pairs and step % len(pairs)]
    if not steps:
        raise UserError(
            f"data/validation.jsonl: {len(pairs)} pairs of a plain and a persona answer: meaning kept needs two; raise "
            "split.validation, or set train.task: answer"
        )
    meaning = Meaning(relevance)
    plain = [before for before, _ in pairs]
    features, labels = [], []
    for step in (0, *steps):
        for side in (0, 1):  # other plain texts too, so that it goes by the matter and not the register
            moved = [pairs[(i + step) % len(pairs)][side] for i in range(len(pairs))]
            features.append(meaning.features(plain, moved))
            labels += [int(step == 0)] * len(pairs)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=10, class_weight="balanced", max_iter=1000))
    meaning.model = model.fit(np.concatenate(features), np.array(labels))
    return meaning
