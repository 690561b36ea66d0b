"""Answer the test questions with the untuned base, and score the controls whose scores are known beforehand."""

from tone.quiet import silence_libraries

silence_libraries()

import sys

import numpy as np

from tone.base import load_base, load_tokenizer
from tone.controls import control_answers
from tone.errors import run
from tone.files import write_json
from tone.params import load_params
from tone.persona import load_persona
from tone.rows import Example, read_rows, write_rows
from tone.scoring import Scorer
from tone.splitting import BASICS
from tone.systems import as_told, run_system, score_answers, with_shots

CEILING = 0.75
CONTROL_BOUND = 0.15


def main() -> None:
    params = load_params()
    settings = params.evaluate
    persona = load_persona(params.persona)
    train, test = (read_rows(f"data/{side}.jsonl", Example) for side in ("train", "test"))
    base, tokenizer = load_base(params.base_model, params.compute), load_tokenizer(params.base_model)
    scorer = Scorer(params, base, tokenizer)

    # The base as it is, told who to be, and told with examples as a dialogue.
    shots = [example for example in train if example.category != BASICS][: settings.fewshot]
    chats = {
        "base": [example.prompt for example in test],
        "base_prompted": [as_told(example, persona.system) for example in test],
        "base_fewshot": [with_shots(example, persona.system, shots) for example in test],
    }
    metrics: dict[str, object] = {}
    generations = []
    for name, chat in chats.items():
        result = run_system(name, base, tokenizer, test, chat, scorer, settings, params.seed)
        metrics[name] = result.metrics
        generations += result.generations

    # Controls from the teacher's own answers: the first must score high, the others low.
    controls = {}
    for name, texts in control_answers(test, persona.catchphrases, params.seed).items():
        scored = score_answers(name, test, [params.seed] * len(test), texts, scorer)
        controls[name] = {
            key: round(float(np.mean([getattr(row, key) for row in scored])), 6)
            for key in ("joint", "tone", "relevance", "fluency", "reported_tone")
        }
        generations += scored
        joint = controls[name]["joint"]
        if (joint < CEILING) if name == "teacher_persona" else (joint > CONTROL_BOUND):
            bound = f"at least {CEILING}" if name == "teacher_persona" else f"at most {CONTROL_BOUND}"
            print(f"warning: control {name}: joint {joint:.3f} should be {bound}", file=sys.stderr)
    metrics["controls"] = controls

    write_rows("data/baseline_generations.jsonl", generations)
    write_json("metrics/baselines.json", metrics)


if __name__ == "__main__":
    run(main)
