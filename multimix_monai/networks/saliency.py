"""Network, third stop: where the image made the winning class score, without autograd.

The encoder is a short chain, so its vector-Jacobian product is written out. Nothing here needs a
graph: the saliency works under no_grad and inference_mode, leaves no gradients behind, and can be
exported.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from multimix_monai.networks import fused
from multimix_monai.networks.blocks import SLOPE, Layer
from multimix_monai.networks.encoder import Encoded, Stage
from multimix_monai.networks.fused import FusedStage


def saliency(encoded: Encoded, *, classifier_weight: Tensor) -> Tensor:
    """Absolute gradient of the winning class logit by the input, s = |d max_k z_k / d x|.

    Args:
        encoded: of `Encoder.forward_recorded` with B images of (C, H, W) kept.
        classifier_weight: (classes, widths[-1]).

    Returns:
        (B, 1, H, W), at least 0, without gradient; over several input channels the largest.

    Source: MultiMix (arXiv 2110.13185), section 3.2; Simonyan et al. 2013 (arXiv 1312.6034),
        section 3.1.
    Differs: an explicit vector-Jacobian product instead of a backward pass through the live graph.
    """
    if encoded.stages is None:
        raise ValueError("saliency needs a record of the pass: call Encoder.forward_recorded")
    with torch.no_grad():
        grad = classifier_gradient(encoded, classifier_weight.detach())
        for stage in reversed(encoded.stages):
            grad = stage_gradient(grad, stage)
        return grad.abs().amax(dim=1, keepdim=True)


def classifier_gradient(encoded: Encoded, weight: Tensor) -> Tensor:
    """The winning class' row, spread over the area that was averaged -> (B, widths[-1], h, w)."""
    n, _, height, width = encoded.features[-1].shape
    winner = weight[encoded.class_logits[:n].argmax(dim=1)]
    area = (height // 2) * (width // 2)
    return (winner / area)[:, :, None, None].expand(-1, -1, height // 2, width // 2)


def stage_gradient(grad: Tensor, stage: Stage | FusedStage) -> Tensor:
    """Back through pooling and block, in the way that it was gone forward."""
    if isinstance(stage, FusedStage):
        return fused.stage_gradient(grad, stage)
    first, second = stage.block.layers
    if stage.block.dropout_scale is None:
        grad = pooled_gradient(grad, stage)
    else:
        grad = unpool(grad, stage) * stage.block.dropout_scale
        grad = activation_gradient(grad, second)
    grad = F.conv_transpose2d(grad, second.weight, padding=1)
    return F.conv_transpose2d(activation_gradient(grad, first), first.weight, padding=1)


def pooled_gradient(grad: Tensor, stage: Stage) -> Tensor:
    """Back through pooling, LeakyReLU and InstanceNorm. (B, C, h, w) -> (B, C, H, W).

    Three of four pixels have no gradient before the norm: its means are taken over the pooled
    plane, and only what they add to every pixel over the whole one.
    """
    layer = stage.block.layers[1]
    grad = torch.ops.aten.leaky_relu_backward(grad, stage.pooled, SLOPE, False)
    normed = F.leaky_relu(stage.pooled, 1 / SLOPE)
    scale = layer.inv_std.to(grad.dtype)
    shift = -scale * grad.mean(dim=(2, 3), keepdim=True) / 4
    tilt = -scale * (grad * normed).mean(dim=(2, 3), keepdim=True) / 4
    everywhere = torch.addcmul(shift, layer.normed, tilt)
    at_maximum = torch.addcmul(shift, normed, tilt).addcmul_(grad, scale)
    return put(at_maximum, stage.pool_indices, onto=everywhere)


def unpool(grad: Tensor, stage: Stage) -> Tensor:
    """The gradient goes to the first maximum of each window. (B, C, h, w) -> (B, C, H, W)."""
    zeros = grad.new_zeros(grad.shape[0], *stage.size, grad.shape[1]).movedim(3, 1)
    return put(grad, stage.pool_indices, onto=zeros)


def put(values: Tensor, indices: Tensor, *, onto: Tensor) -> Tensor:
    """Write values over a plane of its own. values, indices: (B, C, h, w) -> (B, C, H, W)."""
    flat = channels_last(onto).scatter_(1, channels_last(indices), channels_last(values))
    return flat.unflatten(1, onto.shape[2:]).movedim(3, 1)


def channels_last(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H W, C), without a copy where memory already lies so."""
    return x.movedim(1, 3).flatten(1, 2)


def activation_gradient(grad: Tensor, layer: Layer) -> Tensor:
    """Back through LeakyReLU and InstanceNorm."""
    grad = torch.ops.aten.leaky_relu_backward(grad, layer.normed, SLOPE, False)
    return norm_gradient(grad, layer.normed, layer.inv_std)


def norm_gradient(grad: Tensor, normed: Tensor, inv_std: Tensor) -> Tensor:
    """Gradient of InstanceNorm by its input: inv_std (g - mean(g) - x̂ mean(g x̂)).

    As two multiply-adds, which read and write the plane half as often as the formula's own steps.
    """
    mean = grad.mean(dim=(2, 3), keepdim=True)
    projection = (grad * normed).mean(dim=(2, 3), keepdim=True)
    scale = inv_std.to(grad.dtype)
    return torch.addcmul(-scale * mean, grad, scale).addcmul_(normed, -scale * projection)
