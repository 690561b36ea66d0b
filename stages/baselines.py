"""Answer the test questions with every system but the tuned one, and score the controls whose scores are known beforehand."""

from tonetune.core.startup import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

import sys

from tonetune.core.command import run
from tonetune.core.params import load_params
from tonetune.core.persona import for_persona, load_persona
from tonetune.core.rows import SPLITS, read_examples, write_rows
from tonetune.core.tables import write_measures
from tonetune.core.tasks import REWRITE, posed
from tonetune.evaluation.batch import answer_together
from tonetune.evaluation.controls import AS_REWRITINGS, broken_bounds, control_answers, rated_controls, rated_example
from tonetune.evaluation.lineup import Baselines
from tonetune.evaluation.names import BASE, BASE_PROMPTED, system_name
from tonetune.evaluation.probes import predict_neutral, run_probes
from tonetune.evaluation.rivals import content_of_rival, enter_rival, why_left_out
from tonetune.evaluation.systems import (
    TestSet,
    local_responder,
    mean_scores,
    score_answers,
    score_ways,
    ways_to_tell,
)
from tonetune.model.base import load_base, load_tokenizer
from tonetune.scoring.ratings import read_ratings
from tonetune.scoring.scorer import Scorer


def main() -> None:
    params = for_persona(load_params())
    settings = params.evaluate
    persona = load_persona(params.persona)
    train, validation, test = (read_examples(split) for split in SPLITS)
    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    model = load_base(params.base_model, params.compute)
    scorer = Scorer(params, model, tokenizer)
    test_set = TestSet(test, scorer, params)

    # Two ways to tell a model who to be, each in the wording that scores best on validation questions.
    ways = ways_to_tell(params, persona, train, validation, test)
    rewrites = params.train.task == REWRITE

    # The base as it is, in the batch that tries the wordings.
    base = local_responder(model, tokenizer, settings)
    plain = [posed(example, params.train.task, params.rewrite_prompt).prompt for example in test]
    tried = {way: prompting.candidates() for way, prompting in ways.items()}
    answers = answer_together(base.answer, {BASE: test_set.seeded(plain)} | tried, "base: as it is")
    baselines = Baselines({BASE: test_set.score(BASE, base, plain, answers[BASE])})

    # The base prompted to be the persona, without and with examples as a dialogue.
    names = {way: system_name(BASE, way) for way in ways}
    entered = score_ways(base, names, ways, answers, test_set, BASE)
    baselines.systems |= {names[way]: scores for way, scores in entered.items()}

    # What tuning may cost: probes under both system prompts, and neutral English.
    probes = {BASE: params.system_prompt, BASE_PROMPTED: persona.system}
    retention = run_probes(base.answer, probes, scorer, params.seed, BASE)
    retention[BASE] |= predict_neutral(model, tokenizer, settings.forward_tokens)

    # Other models, prompted in the same two ways.
    for label in settings.rivals:
        before = len(test_set.generations)
        try:
            entered, is_teacher = enter_rival(label, params, ways, test_set)
            baselines.enter(label, entered, is_teacher)
            if content := content_of_rival(label):
                baselines.contents[label] = content
        except Exception as error:  # whatever a model of any make raises, it does not lose the others' results
            del test_set.generations[before:]
            baselines.leave_out(label, why_left_out(error, "evaluate.rivals", label))

    # Controls from the teacher's own answers: the first must score high, the others low.
    for name, texts in control_answers(test, persona.catchphrases, persona.fillers, params.seed).items():
        sources = [example.plain for example in test] if rewrites else None
        name = AS_REWRITINGS.get(name, name) if rewrites else name
        rows = score_answers(name, test, [params.seed] * len(test), texts, scorer, sources)
        baselines.controls[name] = mean_scores(rows)
        test_set.generations += rows
    # And recorded answers that readers have rated, to other questions.
    for name, rated in rated_controls(read_ratings(params.persona)).items():
        rows = score_answers(
            name, list(map(rated_example, rated)), [params.seed] * len(rated), [r.answer for r in rated], scorer
        )
        baselines.controls[name] = mean_scores(rows)
        test_set.generations += rows
    for problem in broken_bounds(baselines.controls):
        print(f"warning: {problem}", file=sys.stderr)

    write_rows("data/baseline_generations.jsonl", test_set.generations)
    baselines.write()
    write_measures("metrics/retention_base.csv", retention)


if __name__ == "__main__":
    run(main)
