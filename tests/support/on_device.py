"""What training and generation come to on this machine's GPU, or on its CPU where none is visible: JSON on the last line.

`python -m tests.support.on_device BASE` with the folder of a tiny model; tests/test_gpu.py compares the two.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.support.tunings import EXAMPLES, TUNINGS, params_with, train
from tonetune.adapter import load_tuned, save_tuned
from tonetune.generation.generate import generate_ids
from tonetune.generation.likelihood import likelihood
from tonetune.generation.sampling import Sampling
from tonetune.model.base import load_tokenizer
from tonetune.model.chat_template import answer_ids, prompt_ids
from tonetune.scoring.hidden_states import HiddenStates
from tonetune.training.tuning import model_for_training

WAYS = [
    ("sft", "full"),
    ("sft", "last block"),
    ("sft", "lora"),
    ("sft", "qlora"),
    ("sft", "lora_8bit"),
    ("self_supervised", "lora"),
    ("dpo", "lora"),
]


def main(base: str) -> None:
    tokenizer = load_tokenizer(f"path:{base}")
    found = {}
    for objective, name in WAYS:
        params = params_with(base, objective=objective, **TUNINGS[name][0])
        with tempfile.TemporaryDirectory() as folder:
            model = model_for_training(params)
            history = train(params, model, tokenizer, Path(folder), objective)
            save_tuned(model, f"{folder}/saved", "someone", "An AI.", params.base_model, params.train.tuning)
            tuned = load_tuned(params.base_model, params.compute, f"{folder}/saved")
        found[f"{objective} {name}"] = {
            "losses": [row[key] for row in history for key in ("loss", "eval_loss") if key in row],
            "nats": nats(tuned, tokenizer),
        }
    prompts = [prompt_ids(tokenizer, example.prompt) for example in EXAMPLES]
    greedy, sampled = (Sampling(temperature, 0.9, 12, 1000) for temperature in (0, 1.0))
    found["greedy"], found["sampled"] = (
        generate_ids(tuned, tokenizer, prompts, sampling, range(len(prompts))) for sampling in (greedy, sampled)
    )
    found["alone"] = [generate_ids(tuned, tokenizer, [prompt], greedy, [0])[0] for prompt in prompts]
    found["hidden states"] = HiddenStates(tuned, tokenizer, 1)([row.answer for row in EXAMPLES]).tolist()
    found["device"] = tuned.device.type
    print(json.dumps(found))


def nats(model, tokenizer) -> list[float]:
    """The likelihood of each example's answer."""
    prompts = [prompt_ids(tokenizer, row.prompt) for row in EXAMPLES]
    answers = [answer_ids(tokenizer, row.answer) for row in EXAMPLES]
    return list(likelihood(model, prompts, answers, [row.answer for row in EXAMPLES], 1000).nats)


if __name__ == "__main__":
    main(sys.argv[1])
