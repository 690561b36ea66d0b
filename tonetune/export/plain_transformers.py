"""What plain transformers (and peft) make of an exported folder: a script of its own that imports nothing of tonetune.

It reads a JSON request on stdin: `folder`; for an adapter also `base`, the folder of its base, `dtype`, and `quantization` (nf4,
int8 or null: what the base is put into and back before the adapter is merged); `chats`, lists of messages; `prompts` and `answers`, token ids. It writes JSON on its last line: `prompts`, the chats as token
ids; `greedy` and `logprobs`, for every token of every answer the likeliest token at its place and its own log-probability; `stops`,
the tokens at which the folder's own settings end an answer.
"""

import json
import sys
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig

QUANTIZATION: dict[str, dict[str, Any]] = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "int8": {"load_in_8bit": True},
}


def load(request: dict[str, Any]) -> torch.nn.Module:
    if "base" not in request:
        return AutoModelForCausalLM.from_pretrained(request["folder"], dtype=torch.float32)
    from peft import PeftModel

    kind, dtype = request["quantization"], getattr(torch, request["dtype"])
    settings = BitsAndBytesConfig(**QUANTIZATION[kind], bnb_4bit_compute_dtype=dtype) if kind else None
    base = AutoModelForCausalLM.from_pretrained(request["base"], dtype=dtype, quantization_config=settings)
    if kind:
        base = base.dequantize()
        base.is_loaded_in_4bit = base.is_loaded_in_8bit = False  # or peft looks for quantised layers
    return PeftModel.from_pretrained(base, request["folder"]).merge_and_unload().float()


@torch.inference_mode()
def predicted(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> tuple[list[int], list[float]]:
    """The likeliest token at each place of the answer, and the log-probability of the answer's own."""
    logits = model(input_ids=torch.tensor([prompt + answer[:-1]])).logits[0, len(prompt) - 1 :].float()
    logprobs = logits.log_softmax(-1)
    return logits.argmax(-1).tolist(), logprobs.gather(1, torch.tensor(answer)[:, None])[:, 0].tolist()


def main() -> None:
    request = json.load(sys.stdin)
    tokenizer = AutoTokenizer.from_pretrained(request["folder"])
    model = load(request).eval()
    prompts = [
        tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
        for chat in request["chats"]
    ]
    greedy, logprobs = [], []
    for done, (prompt, answer) in enumerate(zip(request["prompts"], request["answers"], strict=True), 1):
        tokens, values = predicted(model, prompt, answer)
        greedy.append(tokens)
        logprobs.append(values)
        print(done, flush=True)
    settings = model.generation_config
    stops = settings.eos_token_id if isinstance(settings, GenerationConfig) else None
    stops = stops if isinstance(stops, list) else [stops]
    print(json.dumps({"prompts": prompts, "greedy": greedy, "logprobs": logprobs, "stops": stops}))


main()
