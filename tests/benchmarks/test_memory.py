"""What it saves to keep freed memory between training steps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from multimix_monai.engines.memory import keep_freed_memory
from multimix_monai.networks import MultiMix


def test_keeping_freed_memory_against_giving_it_back(compare: Callable[..., Any]) -> None:
    if not keep_freed_memory():
        pytest.skip("the C library has no mallopt")
    torch.manual_seed(0)
    network, batch = MultiMix().train(), torch.rand(44, 1, 160, 160)

    def step(keep: bool) -> None:
        keep_freed_memory(keep)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = network(batch, decode_first=12)
        loss = out.seg_logits.float().square().mean() + out.class_logits.float().square().mean()
        loss.backward()

    try:
        result = compare(
            "training step with bf16, 12 of 44 images decoded, 160 px",
            ("memory kept", lambda: step(True)),
            ("given back", lambda: step(False)),
            pairs=5,
        )
    finally:
        keep_freed_memory(False)
    assert result.ratio > 0
