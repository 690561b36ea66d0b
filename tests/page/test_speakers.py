"""The untuned pane is untuned, all panes draw from the same seed, and the page says whose imitation it is."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.support.greedy import QUESTION
from tonetune.core.params import Params
from tonetune.core.persona import load_persona
from tonetune.core.rows import Message
from tonetune.core.tasks import rewriting_chat
from tonetune.evaluation.names import BASE, TUNED
from tonetune.generation.generate import generate
from tonetune.generation.sampling import Sampling
from tonetune.merged import load_merged
from tonetune.model.base import load_base
from tonetune.model.chat_template import prompt_ids
from tonetune.page.speakers import BASE_PROMPTED, REWRITE, Speakers, wording

ADAPTER = Path("models/adapter")


def last(speakers: Speakers, name: str, seed: int, **keywords) -> str:
    return [*speakers.answer(name, QUESTION, seed, **keywords)][-1]


def test_the_untuned_pane_is_the_base_as_it_lies_on_disk_also_after_the_tuned_one_has_answered(params: Params) -> None:
    speakers = Speakers(params, ADAPTER)
    tuned = last(speakers, TUNED, 3)
    stored = load_file(Path("tiny/model.safetensors"))
    weights = speakers.models[BASE].state_dict()
    assert stored.keys() <= weights.keys()
    assert all(torch.equal(weights[name], weight) for name, weight in stored.items())
    chat = [Message(role="system", content=params.system_prompt), Message(role="user", content=QUESTION)]
    fresh = load_base(params.base_model, params.compute)
    prompt = prompt_ids(speakers.tokenizer, chat)
    (expected,) = generate(fresh, speakers.tokenizer, [prompt], Sampling.of(params.evaluate), [3])
    assert last(speakers, BASE, 3) == expected != tuned


def test_the_tuned_pane_is_the_adapters_and_the_prompted_one_is_the_base_under_the_personas_prompt(
    params: Params,
) -> None:
    speakers = Speakers(params, ADAPTER)
    merged = load_merged(params.base_model, params.compute, ADAPTER).state_dict()
    assert all(torch.equal(weight, merged[name]) for name, weight in speakers.models[TUNED].state_dict().items())
    assert speakers.models[BASE_PROMPTED] is speakers.models[BASE]
    assert load_persona(params.persona).system in speakers.systems[BASE_PROMPTED]
    assert speakers.systems[TUNED] == speakers.systems[BASE] == params.system_prompt


def test_the_same_seed_gives_the_same_answer_and_history_counts(params: Params) -> None:
    speakers = Speakers(params, ADAPTER)
    assert last(speakers, TUNED, 3) == last(speakers, TUNED, 3) != last(speakers, TUNED, 4)
    history = [Message(role="user", content="Hi"), Message(role="assistant", content="Hello.")]
    assert last(speakers, TUNED, 3, history=history) != last(speakers, TUNED, 3)


def test_the_wording_is_the_one_that_the_run_chose(params: Params, inside: Path) -> None:
    persona = load_persona(params.persona)
    assert wording(params, persona) == persona.system
    metrics = inside / "metrics/baselines.json"
    metrics.parent.mkdir(exist_ok=True)
    metrics.write_text('{"base_prompted": {"prompt": 2}}')
    try:
        assert wording(params, persona).startswith(f"{persona.system} Stay in this voice")
    finally:
        metrics.unlink()


def test_a_text_of_ones_own_is_said_part_by_part_and_none_is_left_out(params: Params) -> None:
    text = "The meeting is on Monday. Bring 3 cups!\n\nOr none."
    speakers = Speakers(params, ADAPTER)
    assert speakers.part == params.evaluate.max_sentences == 1
    parts = ["The meeting is on Monday.", "Bring 3 cups!", "Or none."]
    alone = [[*speakers.rewrite(part, 3)][-1] for part in parts]
    assert [*speakers.rewrite(text, 3)][-1] == f"{alone[0]} {alone[1]}\n\n{alone[2]}"
    assert alone[0] == [*speakers.answer(TUNED, REWRITE.format(text=parts[0]), 3)][-1]


def test_a_model_that_has_learnt_to_rewrite_is_asked_as_it_has_learnt(params: Params, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(ADAPTER, folder)
    tuning = folder / "tuning.json"
    tuning.write_text(json.dumps(json.loads(tuning.read_text()) | {"task": "both"}))
    speakers = Speakers(params, folder)
    chat = rewriting_chat(params.rewrite_prompt, "The meeting is on Monday.")
    prompt = prompt_ids(speakers.tokenizer, chat)
    (expected,) = generate(speakers.models[TUNED], speakers.tokenizer, [prompt], Sampling.of(params.evaluate), [3])
    assert [*speakers.rewrite("The meeting is on Monday.", 3)][-1] == expected
