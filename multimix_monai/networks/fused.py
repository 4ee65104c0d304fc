"""Network, fast way: the same passes as the blocks', with compiled steps and channels last.

Between two convolutions of the plain way there are five to ten operations, each of which reads and
writes the whole activation; here there is one each way. Weights, results and saliency are the same
but for rounding (tests/networks/test_fused.py).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from multimix_monai.networks import kernels
from multimix_monai.networks.blocks import ConvBlock

Network = TypeVar("Network", bound=nn.Module)
logger = logging.getLogger(__name__)


class FusedStage(NamedTuple):
    """An encoder block and its pooling on the way forward, channels last, N = H W."""

    weights: tuple[Tensor, Tensor]  # of both convolutions
    active: tuple[Tensor, Tensor]  # (B, N, C) each, before dropout
    inv_std: tuple[Tensor, Tensor]  # (B, 1, C) each
    which: Tensor  # uint8 (B, h, w, C), see `kernels.pool`
    dropout: tuple[Tensor, Tensor]  # noise, uint8 (B, N, C), and cut, see `kernels.norm_act_drop`


@functools.cache
def compiled(name: str) -> Callable[..., Any]:
    """A function of `kernels`, compiled once for all sizes when it is first called."""
    function = torch.compile(getattr(kernels, name), dynamic=True)

    def call(*arguments: Tensor) -> Any:
        # One state of autocast and of autograd for both ways, or each would be compiled.
        with torch.autocast(arguments[0].device.type, enabled=False), torch.no_grad():
            return function(*(argument.detach() for argument in arguments))

    return call


def fuse(network: Network, *, wanted: bool = True) -> Network:
    """Let a MultiMix train the compiled way, channels last; the plain way where no compiler works.

    The first step then waits for the compiler, about 20 s; later runs find its work in a cache.
    """
    if wanted and compiler_works(next(network.parameters()).device):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.fused = True  # type: ignore[assignment]
    return network


def compiler_works(device: torch.device) -> bool:
    """Tries; logs why not."""
    try:
        compiled("norm_act")(torch.zeros(2, 3, 4, device=device))
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        logger.warning(
            f"training goes the plain way, at about half the speed: torch.compile does not work "
            f"here ({type(error).__name__}: {reason.strip()}); a C++ compiler may be missing"
        )
        return False
    return True


class NormAct(Function):
    """`kernels.norm_act` of (B, C, H, W), with 1 / std, which the saliency needs."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> tuple[Tensor, Tensor]:
        active, inv_std = compiled("norm_act")(planes(y))
        ctx.save_for_backward(active, inv_std)
        ctx.mark_non_differentiable(inv_std)
        ctx.set_materialize_grads(False)
        return images(active, height=y.shape[2]), inv_std

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: None) -> Tensor:
        back = compiled("norm_act_gradient")(planes(grad), *ctx.saved_tensors)
        return images(back, height=grad.shape[2])


class NormActDrop(Function):
    """`kernels.norm_act_drop` of (B, C, H, W)."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, noise: Tensor, cut: Tensor) -> Tensor:
        out, active, inv_std = compiled("norm_act_drop")(planes(y), noise, cut)
        ctx.save_for_backward(noise, cut, active, inv_std)
        return images(out, height=y.shape[2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        back = compiled("norm_act_drop_gradient")(planes(grad), *ctx.saved_tensors)
        return images(back, height=grad.shape[2]), None, None


class NormActDropPool(Function):
    """The same, then pooling by 2; the features of the first `keep` images go to the decoder too.

    Returns:
        pooled (B, C, h, w), features (keep, C, H, W), and what the saliency needs: active,
        inv_std, which.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, noise: Tensor, cut: Tensor, keep: int) -> tuple[Tensor, ...]:
        out, active, inv_std = compiled("norm_act_drop")(planes(y), noise, cut)
        out = images(out, height=y.shape[2])
        pooled, which = compiled("pool")(windows(out))
        ctx.save_for_backward(cut, which, noise, active, inv_std)
        ctx.mark_non_differentiable(active, inv_std, which)
        ctx.set_materialize_grads(False)
        return pooled.movedim(3, 1), out[:keep], active, inv_std, which

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, forked: Tensor | None, *_: None
    ) -> tuple[Tensor, None, None, None]:
        cut, which, *rest = ctx.saved_tensors
        back = rows(grad) if grad is not None else torch.zeros_like(which, dtype=rest[1].dtype)
        n = 0 if forked is None else len(forked)
        saved = (back, which, *rest)
        parts = []
        if forked is not None and n:
            first = (tensor[:n] for tensor in saved)
            parts.append(compiled("forked_gradient")(rows(forked), cut, *first))
        if n < len(which):
            parts.append(compiled("pooled_gradient")(cut, *(tensor[n:] for tensor in saved)))
        whole = torch.cat(parts) if len(parts) > 1 else parts[0]
        return images(whole, height=2 * which.shape[1]), None, None, None


