"""What each probe sees of a text, and what it cannot see."""

import numpy as np
import pytest

from tonetune.scoring.leak_probes import leak_probes, mask_names, surface

WORDS = ("goose", "bridge", "kettle", "harbour", "ladder", "violin", "garden", "engine")


def probed(persona, plain):
    """The probes of texts that differ only in how `persona` and `plain` build a sentence about two nouns."""
    pairs = [(a, b) for a in WORDS for b in WORDS if a != b]
    texts = [style(a, b) for style in (persona, plain) for a, b in pairs]
    labels = np.repeat([1, 0], len(pairs))
    return leak_probes(texts[::2], labels[::2], texts[1::2], labels[1::2], ["Tesla"])


def test_marks_alone_are_told_by_the_surface_and_by_nothing_else():
    found = probed(lambda a, b: f"the {a} and the {b}!", lambda a, b: f"the {a} and the {b};")
    assert found["surface_auc"] == 1
    for probe in ("auc", "masked_auc", "content_auc"):
        assert found[probe] == pytest.approx(0.5, abs=0.1)


def test_names_alone_are_told_until_they_are_masked():
    found = probed(lambda a, b: f"see Tesla, {a} {b}", lambda a, b: f"see Acorn, {a} {b}")
    assert found["auc"] == pytest.approx(1)
    assert found["masked_auc"] == pytest.approx(0.5, abs=0.1)
    assert mask_names("At Tesla they saw Berlin, and I did.", ["Tesla"]) == "At name they saw name, and I did."


def test_the_manner_of_speaking_is_no_matter():
    found = probed(lambda a, b: f"well yeah the {a} just is a {b}", lambda a, b: f"perhaps the {a} may be a {b}")
    assert found["auc"] == found["masked_auc"] == 1
    assert found["content_auc"] == pytest.approx(0.5, abs=0.1)


def test_the_surface_has_no_word_in_it():
    assert surface("The goose is in.") == surface("Six bears at it.")
    assert surface("") == surface("")
