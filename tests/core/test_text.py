"""Where a sentence ends, and what stands before an answer or in it and is none."""

import subprocess
import sys

import pytest

from tests.support.workspace import ROOT
from tonetune.core.text import (
    contact,
    ends_in_sentence,
    first_sentences,
    lead_in,
    markup,
    opening,
    phrases,
    sentences,
    word_count,
)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Done.", True),
        ("*Done.*", True),
        ("(All done!)", True),
        ("\u201cDone?\u201d", True),
        ("[Done\u2026]", True),
        ("Done... \U0001f680\U0001f680", True),
        ("\u662f\u8fd9\u6837\u3002", True),  # Chinese, Japanese with a bracket, Arabic, Hindi
        ("\u300c\u305d\u3046\u3067\u3059\u3002\u300d", True),
        ("\u0644\u0645\u0627\u0630\u0627\u061f", True),
        ("\u0939\u093e\u0901\u0964", True),
        ("\u662f\u8fd9\u6837", False),
        ("Done", False),
        ("*Done*", False),
        ("Done:", False),
        ("Done. And", False),
        ("(done)", False),
        ("\U0001f680", False),
        ("", False),
    ],
)
def test_a_sentence_ends_in_a_mark_and_what_closes_it(text: str, ends: bool) -> None:
    assert ends_in_sentence(text) is ends


def test_the_rule_is_had_without_the_libraries_of_models() -> None:
    heavy = "{'torch', 'transformers', 'sklearn', 'sentence_transformers', 'evaluate'}"
    code = f"import sys; from tonetune.core.text import ends_in_sentence; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_what_is_found_is_quoted() -> None:
    assert lead_in("Sure! Here's the answer:\nYes.") == "Sure! Here's the answer:"
    assert markup("Well, <|im_start|>assistant") == "<|im_start|>"
    assert contact("Write to me@example.org, now.") == "me@example.org"


def test_a_lead_in_stands_at_the_beginning() -> None:
    assert lead_in("Yes. Here is my answer: no.") is None


def test_sentences_of_other_scripts_are_told_apart() -> None:
    text = "\u5929\u7a7a\u662f\u84dd\u8272\u7684\u3002\u6d77\u4e5f\u662f\u3002\u4f60\u8bf4\u5462\uff1f"
    assert len(sentences(text)) == 3
    assert first_sentences(text, 2) == text[:11]
    assert len(sentences("\u0646\u0639\u0645\u06d4 \u0644\u0645\u0627\u0630\u0627\u061f")) == 2


@pytest.mark.parametrize(
    "line",
    [
        "Here you go:",
        "Rewritten:",
        "In my own voice:",
        "Below is the rewritten answer:",
        "Okay, so here's the answer:",
        "As requested, here's the text:",
        "Certainly. The rewritten answer is as follows:",
        "Hier ist die umgeschriebene Antwort:",
        "Voici la r\u00e9ponse :",
    ],
)
def test_a_first_line_that_hands_the_answer_over_is_a_lead_in(line: str) -> None:
    assert lead_in(f"{line}\n\nMars is red.") == line
    assert lead_in("The answer to that one is plain: no.\nSo there.") is None


CHINESE = "\u6211\u8ba4\u4e3a\u7a7a\u6c14\u975e\u5e38\u597d\u3002"  # eight characters and a full stop
THAI = "\u0e2d\u0e32\u0e01\u0e32\u0e28\u0e14\u0e35\u0e21\u0e32\u0e01"  # ten


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Well - it's 5 o'clock, isn't it?", 7),  # as Python splits it: the dash too
        ("\uc624\ub298 \ub0a0\uc528\uac00 \uc88b\ub2e4.", 3),  # Korean has spaces
        (CHINESE, 4),
        (f"{CHINESE}\n{CHINESE}", 8),
        (CHINESE[:1], 1),
        (THAI, 2),
        (f"{THAI} {THAI}", 4),
        ("\u6211\u7231 Python 3\uff0c\u771f\u7684\u3002", 4),
    ],
)
def test_words_are_counted_by_spaces_and_where_there_are_none_by_characters(text: str, count: int) -> None:
    assert word_count(text) == count


def test_phrases_of_a_script_without_spaces_are_as_long_as_those_of_others() -> None:
    assert phrases("Why, it is so. Yes!", 4) == ["why it is so", "it is so yes"]
    assert phrases("Too few words", 4) == []
    assert phrases(CHINESE + CHINESE[0], 4) == [CHINESE[:8], CHINESE[1:8] + CHINESE[0]]
    assert phrases("\u6211\u7231 Python 3", 3) == ["\u6211\u7231 python 3"]
    assert (opening("Why, it is.", 2), opening("Why?", 2), opening("", 2)) == ("why it", "why", "")
    assert opening(CHINESE, 2) == CHINESE[:4]
    assert opening(THAI, 2) == THAI


@pytest.mark.parametrize(
    "text",
    [
        "\u597d\u7684\uff0c\u4ee5\u4e0b\u662f\u6539\u5199\u540e\u7684\u56de\u7b54\uff1a\u5929\u662f\u84dd\u7684\u3002",
        "\u4ee5\u4e0b\u662f\u6211\u60f3\u8bf4\u7684\uff1a\n\u5929\u662f\u84dd\u7684\u3002",
        "\u7b54\u6848\uff1a\u5929\u662f\u84dd\u7684\u3002",
        "\u306f\u3044\u3001\u4ee5\u4e0b\u304c\u56de\u7b54\u3067\u3059\u3002\n\u7a7a\u306f\u9752\u3044\u3002",
        "\u0e19\u0e35\u0e48\u0e04\u0e37\u0e2d\u0e04\u0e33\u0e15\u0e2d\u0e1a:\n\u0e1f\u0e49\u0e32\u0e2a\u0e35\u0e1f\u0e49\u0e32",
    ],
)
def test_a_lead_in_is_told_in_languages_without_spaces(text: str) -> None:
    assert lead_in(text)


def test_what_only_begins_like_a_lead_in_is_an_answer() -> None:
    assert lead_in("\u8fd9\u662f\u4e2a\u597d\u95ee\u9898\uff1a\u5929\u4e3a\u4ec0\u4e48\u662f\u84dd\u7684\u3002") is None
    assert lead_in("\u7b54\u6848\u5f88\u7b80\u5355\u3002") is None
