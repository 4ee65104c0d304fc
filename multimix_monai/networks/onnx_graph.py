"""Network, for other runtimes: MultiMix in evaluation, written out as an ONNX graph.

The exporter of torch would translate the network's operations one by one, and onnxruntime is slow
at some of them; here each step is what it is fast at. The numbers are the same but for rounding
(tests/networks/test_onnx_graph.py), and `multimix export` checks every file that it writes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from multimix_monai.networks.blocks import EPS, SLOPE
from multimix_monai.networks.bridge import BRIDGE_SCALE
from multimix_monai.networks.decoder import Decoder
from multimix_monai.networks.encoder import Encoder
from multimix_monai.networks.multimix import MultiMix
from multimix_monai.networks.onnx_nodes import Nodes

if TYPE_CHECKING:
    from onnx import ModelProto

IMAGE, PRED = "image", "pred"
TILE = 4  # side of the squares of pixels that the saliency's last convolution gives at a time
STEEP = 1e30  # makes of any number above 0 more than 1


class Plane(NamedTuple):
    """What a node gives, (B, channels, H, W)."""

    name: str
    channels: int


class NodeLayer(NamedTuple):
    """One normalised convolution on the way forward: names of what its derivative needs."""

    weight: Tensor  # (out, in, 3, 3)
    normed: str  # (B, out, H, W)
    inv_std: str  # (B, out, 1, 1)


class NodeStage(NamedTuple):
    """An encoder block and its pooling on the way forward."""

    layers: tuple[NodeLayer, NodeLayer]
    feature: Plane  # (B, out, H, W)
    pooled: str  # (B, out, H / 2, W / 2)
    indices: str  # the same, of each window's first maximum


def onnx_model(network: MultiMix) -> ModelProto:
    """The graph of a network, with its weights.

    Returns:
        From `image`, float32 (batch, in_channels, height, width), height and width divisible by
        32, to `pred`, float32 (batch, mask + 1 + classes, height, width), as of `PackedMultiMix`.

    Raises:
        ImportError: onnx is not installed.
        ValueError: the network's bridge is another than "saliency".
    """
    if network.bridge != "saliency":
        raise ValueError(
            f"the network's bridge is {network.bridge!r}, which serves comparison and has no ONNX "
            'form: export one with bridge "saliency"'
        )
    op, encoder, head = Nodes(), network.encoder, network.decoder.head
    stages = encode(op, encoder)
    class_logits = classify(op, encoder, stages[-1].pooled)
    saliency = saliency_of(op, encoder, stages, class_logits)
    bridge = op("Concat", IMAGE, saliency, axis=1)
    bridge = op("AveragePool", bridge, kernel_shape=2 * [BRIDGE_SCALE], strides=2 * [BRIDGE_SCALE])
    features = [stage.feature for stage in stages]
    x = decode(op, network.decoder, features, Plane(bridge, network.in_channels + 1))
    seg_logits = op("Conv", x, *head.parameters())
    size = op("Concat", [1, 1], op("Shape", IMAGE, start=2), axis=0)
    planes = op("Expand", op("Unsqueeze", class_logits, [2, 3]), size)
    op.named([PRED], "Concat", seg_logits, saliency, planes, axis=1)
    channels = head.out_channels + 1 + encoder.classifier.out_features
    return op.model("MultiMix", image=(IMAGE, network.in_channels), pred=(PRED, channels))


def encode(op: Nodes, encoder: Encoder) -> list[NodeStage]:
    """Add all blocks and poolings."""
    x, stages = IMAGE, []
    for number, block in enumerate(encoder.blocks):
        layers = []
        for conv in (block.conv1, block.conv2):
            normed, inv_std = norm(op, convolve(op, x, conv.weight))
            layers.append(NodeLayer(conv.weight, normed, inv_std))
            x = op("LeakyRelu", normed, alpha=SLOPE)
        outputs = [f"pooled_{number}", f"indices_{number}"]
        pooled, indices = op.named(outputs, "MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        feature = Plane(x, block.conv2.out_channels)
        stages.append(NodeStage((layers[0], layers[1]), feature, pooled, indices))
        x = pooled
    return stages


def convolve(op: Nodes, x: str, weight: Tensor) -> str:
    """Add a convolution 3x3 before a norm: the bias goes, since the norm subtracts the mean.

    With it, numbers are larger and so is their rounding.
    """
    return op("Conv", x, weight, pads=[1, 1, 1, 1])


def norm(op: Nodes, y: str) -> tuple[str, str]:
    """Add an InstanceNorm; its result and 1 / sqrt(variance + eps)."""
    centred = op("Sub", y, mean(op, y))
    variance = mean(op, op("Mul", centred, centred))
    inv_std = op("Reciprocal", op("Sqrt", op("Add", variance, EPS)))
    return op("Mul", centred, inv_std), inv_std


def mean(op: Nodes, x: str) -> str:
    """Add the mean over the plane. (B, C, H, W) -> (B, C, 1, 1).

    By rows first: onnxruntime adds up one number after the other, and over a whole plane that
    rounds away 3 parts of 1,000 of a mask logit at 1024x1024.
    """
    return op("ReduceMean", op("ReduceMean", x, [3], keepdims=1), [2], keepdims=1)


def classify(op: Nodes, encoder: Encoder, pooled: str) -> str:
    """Add the class logits, (B, classes)."""
    linear = encoder.classifier
    return op("Gemm", op("Flatten", mean(op, pooled)), linear.weight, linear.bias, transB=1)


def saliency_of(op: Nodes, encoder: Encoder, stages: Sequence[NodeStage], logits: str) -> str:
    """Add the saliency, (B, 1, H, W), as of `saliency.saliency`."""
    winner = op("Gather", encoder.classifier.weight, op("ArgMax", logits, axis=1, keepdims=0))
    area = op("ReduceProd", op("Shape", stages[-1].pooled, start=2))
    share = op("Div", winner, op("Cast", area, to=op.onnx.TensorProto.FLOAT))
    grad = op("Unsqueeze", share, [2, 3])
    for stage in reversed(stages):
        grad = pooled_gradient(op, grad, stage)
        grad = convolve(op, grad, turned(stage.layers[1].weight))
        grad = layer_gradient(op, grad, stage.layers[0])
        weight = turned(stage.layers[0].weight)
        grad = convolve(op, grad, weight) if stage is not stages[0] else tiles(op, grad, weight)
    return op("ReduceMax", op("Abs", grad), [1], keepdims=1)


def pooled_gradient(op: Nodes, grad: str, stage: NodeStage) -> str:
    """Add the way back through pooling, LeakyReLU and InstanceNorm. (B, C, h, w) -> (B, C, H, W).

    Of each window only the first maximum has a gradient: until it is put there, a quarter of the
    plane is enough.
    """
    layer = stage.layers[1]
    grad = op("Mul", op("Mul", slope(op, stage.pooled), layer.inv_std), grad)
    normed = op("LeakyRelu", stage.pooled, alpha=1 / SLOPE)
    means = [op("Mul", mean(op, x), 0.25) for x in (grad, op("Mul", grad, normed))]
    size = op("Shape", stage.feature.name)
    spread = op("MaxUnpool", grad, stage.indices, size, kernel_shape=[2, 2], strides=[2, 2])
    return centred(op, spread, layer.normed, means)


def layer_gradient(op: Nodes, grad: str, layer: NodeLayer) -> str:
    """Add the way back through LeakyReLU and InstanceNorm. (B, C, H, W) -> the same."""
    grad = op("Mul", op("Mul", slope(op, layer.normed), layer.inv_std), grad)
    means = [mean(op, x) for x in (grad, op("Mul", grad, layer.normed))]
    return centred(op, grad, layer.normed, means)


def slope(op: Nodes, x: str) -> str:
    """Add LeakyReLU's derivative, 1 where x is above 0, else SLOPE; a comparison is slower."""
    return op("Clip", op("Mul", x, STEEP), SLOPE, 1.0)


