"""Other models to compare with, named in `evaluate.rivals`; one that cannot be had does not lose the others' results."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tonetune.core.errors import UserError
from tonetune.core.params import Params
from tonetune.core.rows import Message
from tonetune.core.text import first_sentences
from tonetune.evaluation.batch import answer_together
from tonetune.evaluation.lineup import PATH
from tonetune.evaluation.names import is_recorded, system_name
from tonetune.evaluation.recorded import RecordedRival
from tonetune.evaluation.systems import Prompting, Responder, TestSet, local_responder, score_ways
from tonetune.model.base import load_other
from tonetune.model.fingerprint import content_of, refuse_replaced
from tonetune.model.locate import is_model, unwatched_beside
from tonetune.teacher.endpoint.model import PREFIX, EndpointModel

KNOB = "evaluate.rivals"


def enter_rival(
    label: str, params: Params, ways: Mapping[str, Prompting], test_set: TestSet
) -> tuple[dict[str, dict[str, float]], bool]:
    """The headline metrics of the rival `label` prompted in each of the `ways`, and whether it is the teacher itself.

    Its scored answers gather in `test_set`. A rival may also be `recorded:<name>`: what it has no recording of is left
    out, with a line on stderr.
    """
    if is_recorded(label):
        return _enter_recorded(label, params, ways, test_set), False
    responder, is_teacher = rival(label, params)
    tried = {way: prompting.candidates() for way, prompting in ways.items()}
    answers = answer_together(responder.answer, tried, f"{label}: wordings")
    names = {way: system_name(label, way) for way in ways}
    return score_ways(responder, names, ways, answers, test_set, label), is_teacher


def _enter_recorded(
    label: str, params: Params, ways: Mapping[str, Prompting], test_set: TestSet
) -> dict[str, dict[str, float]]:
    recorded = RecordedRival(label, params)
    parts, missing = recorded.covered(ways, test_set)
    if missing:
        print(f"warning: evaluate.rivals: {label!r}: not recorded, and left out: {missing}", file=sys.stderr)
    metrics = {}
    for way, part in parts.items():  # each has questions of its own
        responder, own = recorded.responder(), {way: part.prompting}
        tried = answer_together(responder.answer, {way: part.prompting.candidates()}, label)
        entered = score_ways(responder, {way: system_name(label, way)}, own, tried, part.test_set, label)[way]
        metrics[way] = entered | {"prompt": part.indices[int(entered["prompt"]) - 1] + 1}
    return metrics


def rival(name: str, params: Params, knob: str = KNOB) -> tuple[Responder, bool]:
    """The rival that `name` says, and whether it is the teacher itself; a `UserError` if it cannot be loaded.

    `name` has base_model's forms, or is `endpoint:<model>[@<base URL>]`; `knob` is the parameter that holds it.
    """
    if name.startswith(PREFIX):
        model = EndpointModel(name, params, knob)
        return Responder(_asked(model, params)), model.is_teacher
    stage = "baselines" if knob == KNOB else "evaluate"
    if note := unwatched_beside(name, knob, stage, params.base_files):
        print(f"note: {note}", file=sys.stderr)
    return local_responder(*load_other(name, params, knob), params.evaluate), False


def content_of_rival(label: str) -> str | None:
    """The fingerprint of a rival in a folder or file; None of others, whose names are those of one content, or say nothing of it."""
    return content_of(label, KNOB) if label.startswith("path:") else None


def refuse_replaced_rivals(contents: Mapping[str, str]) -> None:
    """A `UserError` if a rival of `Baselines.contents` has other weights by now; one that is gone was not replaced."""
    for label, content in contents.items():
        if is_model(Path(label.removeprefix("path:"))):
            refuse_replaced(content, label, KNOB, PATH)


def why_left_out(error: Exception, knob: str, name: str) -> str:
    """Why the model `name` of the parameter `knob` is left out, in a line; it is also printed as a warning."""
    reason = str(error).strip().partition("\n")[0][:300]
    if not isinstance(error, UserError):
        reason = f"{knob}: {name!r}: {type(error).__name__}: {reason}"
    print(f"warning: {reason}; it is left out", file=sys.stderr)
    return reason


def _asked(model: EndpointModel, params: Params):
    settings = params.evaluate

    def answer(chats: Sequence[Sequence[Message]], seeds: Sequence[int], label: str) -> list[str]:
        texts = model.answer(chats, seeds, settings, label)
        return [first_sentences(text, settings.max_sentences) for text in texts]

    return answer
