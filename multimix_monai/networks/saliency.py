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
from multimix_monai.networks.blocks import SLOPE, BlockRecord, Layer
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
    return block_gradient(unpool(grad, stage), stage.block)


def unpool(grad: Tensor, stage: Stage) -> Tensor:
    """The gradient goes to the first maximum of each window. (B, C, h, w) -> (B, C, H, W)."""
    height, width = stage.size
    indices, values = channels_last(stage.pool_indices), channels_last(grad)
    flat = grad.new_zeros(grad.shape[0], height * width, grad.shape[1])
    return flat.scatter(1, indices, values).unflatten(1, (height, width)).movedim(3, 1)


def channels_last(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H W, C), without a copy where memory already lies so."""
    return x.movedim(1, 3).flatten(1, 2)


def block_gradient(grad: Tensor, record: BlockRecord) -> Tensor:
    """Back through dropout and both layers of a block. (B, out, H, W) -> (B, in, H, W)."""
    if record.dropout_scale is not None:
        grad = grad * record.dropout_scale
    for layer in reversed(record.layers):
        grad = layer_gradient(grad, layer)
    return grad


def layer_gradient(grad: Tensor, layer: Layer) -> Tensor:
    """Back through LeakyReLU, InstanceNorm and the convolution."""
    grad = torch.ops.aten.leaky_relu_backward(grad, layer.normed, SLOPE, False)
    grad = norm_gradient(grad, layer.normed, layer.inv_std)
    return F.conv_transpose2d(grad, layer.weight, padding=1)


def norm_gradient(grad: Tensor, normed: Tensor, inv_std: Tensor) -> Tensor:
    """Gradient of InstanceNorm by its input: inv_std (g - mean(g) - x̂ mean(g x̂)).

    As two multiply-adds, which read and write the plane half as often as the formula's own steps.
    """
    mean = grad.mean(dim=(2, 3), keepdim=True)
    projection = (grad * normed).mean(dim=(2, 3), keepdim=True)
    scale = inv_std.to(grad.dtype)
    return torch.addcmul(-scale * mean, grad, scale).addcmul_(normed, -scale * projection)