def centred(op: Nodes, grad: str, normed: str, means: Sequence[str]) -> str:
    """Add what is left of g, scaled by inv_std, in InstanceNorm: g - mean(g) - x̂ mean(g x̂)."""
    return op("Sub", op("Sub", grad, op("Mul", normed, means[1])), means[0])


def turned(weight: Tensor) -> Tensor:
    """The kernel that goes back through a convolution. (out, in, 3, 3) -> (in, out, 3, 3)."""
    return weight.transpose(0, 1).flip(2, 3)


def tiles(op: Nodes, x: str, weight: Tensor) -> str:
    """Add a convolution 3x3 to few channels, TILE x TILE pixels at a time.

    onnxruntime computes 16 channels in the time of one: let them be 16 pixels.
    """
    out_channels, in_channels = weight.shape[:2]
    side = TILE + 2
    wide = weight.new_zeros(out_channels, TILE, TILE, in_channels, side, side)
    for row in range(TILE):
        for column in range(TILE):
            wide[:, row, column, :, row : row + 3, column : column + 3] = weight.detach()
    x = op("Conv", x, wide.flatten(0, 2), strides=[TILE, TILE], pads=[1, 1, 1, 1])
    return op("DepthToSpace", x, blocksize=TILE, mode="CRD")


def decode(op: Nodes, decoder: Decoder, features: Sequence[Plane], bridge: Plane) -> str:
    """Add all blocks. features: finest first -> (B, widths[0], H, W)."""
    (x, channels), extras = features[-1], [bridge]
    for block, skip in zip(decoder.blocks, features[-2::-1], strict=True):
        # The maximum of one pixel is itself; onnxruntime upsamples in a third of the time after it.
        x = op("MaxPool", x, kernel_shape=[1, 1])
        x = op("Resize", x, "", [1.0, 1.0, 2.0, 2.0], mode="linear")
        parts = [Plane(x, channels), skip, *extras]
        x = activate(op, convolve_parts(op, parts, block.conv1.weight))
        x = activate(op, convolve(op, x, block.conv2.weight))
        channels, extras = block.conv2.out_channels, []
    return x


def convolve_parts(op: Nodes, parts: Sequence[Plane], weight: Tensor) -> str:
    """Add a convolution of parts that need not be concatenated: the sum of that of each."""
    weights = weight.split([part.channels for part in parts], dim=1)
    terms = [convolve(op, part.name, w) for part, w in zip(parts, weights, strict=True)]
    return functools.reduce(lambda total, term: op("Add", total, term), terms)


def activate(op: Nodes, y: str) -> str:
    """Add InstanceNorm and LeakyReLU."""
    return op("LeakyRelu", norm(op, y)[0], alpha=SLOPE)
