"""Engines: where bfloat16 pays."""

from __future__ import annotations

import torch


def supports_bf16(device: torch.device | str) -> bool:
    """Whether the device multiplies bfloat16 in hardware, so that autocast is a gain."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check and check())


def autocast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16, or on a GPU without it float16."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.bfloat16
