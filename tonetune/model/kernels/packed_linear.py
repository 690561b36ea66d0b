"""Frozen linear layers of one input, with LoRA adapters or without, as one matrix product each way."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tonetune.model.kernels.matmul import matmul

RANK_MULTIPLE = 16  # columns that AMX multiplies at a time: fewer take as long


@dataclass(frozen=True)
class Part:
    """One of peft's LoRA layers in the matrix: its columns of the outputs and of the rank, and where its A and B are."""

    layer: Any
    outputs: slice
    rank: slice
    a: torch.Tensor
    b: torch.Tensor

    def adapter(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A (rank, inputs) and B (outputs, rank) as they are trained."""
        (name,) = self.layer.active_adapters
        return self.layer.lora_A[name].weight, self.layer.lora_B[name].weight


class PackedLinear:
    """One matrix [[W, B], [A, 0]]: W the weights of all layers below each other, A their adapters' likewise, B blockwise.

    Its upper rows take (x, x A^T) to the outputs of all layers, side by side. Its left columns take the outputs' gradient
    and what B makes of it, (g, g B), to the gradient of x. So the adapters cost no sum of their own, and the layers of one
    input no more products than one. The layers' weights become a part of it and are not held twice.
    """

    def __init__(self, *layers: Any):
        frozen: list[nn.Linear] = [getattr(layer, "base_layer", layer) for layer in layers]
        adapted = [layer for layer, linear in zip(layers, frozen, strict=True) if layer is not linear]
        ranks = {layer: layer.r[layer.active_adapters[0]] for layer in adapted}
        # One for all: an adapter has one rank and one alpha.
        self.scaling = adapted[0].scaling[adapted[0].active_adapters[0]] if adapted else 1.0
        self.inputs, self.outputs = frozen[0].in_features, sum(linear.out_features for linear in frozen)
        padded = -(-sum(ranks.values()) // RANK_MULTIPLE) * RANK_MULTIPLE
        zeros, size = frozen[0].weight.new_zeros, (self.outputs + padded, self.inputs + padded)
        # Without adapters it only goes forth: held the way round that oneDNN multiplies it.
        matrix = zeros(size) if adapted else zeros(size[::-1]).t()
        self.forth, self.back = matrix[: self.outputs].t(), matrix[:, : self.inputs]
        self.a, self.b = matrix[self.outputs :, : self.inputs], matrix[: self.outputs, self.inputs :]
        self.parts: list[Part] = []
        row = column = 0
        for layer, linear in zip(layers, frozen, strict=True):
            outputs, rank = slice(row, row + linear.out_features), slice(column, column + ranks.get(layer, 0))
            weights = matrix[outputs, : self.inputs]
            weights.copy_(linear.weight.detach())
            linear.weight.data = weights
            if layer in ranks:
                self.parts.append(Part(layer, outputs, rank, self.a[rank], self.b[outputs, rank]))
            row, column = outputs.stop, rank.stop
        biases = [matrix.new_zeros(f.out_features) if f.bias is None else f.bias.detach() for f in frozen]
        self.bias = None if all(linear.bias is None for linear in frozen) else torch.cat(biases)

    def parameters(self) -> list[torch.Tensor]:
        """A and B of each adapted layer in turn."""
        return [matrix for part in self.parts for matrix in part.adapter()]

    def load(self) -> None:
        """Take the adapters' present numbers."""
        for part in self.parts:
            a, b = part.adapter()
            part.a.copy_(a)
            part.b.copy_(b * self.scaling)

    def room_for_input(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What `forward` takes, for so many rows, and the part of it that is to be filled with x: (rows, inputs)."""
        return _buffer(rows, self.inputs, len(self.a))

    def room_for_gradient(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What `backward` takes, for so many rows, and the part that is to be filled with the gradient: (rows, outputs)."""
        return _buffer(rows, self.outputs, len(self.a))

    def forward(self, room: torch.Tensor) -> torch.Tensor:
        """The outputs of all layers, (rows, outputs); `room` is x itself where there is no adapter."""
        if self.parts:
            torch.mm(room[:, : self.inputs], self.a.t(), out=room[:, self.inputs :])
        return matmul(room, self.forth, self.bias)

    def backward(self, gradient: torch.Tensor, room: torch.Tensor) -> list[torch.Tensor]:
        """The gradients of `parameters`; `room` is that of the forward pass, `gradient` that of `room_for_gradient`."""
        if not self.parts:
            return []
        own, inner = gradient[:, : self.outputs], gradient[:, self.outputs :]
        torch.mm(own, self.b, out=inner)
        of_a, of_b = (inner.t() @ room[:, : self.inputs]).float(), (room[:, self.inputs :].t() @ own).float()
        of_b *= self.scaling
        return [of for part in self.parts for of in (of_a[part.rank], of_b[part.rank, part.outputs].t())]

    def of_input(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient of x, (rows, inputs), once `backward` has seen `gradient`."""
        return matmul(gradient, self.back)


def _buffer(rows: torch.Tensor, columns: int, more: int) -> tuple[torch.Tensor, torch.Tensor]:
    room = rows.new_empty(len(rows), columns + more)
    # oneDNN reads up to the next whole tile of what it multiplies; times nothing, but no number would stay none.
    room[:, columns:].zero_()
    return room, room[:, :columns]
