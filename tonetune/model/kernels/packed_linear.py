"""Frozen linear layers that share an input, packed into one matrix with their LoRA adapters: one product each way.

Shapes: x (rows, inputs), a row for each token of the batch; of each layer W (its outputs, inputs), A (its rank, inputs)
and B (its outputs, its rank). `outputs` and `rank` are sums over the layers, the rank padded to a `RANK_MULTIPLE`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tonetune.model.kernels.matmul import matmul

RANK_MULTIPLE = 16  # columns of an AMX tile: a product with fewer takes as long


@dataclass(frozen=True)
class Part:
    """One of peft's LoRA layers: its slices of the packed outputs and rank, and its A and B as views of the matrix."""

    layer: Any
    outputs: slice
    rank: slice
    a: torch.Tensor
    b: torch.Tensor

    def adapter(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The trained parameters A (rank, inputs) and B (outputs, rank)."""
        (name,) = self.layer.active_adapters
        return self.layer.lora_A[name].weight, self.layer.lora_B[name].weight


class PackedLinear:
    """The matrix [[W, B], [A, 0]]: W and A are the layers' stacked, B is block-diagonal and includes the scaling.

    Forward, its upper rows [W, B] take the input buffer (x, x A^T) to the outputs of all layers, side by side.
    Backward, its left columns [W; A] take the gradient buffer (g, g B) to the gradient of x.
    So base and adapter are added up inside the products. The layers' own weights become views of the matrix.
    """

    def __init__(self, *layers: Any):
        frozen: list[nn.Linear] = [getattr(layer, "base_layer", layer) for layer in layers]
        adapted = [layer for layer, linear in zip(layers, frozen, strict=True) if layer is not linear]
        ranks = {layer: layer.r[layer.active_adapters[0]] for layer in adapted}
        # One scaling for all layers: an adapter has one rank and one alpha.
        self.scaling = adapted[0].scaling[adapted[0].active_adapters[0]] if adapted else 1.0
        self.inputs, self.outputs = frozen[0].in_features, sum(linear.out_features for linear in frozen)
        padded_rank = -(-sum(ranks.values()) // RANK_MULTIPLE) * RANK_MULTIPLE
        zeros, size = frozen[0].weight.new_zeros, (self.outputs + padded_rank, self.inputs + padded_rank)
        # Without adapters it is mostly for generation, forward only: stored transposed, as oneDNN multiplies it then.
        matrix = zeros(size) if adapted else zeros(size[::-1]).t()
        self.forward_weight, self.backward_weight = matrix[: self.outputs].t(), matrix[:, : self.inputs]
        self.a, self.b = matrix[self.outputs :, : self.inputs], matrix[: self.outputs, self.inputs :]
        self.parts: list[Part] = []
        row = column = 0
        for layer, linear in zip(layers, frozen, strict=True):
            outputs, rank = slice(row, row + linear.out_features), slice(column, column + ranks.get(layer, 0))
            weight = matrix[outputs, : self.inputs]
            weight.copy_(linear.weight.detach())
            linear.weight.data = weight
            if layer in ranks:
                self.parts.append(Part(layer, outputs, rank, self.a[rank], self.b[outputs, rank]))
            row, column = outputs.stop, rank.stop
        biases = [matrix.new_zeros(f.out_features) if f.bias is None else f.bias.detach() for f in frozen]
        self.bias = None if all(linear.bias is None for linear in frozen) else torch.cat(biases)

    def parameters(self) -> list[torch.Tensor]:
        """The trained parameters: A and B of each adapted layer in turn."""
        return [parameter for part in self.parts for parameter in part.adapter()]

    def load_adapters(self) -> None:
        """Copy the adapters' current weights into the matrix."""
        for part in self.parts:
            a, b = part.adapter()
            part.a.copy_(a)
            part.b.copy_(b * self.scaling)

    def input_buffer(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A buffer for `forward`, (rows, inputs + rank), with as many rows as `rows`; and the view to write x into."""
        return _buffer(rows, self.inputs, len(self.a))

    def gradient_buffer(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A buffer for `backward`, (rows, outputs + rank), and the view to write the outputs' gradient into."""
        return _buffer(rows, self.outputs, len(self.a))

    def forward(self, buffer: torch.Tensor) -> torch.Tensor:
        """The outputs of all layers, (rows, outputs); without adapters `buffer` may be x itself."""
        if self.parts:
            torch.mm(buffer[:, : self.inputs], self.a.t(), out=buffer[:, self.inputs :])
        return matmul(buffer, self.forward_weight, self.bias)

    def backward(self, gradient: torch.Tensor, buffer: torch.Tensor) -> list[torch.Tensor]:
        """The gradients of `parameters`, in float32.

        `gradient` is a filled `gradient_buffer`, `buffer` the `input_buffer` that the forward pass has seen.
        """
        if not self.parts:
            return []
        output_gradient, rank_gradient = gradient[:, : self.outputs], gradient[:, self.outputs :]
        torch.mm(output_gradient, self.b, out=rank_gradient)
        a_gradient, b_gradient = (
            (rank_gradient.t() @ buffer[:, : self.inputs]).float(),  # (rank, inputs)
            (buffer[:, self.inputs :].t() @ output_gradient).float(),  # (rank, outputs)
        )
        b_gradient *= self.scaling
        return [
            part_gradient
            for part in self.parts
            for part_gradient in (a_gradient[part.rank], b_gradient[part.rank, part.outputs].t())
        ]

    def input_gradient(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient of x, (rows, inputs); call `backward` first, which fills the last columns of `gradient`."""
        return matmul(gradient, self.backward_weight)


def _buffer(rows: torch.Tensor, columns: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    buffer = rows.new_empty(len(rows), columns + rank)
    # oneDNN multiplies whole tiles, also past the rank's last column: zero times a NaN left in memory would be NaN.
    buffer[:, columns:].zero_()
    return buffer, buffer[:, :columns]
