"""LoRA's forward and backward pass with the fewest passes over memory, for linear layers whose weights are frozen.

Shapes: x (..., inputs), flattened to (n, inputs); weight (outputs, inputs); A (rank, inputs); B (outputs, rank).
"""

from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from torch.nn.functional import linear


class _LoRALinear(torch.autograd.Function):
    """x W^T + bias + scaling (x A^T) B^T: what peft computes, the sums made inside the matrix products (`addmm_`)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        # A and B are trained in float32 and multiplied in the dtype of the frozen weight.
        a_cast, b_cast = a.to(weight.dtype), (b * scaling).to(weight.dtype)
        rows = x.flatten(0, -2)
        x_a = rows @ a_cast.t()
        ctx.save_for_backward(rows, x_a, weight, a_cast, b_cast)
        ctx.scaling, ctx.adapter_dtype = scaling, a.dtype
        output = linear(rows, weight, bias).addmm_(x_a, b_cast.t())
        return output.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, x_a, weight, a, b = ctx.saved_tensors
        shape = gradients[0].shape
        gradient = gradients[0].flatten(0, -2)
        x_a_gradient = gradient @ b
        a_gradient = (x_a_gradient.t() @ rows).to(ctx.adapter_dtype)
        b_gradient = (x_a.t() @ gradient).t().to(ctx.adapter_dtype) * ctx.scaling
        x_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = (gradient @ weight).addmm_(x_a_gradient, a).view(*shape[:-1], weight.shape[1])
        return x_gradient, None, None, a_gradient, b_gradient, None


class FastLoRALinear(Linear):
    """peft's LoRA layer with `_LoRALinear` as its forward and backward pass."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        weight = self.base_layer.weight
        if self.disable_adapters or self.merged or x.dtype != weight.dtype:
            return super().forward(x, *args, **kwargs)
        (name,) = self.active_adapters
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        output: torch.Tensor = _LoRALinear.apply(x, weight, self.base_layer.bias, a, b, self.scaling[name])
        return output


def use_fast_lora(model: PeftModel) -> None:
    """Turn the LoRA layers of `model` into `FastLoRALinear`s, in place.

    Left as they are: variants (DoRA), layers with dropout, and layers over quantised weights.
    """
    for layer in model.modules():
        if type(layer) is not Linear:
            continue
        plain = type(layer.base_layer) is torch.nn.Linear and not layer.lora_variant
        if plain and all(isinstance(dropout, torch.nn.Identity) for dropout in layer.lora_dropout.values()):
            layer.__class__ = FastLoRALinear
