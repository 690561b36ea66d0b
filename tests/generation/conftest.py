"""What generation is tested on."""

import pytest

PROMPTS = ["Why?", "What would you do on a rainy day in a town without a library?", "Tell me about rockets."]


@pytest.fixture(scope="module")
def ids(tiny):
    return [tiny[1].encode(f"<|im_start|>user\n{text}") for text in PROMPTS]
