"""Answer the test questions with every system but the tuned one, and score the controls whose scores are known beforehand."""

from tonetune.core.startup import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import write_json
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import BASICS, Example, Message, read_examples, write_rows
from tonetune.core.tables import write_measures
from tonetune.evaluation.controls import broken_bounds, control_answers
from tonetune.evaluation.lockstep import Dialogue, run_in_lockstep
from tonetune.evaluation.probes import predict_neutral, run_probes
from tonetune.evaluation.rivals import rival
from tonetune.evaluation.systems import (
    Responder,
    TestSet,
    as_told,
    best_prompt,
    local_responder,
    mean_scores,
    score_answers,
    with_shots,
)
from tonetune.model.base import load_base, load_tokenizer
from tonetune.scoring.scorer import Scorer


def main() -> None:
    params = load_params()
    settings = params.evaluate
    persona = load_persona(params.persona)
    train, validation, test = (read_examples(side) for side in ("train", "validation", "test"))
    tokenizer = load_tokenizer(params.base_model)
    model = load_base(params.base_model, params.compute)
    scorer = Scorer(params, model, tokenizer)
    contest = TestSet(test, scorer, params)
    shots = [example for example in train if example.category != BASICS][: settings.fewshot]
    wordings = [wording.replace("{system}", persona.system) for wording in settings.prompts]

    shown = partial(with_shots, shots=shots)

    def prompted(
        name: str, contestant: Responder, ask: Callable[[Example, str], list[Message]]
    ) -> Dialogue[dict[str, float]]:
        """The contestant told who to be, in the wording that scores best on validation questions."""
        questions = validation[: settings.prompt_questions]
        candidates = [[ask(example, wording) for example in questions] for wording in wordings]
        best = yield from best_prompt(questions, candidates, scorer, params.seed)
        chats = [ask(example, wordings[best]) for example in test]
        entered = yield from contest.enter(name, contestant, chats)
        return entered | {"prompt": best + 1}

    # The base as it is, told who to be, and told with examples as a dialogue; with the probes of what tuning may cost.
    base = local_responder(model, tokenizer, settings)
    askings = [
        contest.enter("base", base, [example.prompt for example in test]),
        prompted("base_prompted", base, as_told),
        prompted("base_fewshot", base, shown),
        run_probes(scorer, params.system_prompt, params.seed),
        run_probes(scorer, persona.system, params.seed),
    ]
    *entered, probed, probed_told = run_in_lockstep(base.answer, askings, "base")
    metrics: dict[str, Any] = dict(zip(("base", "base_prompted", "base_fewshot"), entered, strict=True))
    neutral = predict_neutral(model, tokenizer, settings.forward_tokens)
    retention = {"base": probed | neutral, "base_prompted": probed_told}

    # Other models, prompted in the same two ways.
    for label in settings.rivals:
        before = len(contest.generations)
        try:
            contestant, is_teacher = rival(label, params)
            both = [
                prompted(f"{label} prompted", contestant, as_told),
                prompted(f"{label} fewshot", contestant, shown),
            ]
            named = dict(zip(("prompted", "fewshot"), run_in_lockstep(contestant.answer, both, label), strict=True))
            metrics.setdefault("ceiling" if is_teacher else "rivals", {})[label] = named
        except Exception as error:  # whatever a model of any make raises, it does not lose the others' results
            del contest.generations[before:]
            told = str(error).strip().partition("\n")[0][:300]
            if not isinstance(error, UserError):
                told = f"evaluate.rivals: {label!r}: {type(error).__name__}: {told}"
            print(f"warning: {told}; it is left out", file=sys.stderr)
            metrics.setdefault("rivals", {})[label] = {"error": told}

    # Controls from the teacher's own answers: the first must score high, the others low.
    controls = {}
    for name, texts in control_answers(test, persona.catchphrases, params.seed).items():
        rows = score_answers(name, test, [params.seed] * len(test), texts, scorer)
        reported = sum(row.reported_tone for row in rows) / len(rows)
        controls[name] = mean_scores(rows) | {"reported_tone": round(reported, 6)}
        contest.generations += rows
    metrics["controls"] = controls
    for problem in broken_bounds(controls):
        print(f"warning: {problem}", file=sys.stderr)

    write_rows("data/baseline_generations.jsonl", contest.generations)
    write_json("metrics/baselines.json", metrics)
    write_measures("metrics/retention_base.csv", retention)


if __name__ == "__main__":
    run(main)
