"""What a judge's replies come to."""

import pytest

from tonetune.report.judge import outcomes, unclear


def test_a_verdict_that_turns_with_the_order_is_a_tie():
    won, lost, first_always, neither = ("A", "B"), ("B", "A"), ("A", "A"), ("Neither", "B")
    replies = [won, won, lost, first_always, neither]
    assert outcomes([a for a, _ in replies], [b for _, b in replies]) == {"wins": 0.4, "losses": 0.2, "ties": 0.4}


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("Answer: B", "B"),
        ("As to the tone, B.", "B"),
        ("**A**", "A"),
        ("(B) Both are fine", "B"),
        (" b\n", "B"),
        ("Both answers fit", None),
        ("It is a tie", None),
        ("A slight edge to B", "B"),
        ("A close call, but the better answer is A.", "A"),
        ("A is nearer to the tone.", "A"),
        ("A tie", None),
        ("", None),
    ],
)
def test_a_verdict_is_the_first_letter_that_stands_by_itself(reply, letter):
    assert outcomes([reply], ["B"])["wins"] == (letter == "A")
    assert outcomes([reply], ["A"])["losses"] == (letter == "B")
    assert (unclear([reply]) is None) is (letter is not None)


def test_a_judge_whose_replies_often_name_no_letter_is_warned_of():
    assert unclear(["A"] * 9 + ["Neither"]) is None
    assert unclear(["A"] * 8 + ["Neither", "Both"]) == (
        "2 of 10 replies name neither A nor B, which makes ties, such as 'Neither'"
    )
