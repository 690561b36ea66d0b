"""The plainest way to answer: transformers' own `generate`, one prompt at a time."""

import torch

from tonetune.generation.sampling import Sampling

GREEDY = Sampling(temperature=0, top_p=1, max_new_tokens=12, batch_tokens=1000)


def one_at_a_time(model, prompts, most):
    """What transformers' own greedy `generate` answers to each prompt alone, up to the end of turn."""
    outs = [
        model.generate(torch.tensor([p]), max_new_tokens=most, do_sample=False)[0][len(p) :].tolist() for p in prompts
    ]
    end = model.generation_config.eos_token_id
    return [out[: out.index(end)] if end in out else out for out in outs]