class Upsample(Function):
    """Bilinear by 2, corners not aligned, in the dtype it is given."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        back: Tensor = compiled("upsample_gradient")(windows(grad))
        return back.movedim(3, 1)


def encode(
    blocks: Sequence[ConvBlock], x: Tensor, *, keep: int, dropout: bool
) -> tuple[list[Tensor], Tensor, list[FusedStage]]:
    """All encoder blocks. x: (B, C, H, W).

    Returns:
        features of the first `keep` images, finest first; the last pooling of all; the records of
        the first `keep`.
    """
    features, stages = [], []
    for block in blocks:
        inner, inner_inv_std = NormAct.apply(block.conv1(x))
        y = block.conv2(inner)
        noise, cut = dropout_noise(y, block.dropout_prob if dropout else 0.0)
        x, feature, active, inv_std, which = NormActDropPool.apply(y, noise, cut, keep)
        features.append(feature)
        stage = FusedStage(
            (block.conv1.weight, block.conv2.weight),
            (planes(inner)[:keep], active[:keep]),
            (inner_inv_std[:keep], inv_std[:keep]),
            which[:keep],
            (noise[:keep], cut),
        )
        stages.append(stage)
    return features, x, stages


def decode(blocks: Sequence[ConvBlock], features: Sequence[Tensor], bridge: Tensor) -> Tensor:
    """All decoder blocks, with dropout where they train. -> (B, widths[0], H, W)."""
    x = features[-1]
    extras = [bridge.to(x.dtype)]
    for block, skip in zip(blocks, features[-2::-1], strict=True):
        x = torch.cat([Upsample.apply(x), skip, *extras], dim=1)
        y = block.conv2(NormAct.apply(block.conv1(x))[0])
        x = NormActDrop.apply(y, *dropout_noise(y, block.dropout_prob if block.training else 0.0))
        extras = []
    return x


def stage_gradient(grad: Tensor, stage: FusedStage) -> Tensor:
    """The saliency's way back through a stage. (B, out, h, w) -> (B, in, H, W)."""
    height = 2 * grad.shape[2]
    noise, cut = stage.dropout
    back = compiled("pooled_gradient")(
        cut, rows(grad.to(stage.active[1])), stage.which, noise, stage.active[1], stage.inv_std[1]
    )
    grad = F.conv_transpose2d(images(back, height=height), stage.weights[1], padding=1)
    back = compiled("norm_act_gradient")(planes(grad), stage.active[0], stage.inv_std[0])
    return F.conv_transpose2d(images(back, height=height), stage.weights[0], padding=1)


def dropout_noise(y: Tensor, prob: float) -> tuple[Tensor, Tensor]:
    """A random byte an element, (B, N, C), and below which value it drops; y: (B, C, H, W)."""
    batch, channels, height, width = y.shape
    shape = (batch, height * width, channels)
    cut = torch.tensor(float(round(256 * prob)), device=y.device)
    if not prob:
        return torch.zeros(shape, dtype=torch.uint8, device=y.device), cut
    words = torch.empty(y.numel() // 8 + 1, dtype=torch.int64, device=y.device)
    words.random_(-(2**63), None)
    return words.view(torch.uint8)[: y.numel()].view(shape), cut


def rows(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C), each pixel's channels side by side in memory."""
    x = x.movedim(1, 3)
    return x if x.stride(3) == 1 else x.contiguous()


def planes(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H W, C)."""
    return rows(x).flatten(1, 2)


def windows(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H/2, 2, W/2, 2, C)."""
    return rows(x).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))


def images(x: Tensor, *, height: int) -> Tensor:
    """(B, H W, C) -> (B, C, H, W), channels last."""
    return x.unflatten(1, (height, -1)).movedim(3, 1)
