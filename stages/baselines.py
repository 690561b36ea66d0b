"""Answer the test questions with every system but the tuned one, and score the controls whose scores are known beforehand."""

from tonetune.core.startup import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

import sys
from functools import partial
from typing import Any

from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.files import write_json
from tonetune.core.params import load_params
from tonetune.core.persona import load_persona
from tonetune.core.rows import BASICS, read_examples, write_rows
from tonetune.core.tables import write_measures
from tonetune.core.tasks import REWRITE, posed
from tonetune.evaluation.batch import answer_together
from tonetune.evaluation.controls import AS_REWRITINGS, broken_bounds, control_answers, rated_controls, rated_example
from tonetune.evaluation.probes import predict_neutral, run_probes
from tonetune.evaluation.rivals import rival
from tonetune.evaluation.systems import (
    BASE,
    WAYS,
    Ask,
    Prompting,
    TestSet,
    as_told,
    local_responder,
    mean_scores,
    score_answers,
    spread,
    told,
    told_name,
    with_shots,
)
from tonetune.model.base import load_base, load_tokenizer
from tonetune.scoring.ratings import read_ratings
from tonetune.scoring.scorer import Scorer


def main() -> None:
    params = load_params()
    settings = params.evaluate
    persona = load_persona(params.persona)
    train, validation, test = (read_examples(side) for side in ("train", "validation", "test"))
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    model = load_base(params.base_model, params.compute)
    scorer = Scorer(params, model, tokenizer)
    test_set = TestSet(test, scorer, params)

    # Two ways to tell a model who to be, each in the wording that scores best on validation questions.
    # Where rewriting is the task, both are told to rewrite the teacher's plain answers.
    rewrites = params.train.task == REWRITE
    pose = partial(posed, task=params.train.task, rewrite_prompt=params.rewrite_prompt)
    shots = [pose(example) for example in train if example.category != BASICS][: settings.fewshot]
    prompts = settings.rewrite_prompts if rewrites else settings.prompts
    wordings = [wording.replace("{system}", persona.system) for wording in prompts]
    chosen_on = spread(validation, settings.prompt_questions)
    asks: dict[str, Ask] = {
        "prompted": lambda example, wording: as_told(pose(example), wording),
        "fewshot": lambda example, wording: with_shots(pose(example), wording, shots),
    }
    ways = {way: Prompting(asks[way], wordings, chosen_on, test, params.seed) for way in WAYS}

    # The base as it is, in the batch that tries the wordings.
    base = local_responder(model, tokenizer, settings)
    plain = [pose(example).prompt for example in test]
    tried = {way: prompting.candidates() for way, prompting in ways.items()}
    answers = answer_together(base.answer, {BASE: test_set.turn(plain)} | tried, "base: as it is")
    metrics: dict[str, Any] = {BASE: test_set.score(BASE, base, plain, answers[BASE])}

    # The base told who to be, and told with examples as a dialogue.
    names = {way: told_name(BASE, way) for way in ways}
    entered = told(base, names, ways, answers, test_set, BASE)
    metrics |= {names[way]: scores for way, scores in entered.items()}

    # What tuning may cost: probes under both system prompts, and neutral English.
    probes = {BASE: params.system_prompt, names[WAYS[0]]: persona.system}
    retention = run_probes(base.answer, probes, scorer, params.seed, BASE)
    retention[BASE] |= predict_neutral(model, tokenizer, settings.forward_tokens)

    # Other models, prompted in the same two ways.
    for label in settings.rivals:
        before = len(test_set.generations)
        try:
            responder, is_teacher = rival(label, params)
            answers = answer_together(responder.answer, tried, f"{label}: wordings")
            names = {way: told_name(label, way) for way in ways}
            entered = told(responder, names, ways, answers, test_set, label)
            metrics.setdefault("ceiling" if is_teacher else "rivals", {})[label] = entered
        except Exception as error:  # whatever a model of any make raises, it does not lose the others' results
            del test_set.generations[before:]
            reason = str(error).strip().partition("\n")[0][:300]
            if not isinstance(error, UserError):
                reason = f"evaluate.rivals: {label!r}: {type(error).__name__}: {reason}"
            print(f"warning: {reason}; it is left out", file=sys.stderr)
            metrics.setdefault("rivals", {})[label] = {"error": reason}

    # Controls from the teacher's own answers: the first must score high, the others low.
    controls = {}
    for name, texts in control_answers(test, persona.catchphrases, persona.fillers, params.seed).items():
        sources = [example.plain for example in test] if rewrites else None
        name = AS_REWRITINGS.get(name, name) if rewrites else name
        rows = score_answers(name, test, [params.seed] * len(test), texts, scorer, sources)
        controls[name] = mean_scores(rows)
        test_set.generations += rows
    # And recorded answers that readers have rated, to other questions.
    for name, rated in rated_controls(read_ratings(params.persona)).items():
        rows = score_answers(
            name, list(map(rated_example, rated)), [params.seed] * len(rated), [r.answer for r in rated], scorer
        )
        controls[name] = mean_scores(rows)
        test_set.generations += rows
    metrics["controls"] = controls
    for problem in broken_bounds(controls):
        print(f"warning: {problem}", file=sys.stderr)

    write_rows("data/baseline_generations.jsonl", test_set.generations)
    write_json("metrics/baselines.json", metrics)
    write_measures("metrics/retention_base.csv", retention)


if __name__ == "__main__":
    run(main)
