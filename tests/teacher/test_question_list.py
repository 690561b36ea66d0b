"""Questions are read from the lists that models write."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faulty_server.server import LISTS
from tests.support.faulty_server.server import listed as written
from tonetune.teacher.question_list import format_question_list, parse_question_list


def test_lists_of_questions_survive_the_forms_that_models_give_them():
    response = (
        "Here are 3 questions:\n\n1. Why is it so?\n2) **What now?**\n- Name a bird you trust\n\n3. Why is it so?\n"
    )
    assert parse_question_list(response) == ["Why is it so?", "What now?", "Name a bird you trust"]
    assert parse_question_list(format_question_list(["A b c?", "D e f?"])) == ["A b c?", "D e f?"]
    assert parse_question_list("Why is it so?\n\nWhat now?\n") == ["Why is it so?", "What now?"]


def test_what_a_model_says_around_its_list_is_no_question():
    talk = "Ready?\n**Here are the first two questions:**\n\n{}\n\nWould you like 50 more?"
    for listed in (
        "1. Why is it so?\n2. What now?",
        "* Why is it so?\n* What now?",
        "- **Why is it so?**\n- What now?",
    ):
        assert parse_question_list(talk.format(listed)) == ["Why is it so?", "What now?"]


def test_a_number_may_be_in_bold_type_and_a_question_may_begin_with_one():
    assert parse_question_list("**1. Why?**\n**2.** What?\n**3**) Who?") == ["Why?", "What?", "Who?"]
    assert parse_question_list("**Why?**\n2.5 children, why?") == ["Why?", "2.5 children, why?"]


ASKED = ["Why is it so, and since when?", "What now?", "Name a bird that you trust.", "Who, or 2.5 of whom?"]


@pytest.mark.parametrize("shape", LISTS)
def test_a_list_is_read_in_every_shape_that_models_give_it(shape):
    questions = [text for text in ASKED if text.endswith("?")]
    assert parse_question_list(written(questions, shape)) == questions


@pytest.mark.parametrize(
    ("response", "questions"),
    [
        ('Here they are:\n{\n "questions": [\n  "Why?",\n  "Who is', ["Why?"]),  # talk before it, and cut off
        ('[{"id": 1, "text": "Why?"}, {"id": 2, "text": "Who?"}]', ["Why?", "Who?"]),
        ('[{"n": 1, "frage": "Why?", "kind": "funny"}]', ["Why?"]),
        ('{"data": {"list": [{"q": "1. Why?"}]}}', ["Why?"]),
        ('[{"question": "Why Mars?", "tags": ["space", "life"]}]', ["Why Mars?"]),
        ('[{"question": "Name a bird.", "follow_up": "Really?", "notes": {"a": "Who?"}}]', ["Name a bird."]),
        ('[{"id": 1, "text": "Why Mars?", "follow_ups": ["Really?"]}]', ["Why Mars?"]),
        ('[{"text": "Name a bird.", "tags": ["birds"]}]', ["Name a bird."]),
        ('{"title": "What is asked?", "questions": ["Why?", "Who?"]}', ["Why?", "Who?"]),
        ('{"text": "Funny ones", "list": [{"q": "Why?"}]}', ["Why?"]),
        ('{"1": "Why Mars?", "2": "Name a bird."}', ["Why Mars?", "Name a bird."]),
        ("['Why?', \"Who's there?\"]", ["Why?", "Who's there?"]),
        ("questions = ['Why?', 'Who?',]", ["Why?", "Who?"]),
        ('["Why?", "Who?", ...]', ["Why?", "Who?"]),
        ("[\u201cWhy?\u201d, \u201cWho?\u201d]", ["Why?", "Who?"]),
        ('{"questions": "[\\"Why?\\"]"}', ["Why?"]),
        ('\ufeff["Why?"]', ["Why?"]),
        ("a) Why?\nb) Who?", ["Why?", "Who?"]),
        ("1 - Why?\n2 \u2013 Who?", ["Why?", "Who?"]),
        ("\u2013 Why?\n+ Who?\n> 1. What?\n[ ] How?\nQ1 - When?", ["Why?", "Who?", "What?", "How?", "When?"]),
        (
            "1\u3001\u4e3a\u4ec0\u4e48\uff1f\n2\u3001\u8bf4\u8bf4\u4f60\u7684\u68a6\u60f3\u3002",
            ["\u4e3a\u4ec0\u4e48\uff1f", "\u8bf4\u8bf4\u4f60\u7684\u68a6\u60f3\u3002"],
        ),
        ("\u4e3a\u4ec0\u4e48\uff1f\n\u8c01\uff1f", ["\u4e3a\u4ec0\u4e48\uff1f", "\u8c01\uff1f"]),
        ("\u0644\u0645\u0627\u0630\u0627\u061f", ["\u0644\u0645\u0627\u0630\u0627\u061f"]),
        ("Q1: Why?\nQuestion 2. Who?\n**Q3:** What?", ["Why?", "Who?", "What?"]),
        ("1. Q: Why?\n2. Q: Who?", ["Why?", "Who?"]),
        ("## Ready to ask?\n1. Why?\n### What else?\n2. Who?", ["Why?", "Who?"]),
        ("1. Personal life and all\n   - Why?\n2. Work and all that\n   - Who?", ["Why?", "Who?"]),
        ("<ul>\n<li>Why?</li>\n<li><b>Who</b> &amp; what?</li>\n</ul>", ["Why?", "Who & what?"]),
        (
            "<questions><question id='1'>1. Why?</question><question>Name a bird.</question></questions>",
            ["Why?", "Name a bird."],
        ),
        ("<ol><li>Why?<li>Who?</ol>", ["Why?", "Who?"]),
        ("1. Why?\n- Note: these are all the same.\n2. **Note:** do you agree?\n3. Who?", ["Why?", "Who?"]),
        ('{"error": "I cannot"}', []),
        ('"text": "Why\n"text": "Who', []),
    ],
)
def test_objects_labels_headings_and_cut_off_json_are_read_or_left(response, questions):
    assert parse_question_list(response) == questions


WORDS = st.text(alphabet="ab1 ?.:,\"'`{}[]()|*#-\n\\", max_size=40)
NESTED = st.recursive(
    WORDS | st.none() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(WORDS | st.just("text"), inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(WORDS | NESTED.map(json.dumps) | NESTED.map(lambda value: f"Sure:\n{json.dumps(value, indent=1)}"[:-2]))
def test_nothing_that_is_no_text_of_words_is_taken_for_a_question(response):
    for text in parse_question_list(response):
        assert len(text.splitlines()) == 1
        assert any(character.isalpha() for character in text)
        assert not text.startswith(("{", '["'))
        assert '": "' not in text


@pytest.mark.parametrize("text", ["[", "{", "[\n", '{"a":', '{"a":\n', "[{", "<li>", ":", "(", "[ "])
def test_brackets_by_the_hundred_thousand_are_no_list_and_are_soon_done_with(text):
    assert parse_question_list(text * 200_000) == []
    assert parse_question_list(f"1. Why?\n{text * 1000}\n2. Who?") == ["Why?", "Who?"]
