"""Where a sentence ends, and what stands before an answer or in it and is none."""

import subprocess
import sys

import pytest

from tests.support.workspace import ROOT
from tonetune.core.text import contact, ends_in_sentence, lead_in, markup


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Done.", True),
        ("*Done.*", True),
        ("(All done!)", True),
        ("\u201cDone?\u201d", True),
        ("[Done\u2026]", True),
        ("Done... \U0001f680\U0001f680", True),
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
