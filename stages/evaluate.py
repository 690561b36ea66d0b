"""Answer the test questions with the tuned model, score the answers, and set them beside the baselines'."""

from tone.quiet import silence_libraries

silence_libraries()

import csv

from tone.adapter import load_adapter
from tone.base import load_base, load_tokenizer
from tone.errors import run
from tone.files import replacing, write_json
from tone.params import load_params
from tone.persona import load_persona
from tone.rows import Example, read_rows, write_rows
from tone.samples import samples_page
from tone.scoring import Scorer
from tone.systems import Generation, run_system

SHOWN = ("base", "base_prompted", "tuned", "teacher_persona")


def main() -> None:
    params = load_params()
    persona = load_persona(params.persona)
    test = read_rows("data/test.jsonl", Example)
    baselines = read_rows("data/baseline_generations.jsonl", Generation)

    tokenizer = load_tokenizer(params.base_model)
    base = load_base(params.base_model, params.compute)
    scorer = Scorer(params, base, tokenizer)
    # The adapter is merged into the unquantised base: it then generates at the base's speed.
    tuned = load_adapter(base, "models/adapter", params.base_model).merge_and_unload()
    result = run_system(
        "tuned",
        tuned,
        tokenizer,
        test,
        [example.prompt for example in test],
        scorer,
        params.evaluate,
        params.seed,
    )

    write_rows("data/tuned_generations.jsonl", result.generations)
    write_json("metrics/evaluate.json", result.metrics)
    every = [*baselines, *result.generations]
    with replacing("metrics/tone_scores.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["system", "tone", "joint"])
        writer.writerows([row.system, row.tone, row.joint] for row in every if row.system in SHOWN)
    with replacing("reports/samples.md") as file:
        file.write(samples_page(test[: params.evaluate.samples], every, persona.disclosure))


if __name__ == "__main__":
    run(main)
