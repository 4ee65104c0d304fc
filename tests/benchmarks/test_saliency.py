"""What the saliency costs: against autograd, and as a pass of its own in training."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from multimix_monai.networks import MultiMix

SIZE = 128


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_saliency_without_autograd_against_autograd(compare: Callable[..., Any]) -> None:
    network, images = MultiMix().eval(), torch.rand(8, 1, SIZE, SIZE)

    def by_autograd() -> torch.Tensor:
        x = images.clone().requires_grad_()
        logits = network.encoder(x).class_logits
        return torch.autograd.grad(logits.amax(dim=1).sum(), x)[0].abs()

    def explicit() -> torch.Tensor:
        with torch.inference_mode():
            return network.encode(images, len(images))[1]

    result = compare("saliency of 8 images", ("explicit", explicit), ("autograd", by_autograd))
    assert result.ratio > 0


def training_step(saliency_pass: str, *, decoded: int, images: int) -> Callable[[], None]:
    """A forward and a backward pass over a batch of which the first part is decoded."""
    network = MultiMix(saliency_pass=saliency_pass).train()
    batch = torch.rand(images, 1, SIZE, SIZE)

    def step() -> None:
        out = network(batch, decode_first=decoded)
        (out.seg_logits.square().mean() + out.class_logits.square().mean()).backward()

    return step


def test_shared_saliency_pass_against_a_separate_one(compare: Callable[..., Any]) -> None:
    result = compare(
        "training step, 12 of 44 images decoded",
        ("shared", training_step("shared", decoded=12, images=44)),
        ("separate", training_step("separate", decoded=12, images=44)),
        pairs=5,
    )
    assert result.ratio > 0
