"""Draft, then speak: somebody else's plain answers to the test questions, said in the tone by the tuned model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tonetune.core.params import Params
from tonetune.core.tasks import rewriting_chat
from tonetune.evaluation.lineup import Lineup
from tonetune.evaluation.names import BASE, IDEAL, drafted_name
from tonetune.evaluation.rivals import rival, why_left_out
from tonetune.evaluation.systems import Responder, TestSet

KNOB = "evaluate.drafts"


def draft(source: str, base: Responder, test_set: TestSet, params: Params) -> list[str]:
    """Plain answers to the test questions by `source`, one for each answer of a system; a `UserError` if it can't be had.

    `source` is `base` (without its adapter), `ideal`, or names another model as `evaluate.rivals` does. Models are asked
    with the system prompt of answering, and not prompted to be the persona.
    """
    if source == IDEAL:
        return [example.plain for example in test_set.examples] * len(test_set.seeds)
    turn = test_set.seeded([example.prompt for example in test_set.examples])
    drafter = base if source == BASE else rival(source, params, KNOB)[0]
    return drafter.answer(turn.chats, turn.seeds, f"{source}: drafts")


def speak(drafts: Sequence[str], tuned: Responder, test_set: TestSet, rewrite_prompt: str, label: str) -> list[str]:
    """Each draft as the tuned model says it, with its question as context."""
    questions = [example.question for example in test_set.examples] * len(test_set.seeds)
    seeds = test_set.seeded([example.prompt for example in test_set.examples]).seeds
    chats = [rewriting_chat(rewrite_prompt, *pair) for pair in zip(drafts, questions, strict=True)]
    return tuned.answer(chats, seeds, label)


def enter_drafts(
    lineup: Lineup, base: Responder, tuned: Responder, test_set: TestSet, params: Params
) -> tuple[Lineup, dict[str, dict[str, Any]]]:
    """The lineup with a system for each of `evaluate.drafts`, and the headline metrics of each by its source.

    One whose drafts cannot be had is left out with a warning, as rivals are.
    """
    metrics: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for source in params.evaluate.drafts:
        try:
            drafts = draft(source, base, test_set, params)
        except Exception as error:  # whatever a model of any make raises
            failed[drafted_name(source)] = why_left_out(error, KNOB, source)
            continue
        spoken = speak(drafts, tuned, test_set, params.rewrite_prompt, f"{drafted_name(source)}: answers")
        # A chat differs from seed to seed with its draft, so the teacher's answers have no one likelihood.
        metrics[source] = test_set.score(drafted_name(source), Responder(tuned.answer), [], spoken, drafts)
    entered = replace(
        lineup,
        others=[*lineup.others, *map(drafted_name, metrics)],
        failed=lineup.failed | failed,
        metrics=lineup.metrics | {drafted_name(source): scores for source, scores in metrics.items()},
    )
    return entered, metrics
