"""What merging the adapter into its base changes: the perplexity of the teacher's persona answers, before and after.

`python -m benchmarks.adapter_merge` needs `models/adapter`, an adapter in peft's format, and takes half a minute on 2 cores.
"""

import argparse

from tonetune.core.startup import import_bitsandbytes, silence_libraries

PARSER = argparse.ArgumentParser(prog="python -m benchmarks.adapter_merge", description=__doc__.splitlines()[0])
if __name__ == "__main__":
    PARSER.parse_args()  # help, and what is mistyped, before what takes long to load

silence_libraries()
import_bitsandbytes()

from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel

from tonetune.adapter import load_tuned
from tonetune.core.command import run
from tonetune.core.errors import UserError
from tonetune.core.params import load_params
from tonetune.core.rows import read_examples
from tonetune.generation.likelihood import likelihood
from tonetune.model.base import load_base, load_tokenizer
from tonetune.model.chat_template import answer_ids, prompt_ids
from tonetune.model.quantization import load_quantised

ADAPTER = Path("models/adapter")


def measure() -> dict[str, float]:
    """Perplexities by name: `beside` the weights that it was trained over, `merged` into them as tonetune.adapter does, and
    `merged_original`, into the base as it was before it was quantised; the first two also as a ratio.
    """
    if not (ADAPTER / "adapter_config.json").is_file():
        raise UserError(
            f"{ADAPTER}: no adapter in peft's format; `dvc repro` trains one, with train.tuning: lora or qlora"
        )
    params = load_params()
    tokenizer, test = load_tokenizer(params.base_model, params.chat_template_kwargs), read_examples("test")
    prompts = [prompt_ids(tokenizer, example.prompt) for example in test]
    texts = [example.answer for example in test]
    answers = [answer_ids(tokenizer, text) for text in texts]

    def perplexity(name: str, model: PreTrainedModel) -> float:
        tokens = params.evaluate.forward_tokens
        return likelihood(model, prompts, answers, texts, tokens, f"perplexity, {name}").perplexity

    trained_over = load_quantised(params.base_model, params.compute, params.train.tuning, dequantize=False)
    original = load_base(params.base_model, params.compute)
    found = {
        "merge_perplexity_beside": perplexity("beside", with_adapter(trained_over).get_base_model()),
        "merge_perplexity_merged": perplexity("merged", load_tuned(params.base_model, params.compute, ADAPTER)),
        "merge_perplexity_merged_original": perplexity("original", with_adapter(original).merge_and_unload()),
    }
    return found | {"merge_ratio": found["merge_perplexity_merged"] / found["merge_perplexity_beside"]}


def with_adapter(model: PreTrainedModel) -> PeftModel:
    return PeftModel.from_pretrained(model, ADAPTER).eval()


def main() -> None:
    for name, value in measure().items():
        print(f"{name:36} {value:10.4f}")


if __name__ == "__main__":
    run(main)
