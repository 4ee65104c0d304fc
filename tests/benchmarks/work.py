"""Benchmarks, what must be done at the least: multiply-adds and passes over tensors, counted.

A pass over a tensor reads or writes every element once. Normalisation forces the ones that are
counted: its statistics must be known before its first output. Whatever else touches memory
(pooling, upsampling, concatenation, dropout, what a framework does not fuse) comes on top, and
what a cache holds is moved faster: the count is a yardstick, not a prediction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch

from tests.benchmarks.machine import copied_bytes_a_second, multiply_adds_a_second
from tests.benchmarks.report import keep_figures

WIDTHS = (1, 16, 32, 64, 128, 256)
BRIDGE = 2


@dataclass(frozen=True)
class Cost:
    """Of some part of the network, of one image."""

    multiply_adds: float
    elements: float  # read or written

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.multiply_adds + other.multiply_adds, self.elements + other.elements)

    def __rmul__(self, times: float) -> Cost:
        return Cost(times * self.multiply_adds, times * self.elements)


@dataclass(frozen=True)
class Layer:
    """One 3x3 convolution with its normalisation and activation, at its size."""

    ins: int
    outs: int
    pixels: int

    @property
    def multiply_adds(self) -> int:
        return 9 * self.ins * self.outs * self.pixels

    def forward(self) -> Cost:
        """Convolution: read, write; statistics: read; normalise and activate: read, write."""
        return Cost(self.multiply_adds, (self.ins + 4 * self.outs) * self.pixels)

    def input_gradient(self) -> Cost:
        """Two sums over gradient and normed, the norm's gradient; transposed convolution."""
        return Cost(self.multiply_adds, (self.ins + 6 * self.outs) * self.pixels)

    def weight_gradient(self) -> Cost:
        """A product of the layer's input with the gradient of its convolution."""
        return Cost(self.multiply_adds, (self.ins + self.outs) * self.pixels)


def encoder_layers(size: int) -> Iterator[Layer]:
    """Two a block, the side halved after each."""
    for level, (ins, outs) in enumerate(pairwise(WIDTHS)):
        pixels = (size >> level) ** 2
        yield from (Layer(ins, outs, pixels), Layer(outs, outs, pixels))


def decoder_layers(size: int) -> Iterator[Layer]:
    """Two a block, from an eighth of the side up; the first block takes the bridge too."""
    for level in (3, 2, 1, 0):
        below, skip = WIDTHS[level + 2], WIDTHS[level + 1]
        ins, pixels = below + skip + BRIDGE * (level == 3), (size >> level) ** 2
        yield from (Layer(ins, skip, pixels), Layer(skip, skip, pixels))


def forward_cost(size: int, part: str) -> Cost:
    """Of the "encoder" or of the "decoder" on one image."""
    return total(layer.forward() for layer in layers_of(size, part))


def saliency_cost(size: int) -> Cost:
    """The way back through the encoder, to the image."""
    return total(layer.input_gradient() for layer in encoder_layers(size))


def backward_cost(size: int, part: str) -> Cost:
    """Gradients of all weights of a part; that of the image itself is not needed."""
    whole = total(
        layer.input_gradient() + layer.weight_gradient() for layer in layers_of(size, part)
    )
    if part == "decoder":
        return whole
    first = next(encoder_layers(size))
    return whole + Cost(-first.multiply_adds, -first.ins * first.pixels)


def layers_of(size: int, part: str) -> Iterator[Layer]:
    """Of the "encoder" or of the "decoder"."""
    return {"encoder": encoder_layers, "decoder": decoder_layers}[part](size)


def total(costs: Iterator[Cost]) -> Cost:
    """The sum."""
    return sum(costs, Cost(0, 0))


def inference_cost(size: int) -> Cost:
    """Of one image: encoder, saliency, decoder."""
    return forward_cost(size, "encoder") + saliency_cost(size) + forward_cost(size, "decoder")


def step_cost(size: int, *, sizes: Mapping[str, int], recipe: str) -> Cost:
    """Of one step: what our recipe needs, with one encoder pass for all streams.

    Args:
        size: side of an image.
        sizes: stream -> images.
        recipe: "paper" takes the saliency from a pass of its own and no masks from the teacher.
    """
    encoder, decoder = (forward_cost(size, part) for part in ("encoder", "decoder"))
    decoded = sizes["mask_labelled"] + sizes["mask_unlabelled"]
    learnt = sum(sizes.values()) * (encoder + backward_cost(size, "encoder"))
    learnt += decoded * (decoder + backward_cost(size, "decoder") + saliency_cost(size))
    taught = sizes["label_unlabelled"] * encoder
    if recipe == "paper":
        return learnt + taught + decoded * encoder
    return learnt + taught + sizes["mask_unlabelled"] * inference_cost(size)


def published_step_cost(size: int, *, batch: int, all_masks: bool = True) -> Cost:
    """Of one published step with `batch` images a stream, five batches in all.

    Args:
        size: side of an image.
        batch: images a stream.
        all_masks: see `published.PublishedStep`.
    """
    encoder, decoder = (forward_cost(size, part) for part in ("encoder", "decoder"))
    first = next(encoder_layers(size)).input_gradient()
    saliency = encoder + backward_cost(size, "encoder") + first
    encoded, decoded = (5, 5) if all_masks else (4, 2)
    learnt = encoded * backward_cost(size, "encoder") + decoded * backward_cost(size, "decoder")
    return batch * (5 * (saliency + encoder + decoder) + learnt)


@dataclass(frozen=True)
class Ceilings:
    """What a machine can do in one number format."""

    multiply_adds_a_second: float
    bytes_a_second: float

    @classmethod
    def measured(cls, dtype: torch.dtype, *, quick: bool, device: str = "cpu") -> Ceilings:
        """With products and copies that are large for the device."""
        side = 512 if quick else 2048 if device == "cpu" else 8192
        mebibytes = 64 if quick else 1024
        return cls(
            multiply_adds_a_second(dtype, side=side, device=device),
            copied_bytes_a_second(mebibytes=mebibytes, device=device),
        )


def keep_shares(
    name: str, seconds: float, *, cost: Cost, dtype: torch.dtype, ceilings: Ceilings
) -> float:
    """Note how much of the ceilings some work reached; the share of multiply-adds is returned.

    Args:
        name: of the entry, which begins with "ceilings".
        seconds: that it took.
        cost: the least that it had to do.
        dtype: "bytes" are the elements of the cost in this format.
        ceilings: of this machine in this format, measured in the same run.
    """
    moved = cost.elements * dtype.itemsize
    share = cost.multiply_adds / seconds / ceilings.multiply_adds_a_second
    keep_figures(
        f"ceilings, {name}",
        seconds=seconds,
        giga_multiply_adds=cost.multiply_adds / 1e9,
        giga_bytes_at_least=moved / 1e9,
        gflops_reached=2 * cost.multiply_adds / seconds / 1e9,
        gflops_of_matrix_product=2 * ceilings.multiply_adds_a_second / 1e9,
        share_of_matrix_product=share,
        gigabytes_a_second_of_copy=ceilings.bytes_a_second / 1e9,
        share_of_copy=moved / seconds / ceilings.bytes_a_second,
        floor_by_multiplications_s=cost.multiply_adds / ceilings.multiply_adds_a_second,
        floor_by_bytes_s=moved / ceilings.bytes_a_second,
    )
    return share
