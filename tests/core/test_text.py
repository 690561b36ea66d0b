"""Where a sentence ends, and what is English."""

import subprocess
import sys

import pytest

from tests.support.talks import TALKS
from tests.support.workspace import ROOT
from tonetune.core.text import ends_in_sentence, english_share


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


def test_english_stands_apart_from_its_neighbours() -> None:
    others = [
        "C'est une question intéressante, et je pense que nous devons d'abord parler de la physique avant de décider.",
        "Es una pregunta muy buena, y no me gusta como he pensado en ella hasta ahora, pero la física es la ley.",
        "Dat is een goede vraag, en ik denk dat we eerst over de natuurkunde moeten praten, want het is niet zo makkelijk.",
        "这是一个很好的问题。",
    ]
    assert max(english_share(text) for text in others) < 0.15
    assert min(english_share(text) for _, *texts in TALKS for text in texts) > 0.25
