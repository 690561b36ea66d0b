"""Texts as tf-idf weighted n-grams, hashed: a fitted model holds arrays and no vocabulary, so it is small and quick to read."""

from collections.abc import Sequence

from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.pipeline import Pipeline, make_pipeline

BUCKETS = 2**16
WORDS_AND_MARKS = r"\w+(?:'\w+)?|[^\w\s]"  # words with their contractions, and each punctuation mark


def tfidf_ngrams(
    lengths: Sequence[int], analyzer: str = "word", token: str = r"\S+", buckets: int = BUCKETS
) -> Pipeline:
    """Counts of word n-grams (words match `token`) or, with `analyzer="char_wb"`, of character n-grams inside words.

    `lengths` are the shortest and the longest n.
    With some 10,000 n-grams in 65,536 buckets about one in fourteen shares its bucket with another.
    """
    counts = HashingVectorizer(
        n_features=buckets,
        analyzer=analyzer,
        ngram_range=tuple(lengths),
        token_pattern=token if analyzer == "word" else None,
        alternate_sign=False,
        norm=None,
    )
    return make_pipeline(counts, TfidfTransformer(sublinear_tf=True))
