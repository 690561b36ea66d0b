"""Does the answer answer this question? Sentence embeddings and shared words, calibrated to a probability.

A cosine alone means nothing absolute; here it is set beside the answer's cosine with other questions, and a logistic
regression fitted on right and wrong pairs turns both, with the overlap of rare words, into a probability.
"""

from collections.abc import Sequence

import numpy as np
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tone.content_words import content_words
from tone.errors import UserError
from tone.locate import locate
from tone.ngrams import tfidf_ngrams
from tone.quiet import progress_bars_off
from tone.rows import Example

NEAREST = 10
WRONG_STEPS = (1, 7, 13)


class Embedder:
    """A sentence-transformers model that embeds every text once."""

    def __init__(self, model: str):
        try:
            with progress_bars_off():
                self.model = SentenceTransformer(str(locate(model, "scorers.sentence_model")), device="cpu")
        except (ValueError, OSError, KeyError) as error:
            raise UserError(f"scorers.sentence_model: {model!r}: not loaded ({str(error).splitlines()[0]})") from None
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, (texts, dimension)."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            vectors = self.model.encode(new, normalize_embeddings=True, show_progress_bar=False)
            self.known.update(zip(new, vectors, strict=True))
        return np.array([self.known[text] for text in texts])


class Relevance:
    """Scores question-answer pairs; `distractors` are the questions that an answer is set against."""

    def __init__(self, embed: Embedder, distractors: Sequence[str], words: Pipeline, model: Pipeline | None = None):
        self.embed = embed
        self.distractors = list(distractors)
        self.words = words
        self.model = model

    def features(self, questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        """(pairs, 3): cosine, its lead over the nearest distractors, overlap of content words."""
        texts = [answer or "." for answer in answers]
        asked, given = self.embed(questions), self.embed(texts)
        cosine = (asked * given).sum(1)
        others = given @ self.embed(self.distractors).T
        # A question that is itself among the distractors must not compete with itself.
        same = np.array([[question == other for other in self.distractors] for question in questions])
        nearest = np.sort(np.where(same, -1, others), axis=1)[:, -NEAREST:].mean(1)
        shared = self.words.transform([content_words(text) for text in questions]).multiply(
            self.words.transform([content_words(text) for text in texts])
        )
        return np.stack([cosine, cosine - nearest, np.asarray(shared.sum(1)).ravel()], axis=1)

    def __call__(self, questions: Sequence[str], answers: Sequence[str]) -> np.ndarray:
        """The probability, for each pair, that the answer belongs to the question."""
        if self.model is None:
            raise ValueError("not calibrated yet")
        return self.model.predict_proba(self.features(questions, answers))[:, 1]


def fit_words(texts: Sequence[str]) -> Pipeline:
    """Weights of word stems (runs of letters), rare ones counting more."""
    return tfidf_ngrams(4, 5, analyzer="char_wb").fit([content_words(text) for text in texts])


def calibrate_relevance(relevance: Relevance, examples: Sequence[Example]) -> Relevance:
    """Fit on both answers to the right question and to wrong ones, balanced."""
    questions = [example.question for example in examples]
    features, labels = [], []
    for step in (0, *WRONG_STEPS):
        for answers in ([example.answer for example in examples], [example.plain for example in examples]):
            moved = [answers[(i + step) % len(answers)] for i in range(len(answers))]
            features.append(relevance.features(questions, moved))
            labels += [int(step == 0)] * len(questions)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=10, class_weight="balanced", max_iter=1000))
    relevance.model = model.fit(np.concatenate(features), np.array(labels))
    return relevance
