"""Answer the test questions with the tuned model, score the answers, and set them beside the baselines'."""

from tone.quiet import import_bitsandbytes, silence_libraries

silence_libraries()
import_bitsandbytes()

from tone.adapter import load_tuned
from tone.base import load_base, load_tokenizer
from tone.bounds import CEILING_CONTROL
from tone.classifier import labelled
from tone.comparison import Comparison, Interval, compare, intervals, write_rows_of
from tone.errors import run
from tone.files import read_json, replacing, write_json
from tone.judge import judge
from tone.originality import originality
from tone.params import load_params
from tone.persona import load_persona
from tone.probes import predict_neutral, run_probes
from tone.report import Evaluation, calibration, flat, report_page
from tone.report.lineup import lineup
from tone.report.ranks import ranked
from tone.rounds import in_rounds
from tone.rows import Answer, read_examples, read_rows, write_rows
from tone.samples import samples_page
from tone.scoring import Scorer
from tone.systems import Contest, Generation, local_contestant
from tone.tables import read_measures, write_measures, write_table

TUNED = "tuned"
SHOWN = ("base", "base_prompted", TUNED, "teacher_persona")
# What the report shows of params.yaml; dvc.yaml lists them, so the page is never older than a value on it.
REPORTED = (
    "seed",
    "persona",
    "base_model",
    "system_prompt",
    "compute.threads",
    "compute.dtype",
    "compute.attention",
    "questions.per_prompt",
    "questions.exchanges",
    "split.validation",
    "split.test",
    "split.train_size",
    "base_answers",
    "tone_classifier",
    "scorers",
    "train",
    "evaluate",
)


def main() -> None:
    params = load_params()
    persona = load_persona(params.persona)
    train, test = (read_examples(side) for side in ("train", "test"))
    baselines = read_rows("data/baseline_generations.jsonl", Generation)
    entered = lineup(read_json("metrics/baselines.json"))
    retention = read_measures("metrics/retention_base.csv")

    tokenizer = load_tokenizer(params.base_model)
    scorer = Scorer(params, load_base(params.base_model, params.compute), tokenizer)
    tuned = load_tuned(params.base_model, params.compute, "models/adapter")
    contest = Contest(test, scorer, params)
    contestant = local_contestant(tuned, tokenizer, params.evaluate)
    # Beside the test questions the probes of what tuning may have cost: the tone dropped on request or in another form.
    askings = [
        contest.enter(TUNED, contestant, [example.prompt for example in test]),
        run_probes(scorer, params.system_prompt, params.seed),
    ]
    metrics, retention[TUNED] = in_rounds(contestant.answer, askings, TUNED)
    # And neutral English forgotten.
    retention[TUNED] |= predict_neutral(tuned, tokenizer, params.evaluate.forward_tokens)

    write_rows("data/tuned_generations.jsonl", contest.generations)
    write_json("metrics/evaluate.json", metrics)
    write_measures("metrics/retention.csv", retention)
    every = [*baselines, *contest.generations]
    shown = ([row.system, row.tone, row.joint] for row in every if row.system in SHOWN)
    write_table("metrics/tone_scores.csv", ["system", "tone", "joint"], shown)
    with replacing("reports/samples.md") as file:
        file.write(samples_page(test[: params.evaluate.samples], every, persona.disclosure))

    # How sure the figures are, who wins, and what is copied.
    systems = [TUNED, *entered.others, *entered.ceilings]
    means = intervals(every, [*systems, *entered.controls], params.seed)
    comparisons = compare(every, TUNED, entered.others, params.seed)
    write_rows_of("metrics/intervals.csv", Interval, means)
    write_rows_of("metrics/comparison.csv", Comparison, comparisons)
    trained_on = [example.answer for example in train]
    original = {name: originality(every, name, trained_on) for name in (*systems, CEILING_CONTROL)}
    write_measures("metrics/originality.csv", original)

    # Another model's opinion, if params.yaml names one: of the tuned answers against the others'.
    wrote = read_rows("data/answers.jsonl", Answer)
    verdicts = judge(params, persona, test, every, wrote, TUNED, [*entered.others, CEILING_CONTROL])
    write_measures("metrics/judge.csv", verdicts)

    # All of it on one page, with the calibration of both tone classifiers on the teacher's answers.
    texts, labels = labelled(test)
    calibrations = [
        calibration("Tone (n-grams)", scorer.classifier.predict_proba(texts)[:, 1], labels),
        calibration("Reported tone (hidden states)", scorer.reported_tone(texts), labels),
    ]
    page = report_page(
        Evaluation(
            persona=persona,
            params=flat(params.model_dump(), REPORTED),
            tuned=TUNED,
            lineup=entered,
            examples=test,
            generations=every,
            intervals=means,
            comparisons=comparisons,
            calibrations=calibrations,
            originality=original,
            metrics=metrics,
            retention=retention,
            judged=verdicts,
            ranks=ranked(every, TUNED, max(1, params.evaluate.samples // 3)),
        )
    )
    with replacing("reports/evaluation.html") as file:
        file.write(page)


if __name__ == "__main__":
    run(main)
