"""Where a sentence ends, and what stands before an answer or in it and is none."""

import subprocess
import sys

import pytest

from tests.support.workspace import ROOT
from tonetune.core.text import contact, ends_in_sentence, first_sentences, lead_in, markup, sentences


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
