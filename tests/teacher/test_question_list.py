"""Questions are read from the lists that models write."""

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
