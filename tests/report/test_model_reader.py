"""What a model that reads the blind sheet replies."""

import pytest

from tonetune.report.model_reader import two_ratings


@pytest.mark.parametrize(
    ("reply", "ratings"),
    [
        ("2 1", (2, 1)),
        ("Sense: 3, tone: 0", (3, 0)),
        ("**0** / **3**", (0, 3)),
        ("2", None),
        ("2.5 1 0", None),
        ("Sense 4, tone 1", None),
        ("", None),
    ],
)
def test_a_reply_counts_if_it_holds_two_ratings(reply, ratings):
    assert two_ratings(reply) == ratings
