"""The untuned pane is untuned, all panes draw from the same seed, and the page says whose imitation it is."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.support.greedy import QUESTION
from tonetune.core.params import Params
from tonetune.core.persona import load_persona
from tonetune.core.rows import Message
from tonetune.evaluation.systems import BASE, TUNED
from tonetune.generation.generate import generate
from tonetune.generation.sampling import Sampling
from tonetune.merged import load_merged
from tonetune.model.base import load_base
from tonetune.model.chat_template import prompt_ids
from tonetune.page.speakers import TOLD, Speakers, wording

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


def test_the_tuned_pane_is_the_adapters_and_the_told_one_is_the_base_under_the_personas_prompt(params: Params) -> None:
    speakers = Speakers(params, ADAPTER)
    merged = load_merged(params.base_model, params.compute, ADAPTER).state_dict()
    assert all(torch.equal(weight, merged[name]) for name, weight in speakers.models[TUNED].state_dict().items())
    assert speakers.models[TOLD] is speakers.models[BASE]
    assert load_persona(params.persona).system in speakers.systems[TOLD]
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
