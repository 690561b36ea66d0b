"""What a training step multiplies, and how fast this machine multiplies matrices of those shapes."""

from collections import Counter

import torch

from benchmarks.device import now
from tonetune.core.params import Params
from tonetune.model.base import compute_dtype

TOKENS = 130  # of an example, about


class Products:
    """The base's own matrix products, forward and to the input, of one batch of tokens, as torch multiplies them."""

    def __init__(self, model: torch.nn.Module, params: Params):
        dtype, rows = compute_dtype(params.compute.dtype), params.train.batch_size * TOKENS
        shapes = Counter((layer.out_features, layer.in_features) for layer in frozen_layers(model))
        self.pairs: list[tuple[torch.Tensor, torch.Tensor, int]] = []
        self.operations = self.seconds = 0.0
        for (outputs, inputs), count in sorted(shapes.items()):
            weight, x, gradient = (
                torch.randn(size, dtype=dtype, device="cuda" if torch.cuda.is_available() else "cpu")
                for size in ((outputs, inputs), (rows, inputs), (rows, outputs))
            )
            self.pairs += [(x, weight.t(), count), (gradient, weight, count)]

    def sample(self) -> None:
        """Multiply each twice and take the second time: the first one may compile it, and finds the cache full of others."""
        for left, right, count in self.pairs:
            left @ right
            start = now()
            left @ right
            self.seconds += count * (now() - start)
            self.operations += count * 2 * left.numel() * right.shape[1]

    @property
    def rate(self) -> float:
        """GFLOP a second."""
        return self.operations / self.seconds / 1e9


def gflop_per_token(model: torch.nn.Module, supervised_share: float) -> float:
    """Forward and backward pass of a LoRA tuning: 4 operations a frozen weight of a linear layer, 6 a trained one.

    The head counts for the supervised tokens alone.
    """
    config = model.config
    head = config.vocab_size * config.hidden_size
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(layer.in_features * layer.out_features for layer in frozen_layers(model))
    return (4 * frozen + 6 * trained + 4 * head * supervised_share) / 1e9


def frozen_layers(model: torch.nn.Module) -> list[torch.nn.Linear]:
    """The linear layers of the base but the head."""
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)]
    return [layer for name, layer in layers if "lora_" not in name and not name.endswith("lm_head")]
