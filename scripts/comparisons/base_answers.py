"""What a base answers to the test questions: prompted, prompted with examples, and tuned by its experiment.

A large base takes minutes to answer, so what it has answered is kept in .cache/bases, by the experiment's revision: a ladder that was
stopped goes on after it. One model is in memory at a time: the base goes before the scorers come, which choose how to prompt it.
"""

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.comparisons.trained import adapter_of, params_of, seeds_of, tuned_answers, workspace_scorer
from tonetune.core.errors import UserError
from tonetune.core.files import cache_dir, read_json, write_json
from tonetune.core.params import Params
from tonetune.core.persona import for_persona, load_persona
from tonetune.core.rows import SPLITS, Example, Row, read_rows, write_rows
from tonetune.evaluation.batch import SeededChats, answer_together
from tonetune.evaluation.names import BASE, TUNED, system_name
from tonetune.evaluation.systems import Prompting, local_responder, sampled, ways_to_tell
from tonetune.experiments import examples_of
from tonetune.model.base import load_base, load_tokenizer


class KeptAnswer(Row):
    """One answer of one system, not scored."""

    system: str
    question_id: str
    seed: int
    text: str


def answers_of_base(name: str, revision: str, params: Params, test: Sequence[Example]) -> list[KeptAnswer]:
    """All answers to the `test` questions that the base of the experiment gives, as the experiment's params say.

    The scorers that choose how to prompt it are those of the workspace, whose params are `params`.
    """
    theirs = for_persona(params_of(revision))
    train, validation, asked = (examples_of(name, revision, split) for split in SPLITS)
    if {example.question_id for example in asked} != {example.question_id for example in test}:
        # Not only would they not compare: it may have been trained on questions that are only to be reported on.
        raise UserError(f"{name}: has other test questions than data/test.jsonl; leave `split` as it is")
    start = cache_dir("bases") / f"{name}-{revision[:12]}"
    prompted, tuned = (start.with_name(f"{start.name}-{part}.jsonl") for part in ("prompted", "tuned"))
    if not prompted.is_file():
        ways = ways_to_tell(theirs, load_persona(theirs.persona), train, validation, test)
        chosen = choose_wordings(name, theirs, ways, start.with_name(f"{start.name}-wordings.json"), params)
        told = {way: sampled(test, prompting.chats(chosen[way]), seeds_of(theirs)) for way, prompting in ways.items()}
        texts = answers_untuned(theirs, told, f"{name}: prompted")
        rows = (row for way in ways for row in named(system_name(BASE, way), theirs, test, texts[way]))
        write_rows(prompted, rows)
    if not tuned.is_file():
        with adapter_of(revision) as adapter:
            write_rows(tuned, named(TUNED, theirs, test, tuned_answers(theirs, adapter, test, name)))
    return [*read_rows(prompted, KeptAnswer), *read_rows(tuned, KeptAnswer)]


def choose_wordings(
    name: str, theirs: Params, ways: Mapping[str, Prompting], kept: Path, params: Params
) -> dict[str, int]:
    """By the way of telling it who to be: the wording that scores best on validation questions, as the stage baselines has it."""
    candidates = {way: prompting.candidates() for way, prompting in ways.items()}
    if not any(asked.chats for asked in candidates.values()):
        return dict.fromkeys(ways, 0)
    if not kept.is_file():
        write_json(kept, answers_untuned(theirs, candidates, f"{name}: wordings"))
    tried, scorer = read_json(kept), workspace_scorer(params)
    return {way: prompting.choose(tried[way], scorer) for way, prompting in ways.items()}


def answers_untuned(theirs: Params, asked: Mapping[str, SeededChats], label: str) -> dict[str, list[str]]:
    """What the base as it is answers to each of `asked`, in one batch; it is not kept in memory."""
    base = load_base(theirs.base_model, theirs.compute)
    responder = local_responder(base, load_tokenizer(theirs.base_model, theirs.chat_template_kwargs), theirs.evaluate)
    texts = answer_together(responder.answer, asked, label)
    del base, responder
    gc.collect()
    return texts


def named(system: str, theirs: Params, test: Sequence[Example], texts: Sequence[str]) -> list[KeptAnswer]:
    """The texts, which come seed by seed, each with its question and seed."""
    asked = [(example.question_id, seed) for seed in seeds_of(theirs) for example in test]
    return [
        KeptAnswer(system=system, question_id=question, seed=seed, text=text)
        for (question, seed), text in zip(asked, texts, strict=True)
    ]
