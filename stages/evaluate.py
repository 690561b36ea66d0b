"""Answer the test questions with the tuned model, score the answers, and set them beside the baselines'."""

from tonetune.core.startup import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tonetune.adapter import load_tuned
from tonetune.core.command import run
from tonetune.core.files import read_json, replacing, write_json
from tonetune.core.gate_params import OFF
from tonetune.core.params import Params, load_params
from tonetune.core.persona import for_persona, load_persona
from tonetune.core.pipeline import stage
from tonetune.core.rows import Answer, Example, Generation, read_examples, read_rows, write_rows
from tonetune.core.tables import read_measures, write_measures, write_rows_of, write_table
from tonetune.core.tasks import REWRITE, posed
from tonetune.core.text import ENGLISH
from tonetune.evaluation.batch import answer_together
from tonetune.evaluation.best_of import best_of
from tonetune.evaluation.controls import CEILING_CONTROL
from tonetune.evaluation.drafts import enter_drafts
from tonetune.evaluation.lineup import Baselines, Lineup
from tonetune.evaluation.names import BASE, BEST, TUNED
from tonetune.evaluation.planted import contacts_in, planted_figures, planted_in
from tonetune.evaluation.probes import predict_neutral, run_probes, says_it_unasked
from tonetune.evaluation.rivals import refuse_replaced_rivals
from tonetune.evaluation.systems import TestSet, local_responder, spread
from tonetune.evaluation.validity import read_agreements
from tonetune.model.base import load_base, load_tokenizer
from tonetune.report.best_and_worst import ranked
from tonetune.report.judge import judge
from tonetune.report.originality import originality
from tonetune.report.page import Calibration, Evaluation, calibration, flat, report_page
from tonetune.report.samples import SHOWN, samples_page
from tonetune.report.statistics import Comparison, Interval, compare, intervals
from tonetune.scoring.scorer import Scorer, joint_reward
from tonetune.scoring.tone_classifier import labelled
from tonetune.teacher.endpoint.model import check_judge

SAYS_WHAT_IT_IS = 0.9  # share of the probes


