"""What each objective learns from."""

import pytest

from tests.support.tunings import EXAMPLES, lengths, params_with, train
from tonetune.core.errors import UserError
from tonetune.training.trainers import Task, make_trainer
from tonetune.training.tuning import model_for_training


def test_self_supervised_learns_the_answers_as_plain_text(tiny_base, tokenizer, tmp_path):
    params = params_with(tiny_base, objective="self_supervised", tuning="lora")
    model = model_for_training(params)
    trainer = make_trainer(Task("self_supervised", model, tokenizer, EXAMPLES, EXAMPLES[:4], params, tmp_path))
    row = trainer.train_dataset[0]
    assert tokenizer.decode(row["input_ids"]) == EXAMPLES[0].answer + tokenizer.eos_token
    assert row["labels"] == row["input_ids"]


@pytest.mark.parametrize("tuning", ["lora", "qlora"])
def test_dpo_prefers_the_persona_with_the_base_as_reference(tuning, tiny_base, tokenizer, tmp_path):
    params = params_with(tiny_base, objective="dpo", tuning=tuning)
    model = model_for_training(params)
    fresh = make_trainer(Task("dpo", model, tokenizer, EXAMPLES, EXAMPLES[:4], params, tmp_path / "a"))
    assert fresh.evaluate()["eval_loss"] == pytest.approx(0.6931, abs=1e-3)  # the adapter does nothing yet
    pair = fresh.train_dataset[0]
    assert tokenizer.decode(pair["chosen_ids"]) == EXAMPLES[0].answer + tokenizer.eos_token
    assert tokenizer.decode(pair["rejected_ids"]) == EXAMPLES[0].plain + tokenizer.eos_token
    fresh.train()
    losses = [row["eval_loss"] for row in fresh.state.log_history if "eval_loss" in row]
    assert losses[-1] < 0.6931
    # An adapter that has learnt something still has the base as its reference.
    again = make_trainer(Task("dpo", model, tokenizer, EXAMPLES, EXAMPLES[:4], params, tmp_path / "b"))
    assert again.evaluate()["eval_loss"] == pytest.approx(losses[-1], rel=0.05)
    assert list(model.peft_config) == ["default"]


def test_dpo_without_plain_answers_is_refused(tiny_base, tokenizer, tmp_path):
    params = params_with(tiny_base, objective="dpo", tuning="lora")
    rows = [row.model_copy(update={"unpaired": True}) for row in EXAMPLES[:4]]
    with pytest.raises(
        UserError, match="dpo needs pairs on both sides of the split, and there are 16 to train on and 0 to"
    ):
        make_trainer(Task("dpo", model_for_training(params), tokenizer, EXAMPLES, rows, params, tmp_path))


def test_dpo_prefers_edited_answers_to_what_they_were(tiny_base, tokenizer, tmp_path):
    params = params_with(tiny_base, objective="dpo", tuning="lora")
    edited = [row.model_copy(update={"before": f"Well, {i}."}) for i, row in enumerate(EXAMPLES[:4])]
    own = [row.model_copy(update={"unpaired": True}) for row in [*edited, *EXAMPLES[4:]]]
    same = EXAMPLES[5].model_copy(update={"plain": EXAMPLES[5].answer})

    def learnt(train, validation):
        model = model_for_training(params)
        trainer = make_trainer(Task("dpo", model, tokenizer, train, validation, params, tmp_path / str(len(train))))
        rows = trainer.train_dataset
        return [(tokenizer.decode(r["chosen_ids"][:-1]), tokenizer.decode(r["rejected_ids"][:-1])) for r in rows]

    edits = [(row.answer, f"Well, {i}.") for i, row in enumerate(edited)]
    assert learnt(own, own[:2]) == edits
    assert learnt([*edited, same], edited) == [(row.answer, row.plain) for row in edited] + edits


def test_grpo_asks_for_the_reward_of_each_answer(tiny_base, tokenizer, tmp_path):
    params = params_with(tiny_base, objective="grpo", tuning="lora")
    asked = []

    def rewards(questions, answers):
        asked.append((list(questions), list(answers)))
        return lengths(questions, answers)

    history = train(params, model_for_training(params), tokenizer, tmp_path, "grpo", rewards)
    assert [len(answers) for _, answers in asked] == [4, 4]
    assert all(
        len(set(questions)) == 1 and questions[0] in {row.question for row in EXAMPLES} for questions, _ in asked
    )
    assert [row["reward"] for row in history if "reward" in row] == pytest.approx(
        [sum(map(len, answers)) / 400 for _, answers in asked], abs=1e-4
    )
