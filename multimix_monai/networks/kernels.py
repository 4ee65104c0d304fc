"""Network, fast way: what lies between two convolutions, each way one formula over the batch.

Every function here is plain arithmetic on channels-last planes, (B, N, C) with N = H W, or
(B, H/2, 2, W/2, 2, C), computed in float32 whatever comes in. As they stand they are slow: torch's
compiler makes of each one or two loops over memory, where single operations take ten.
"""

from __future__ import annotations

import torch
from torch import Tensor

from multimix_monai.networks.blocks import EPS, SLOPE


def norm_act(y: Tensor) -> tuple[Tensor, Tensor]:
    """InstanceNorm, then LeakyReLU. y: (B, N, C) -> the same, and 1 / std, float32 (B, 1, C)."""
    active, inv_std = _active(y)
    return active.to(y.dtype), inv_std


def norm_act_drop(y: Tensor, noise: Tensor, cut: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same, then dropout where a byte of noise is below `cut`, float32 () in [0, 256).

    y: (B, N, C), noise: uint8 (B, N, C) -> after dropout, before dropout, and 1 / std.
    """
    active, inv_std = _active(y)
    return _dropped(active, noise, cut).to(y.dtype), active.to(y.dtype), inv_std


def norm_act_gradient(grad: Tensor, active: Tensor, inv_std: Tensor) -> Tensor:
    """Back through `norm_act`. grad, active: (B, N, C) -> (B, N, C).

    What came out says what went in, so that nothing else is kept (in-place activated batch norm,
    arXiv 1712.02616, section 3). InstanceNorm's own: inv_std (g - mean(g) - x̂ mean(g x̂)).
    """
    out = active.float()
    normed = torch.minimum(out, out / SLOPE)
    through = torch.where(out > 0, grad.float(), SLOPE * grad.float())
    mean = through.mean(dim=1, keepdim=True)
    projection = (through * normed).mean(dim=1, keepdim=True)
    return (inv_std * (through - mean - normed * projection)).to(active.dtype)


def norm_act_drop_gradient(
    grad: Tensor, noise: Tensor, cut: Tensor, active: Tensor, inv_std: Tensor
) -> Tensor:
    """Back through `norm_act_drop`."""
    return norm_act_gradient(_dropped(grad.float(), noise, cut), active, inv_std)


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum of each 2x2 window, and which of the four it was, the first if several are.

    x: (B, h, 2, w, 2, C) -> (B, h, w, C) and uint8 (B, h, w, C).
    """
    a, b, c, d = x[:, :, 0, :, 0], x[:, :, 0, :, 1], x[:, :, 1, :, 0], x[:, :, 1, :, 1]
    largest = torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
    later = torch.where(c == largest, 2, 3)
    which = torch.where(a == largest, 0, torch.where(b == largest, 1, later))
    return largest, which.to(torch.uint8)


def unpool(grad: Tensor, which: Tensor) -> Tensor:
    """Back through `pool`. grad, which: (B, h, w, C) -> float32 (B, h, 2, w, 2, C)."""
    places = torch.arange(4, dtype=torch.float32, device=grad.device).view(1, 1, 2, 1, 2, 1)
    hit = which.float()[:, :, None, :, None] == places
    return torch.where(hit, grad.float()[:, :, None, :, None], 0.0)


def pooled_gradient(
    cut: Tensor, grad: Tensor, which: Tensor, noise: Tensor, active: Tensor, inv_std: Tensor
) -> Tensor:
    """Back through `pool` and `norm_act_drop`: (B, h, w, C) -> (B, N, C)."""
    spread = unpool(grad, which).reshape(active.shape)
    return norm_act_gradient(_dropped(spread, noise, cut), active, inv_std)


def forked_gradient(
    forked: Tensor,
    cut: Tensor,
    grad: Tensor,
    which: Tensor,
    noise: Tensor,
    active: Tensor,
    inv_std: Tensor,
) -> Tensor:
    """As `pooled_gradient`, where the decoder took the feature too and gives back (B, H, W, C)."""
    spread = unpool(grad, which).reshape(active.shape) + forked.reshape(active.shape).float()
    return norm_act_gradient(_dropped(spread, noise, cut), active, inv_std)


def upsample_gradient(grad: Tensor) -> Tensor:
    """Back through bilinear upsampling by 2. grad: (B, h, 2, w, 2, C) -> (B, h, w, C).

    Forward a pixel's two children take 3/4 of it and 1/4 of the neighbour on their side; at the
    border the pixel is its own neighbour.
    """
    rows = _halved(grad[:, :, 0].float(), grad[:, :, 1].float(), dim=1)
    return _halved(rows[:, :, :, 0], rows[:, :, :, 1], dim=2).to(grad.dtype)


def _active(y: Tensor) -> tuple[Tensor, Tensor]:
    centred = y.float() - y.float().mean(dim=1, keepdim=True)
    inv_std = torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + EPS)
    normed = centred * inv_std
    return torch.maximum(normed, SLOPE * normed), inv_std


def _dropped(x: Tensor, noise: Tensor, cut: Tensor) -> Tensor:
    # Bytes as floats: the compiler has vector code for their comparison alone.
    return torch.where(noise.float() >= cut, x * (256 / (256 - cut)), 0.0)


def _halved(even: Tensor, odd: Tensor, *, dim: int) -> Tensor:
    n = even.shape[dim]
    next_even = torch.cat([even.narrow(dim, 1, n - 1), odd.narrow(dim, n - 1, 1)], dim)
    last_odd = torch.cat([even.narrow(dim, 0, 1), odd.narrow(dim, 0, n - 1)], dim)
    return 0.75 * (even + odd) + 0.25 * (next_even + last_odd)