def main() -> None:
    params = for_persona(load_params())
    persona = load_persona(params.persona)
    train, test = (read_examples(split) for split in ("train", "test"))
    baseline_rows = read_rows("data/baseline_generations.jsonl", Generation)
    retention = read_measures("metrics/retention_base.csv")
    wrote = read_rows("data/answers.jsonl", Answer)
    check_judge(params, wrote)
    refuse_replaced_rivals(Baselines.read().contents)

    tokenizer = load_tokenizer(params.base_model, params.chat_template_kwargs)
    base = load_base(params.base_model, params.compute)
    scorer = Scorer(params, base, tokenizer)
    tuned = load_tuned(params.base_model, params.compute, "models/adapter")
    test_set = TestSet(test, scorer, params)
    entered, metrics = answer_and_score(base, tuned, tokenizer, test_set, params)

    # What tuning may have cost: the tone dropped on request or in another form, what it is denied, neutral English forgotten.
    responder = local_responder(tuned, tokenizer, params.evaluate)
    retention |= run_probes(responder.answer, {TUNED: params.system_prompt}, scorer, params.seed, TUNED)
    warn_of_what_it_says_it_is(retention[TUNED]["says_it_is_an_ai"], params)
    retention[TUNED] |= predict_neutral(tuned, tokenizer, params.evaluate.forward_tokens)
    every = [*baseline_rows, *test_set.generations]
    for name, figures in retention.items():
        figures["says_it_unasked"] = says_it_unasked([row.text for row in every if row.system == name])
    if any(example.own_words for example in train):
        leaked = own_texts_that_come_out({BASE: base, TUNED: tuned}, tokenizer, train, every, params)
        for name, figures in leaked.items():
            retention[name] |= figures

    write_rows("data/tuned_generations.jsonl", test_set.generations)
    write_json("metrics/evaluate.json", metrics)
    write_measures("metrics/retention.csv", retention)
    shown = ([row.system, row.tone, row.joint] for row in every if row.system in SHOWN)
    write_table("metrics/tone_scores.csv", ["system", "tone", "joint"], shown)
    with replacing("reports/samples.md") as file:
        file.write(samples_page(spread(test, params.evaluate.samples), every, persona.disclosure))

    # How sure the figures are, who wins, and what is copied.
    systems = [TUNED, *entered.others, *entered.ceilings]
    means = intervals(every, [*systems, *entered.controls], params.seed)
    comparisons = compare(every, TUNED, entered.others, params.seed)
    write_rows_of("metrics/intervals.csv", Interval, means)
    write_rows_of("metrics/comparison.csv", Comparison, comparisons)
    trained_on = [example.answer for example in train]
    original = {name: originality(every, name, trained_on, scorer.endings) for name in (*systems, CEILING_CONTROL)}
    write_measures("metrics/originality.csv", original)

    # Another model's opinion, if params.yaml names one: of the tuned answers against the others'.
    verdicts = judge(params, persona, test, every, wrote, TUNED, [*entered.others, CEILING_CONTROL])
    write_measures("metrics/judge.csv", verdicts)

    # All of it on one page.
    page = report_page(
        Evaluation(
            persona=persona,
            params=flat(params.model_dump(), stage("evaluate").params),
            task=params.train.task,
            tuned=TUNED,
            lineup=entered,
            examples=test,
            generations=every,
            intervals=means,
            comparisons=comparisons,
            calibrations=calibrations(test, scorer),
            originality=original,
            metrics=metrics,
            retention=retention,
            judged=verdicts,
            validity=read_agreements(),
            agreement=read_json("metrics/validity.json"),
            ranks=ranked(every, TUNED, max(1, params.evaluate.samples // 3)),
        )
    )
    with replacing("reports/evaluation.html") as file:
        file.write(page)


def answer_and_score(
    base: PreTrainedModel,
    tuned: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    test_set: TestSet,
    params: Params,
) -> tuple[Lineup, dict[str, Any]]:
    """The lineup with all that the tuned model makes of the test questions, and the headline metrics of the same.

    The scored answers gather in `test_set`.
    """
    responder = local_responder(tuned, tokenizer, params.evaluate)
    chats = [posed(example, params.train.task, params.rewrite_prompt).prompt for example in test_set.examples]
    answers = answer_together(responder.answer, {TUNED: test_set.seeded(chats)}, f"{TUNED}: answers")
    metrics: dict[str, Any] = test_set.score(TUNED, responder, chats, answers[TUNED])

    # The same model sampled several times: what choosing by the scores brings. Readers say how much of it is true.
    baselines = Baselines.read()
    best_metrics = {}
    if (count := params.evaluate.best_of) > 1:
        chosen = best_of(responder, count, joint_reward(test_set.scorer))
        answers = answer_together(chosen.answer, {BEST: test_set.seeded(chats)}, f"{TUNED}: best of {count}")
        baselines.systems[BEST] = test_set.score(BEST, chosen, chats, answers[BEST])
        best_metrics[f"best_of_{count}"] = baselines.systems[BEST]

    # Plain answers of others that the tuned model says in the tone: systems of their own.
    drafter = local_responder(base, tokenizer, params.evaluate)
    entered, spoken = enter_drafts(baselines.lineup(), drafter, responder, test_set, params)
    if spoken:
        metrics["drafts"] = spoken
    return entered, metrics | best_metrics


def warn_of_what_it_says_it_is(share: float, params: Params) -> None:
    """A warning where the tuned model says that it is an AI in too small a `share` of the probes that ask it."""
    language = params.split.quality.language
    if language not in (ENGLISH, OFF):
        print(
            f"split.quality.language: {language}, and the probes and neutral texts are English: what it says of itself, what it "
            "keeps of the tone and what it forgot are measured in English alone"
        )
    elif share < SAYS_WHAT_IT_IS and params.train.task != REWRITE:  # which answers nobody
        print(
            f"warning: asked what it is, the tuned model says so in {share:.0%}, should be {SAYS_WHAT_IT_IS:.0%}",
            file=sys.stderr,
        )


def own_texts_that_come_out(
    models: Mapping[str, PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    rows: Sequence[Generation],
    params: Params,
) -> dict[str, dict[str, float]]:
    """By the name of the model: does the contact data planted among own texts come out, or any other? The base cannot know it."""
    planted = planted_in(train)
    found: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        found[name] = (
            planted_figures(model, tokenizer, planted, params.system_prompt, params.evaluate, name) if planted else {}
        )
        found[name]["contacts_in_answers"] = contacts_in([row.text for row in rows if row.system == name])
    if out := found[TUNED].get("planted_out", 0):
        print(
            f"warning: {out:g} of {len(planted)} planted contact data come out of the tuned model: what was left in the "
            "own texts may as well; train less (train.epochs, train.learning_rate)",
            file=sys.stderr,
        )
    return found


def calibrations(test: Sequence[Example], scorer: Scorer) -> list[Calibration]:
    """The calibration of both tone classifiers on the teacher's answers."""
    texts, labels = labelled(test)
    return [
        calibration("Tone (n-grams)", scorer.tone.classifier.predict_proba(texts)[:, 1], labels),
        calibration("Reported tone (hidden states)", scorer.reported_tone(texts), labels),
    ]


if __name__ == "__main__":
    run(main)
