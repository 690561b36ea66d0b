"""The figures that sense is predicted from, and what is no answer whatever they say."""

import numpy as np
import pytest
import torch

from tests.support.examples import example
from tonetune.core.errors import UserError
from tonetune.core.rows import Message
from tonetune.model.chat_template import prompt_ids
from tonetune.scoring.sense import (
    LIKELIHOOD,
    SYSTEM,
    LikelihoodFigures,
    known_answers,
    likelihood_figures,
    predicted_sense,
)


class Certain:
    """Finds everything perfectly sensible."""

    def predict(self, figures):
        return np.full(len(figures), 1.2)


def test_what_repeats_itself_or_has_fewer_than_three_words_makes_no_sense():
    answers = ["No, no, no, no, no, no.", "Yes.", "", "Yes indeed.", "One does not simply walk there."]
    assert predicted_sense(Certain(), np.zeros((5, 1)), answers).tolist() == [0, 0, 0, 0, 1]


def test_the_figures_of_an_answer_are_those_of_its_tokens_after_the_question(tiny):
    model, tokenizer = tiny
    pairs = [
        ("Why?", "Because."),
        ("What is a goose, after all?", "A bird that bites, and a loud one, too."),
        ("How?", ""),
    ]
    found = LikelihoodFigures(model, tokenizer)([q for q, _ in pairs], [a for _, a in pairs])
    assert found.shape == (3, LIKELIHOOD)
    for (question, answer), figures in zip(pairs, found, strict=True):
        system = Message(role="system", content=SYSTEM)
        prompt = prompt_ids(tokenizer, [system, Message(role="user", content=question)])
        given = tokenizer.encode(answer or ".", add_special_tokens=False)
        with torch.no_grad():
            logs = model(torch.tensor([[*prompt, *given]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        losses = -logs[range(len(given)), given].double().numpy()
        entropies = -(logs.exp() * logs).sum(-1).double().numpy()
        assert figures == pytest.approx(likelihood_figures(given, losses, entropies), rel=1e-3, abs=1e-4)


def test_a_pair_is_run_once_whatever_stands_beside_it(tiny):
    figures = LikelihoodFigures(*tiny)
    alone = figures(["Why?"], ["Because."])
    assert np.array_equal(
        figures(["How?", "Why?", "Why?"], ["So, and so, and so.", "Because.", "Because."])[1], alone[0]
    )
    assert len(figures.cache) == 2


def test_the_figures_of_one_token_and_of_several_by_hand():
    assert likelihood_figures([5], np.array([2.0]), np.array([0.5])).tolist() == [2, 0, 2, 2, 0.5, 1.5, 0, 0, 1]
    several = likelihood_figures([5, 5, 6, 7], np.array([1.0, 1.0, 3.0, 3.0]), np.ones(4))
    assert several == pytest.approx([2, 1, 3, 3, 1, 1, np.log(4), 2, 0.75])


def test_probabilities_that_are_no_numbers_are_refused(tiny):
    figures = LikelihoodFigures(*tiny)
    with torch.no_grad(), pytest.raises(UserError, match="no numbers"):
        figures._losses(torch.full((2, tiny[0].config.hidden_size), float("nan")), torch.tensor([1, 2]))


def test_known_answers_are_the_teachers_other_questions_in_disorder_or_mixed():
    examples = [
        example(f"Why {i}?", f"Yes, it is {i}. We all know {i}.", plain=f"Plain {i}. No more than {i}.")
        for i in range(4)
    ]
    questions, answers, senses = known_answers(examples, 1)
    assert questions == [e.question for e in examples] * 8
    own = {e.question: {e.answer, e.plain} for e in examples}
    for question, answer, sense in zip(questions, answers, senses, strict=True):
        assert (answer in own[question]) == (sense == 1)
