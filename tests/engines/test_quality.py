"""The check by a horizontal flip, on networks that are even and networks that are not."""

import pytest
import torch
from torch import Tensor

from multimix_monai.engines import FlipCheck


def packed(mask_logits: Tensor, pneumonia_logits: Tensor) -> Tensor:
    """(B, 1, S, S), (B,) -> (B, 4, S, S)."""
    plane = pneumonia_logits[:, None, None, None].expand_as(mask_logits)
    zeros = torch.zeros_like(mask_logits)
    return torch.cat([mask_logits, zeros, zeros, plane], dim=1)


def even(images: Tensor) -> Tensor:
    """The mask is what is bright; pneumonia is the mean."""
    return packed(20 * (images - 0.5), images.mean(dim=(1, 2, 3)))


def left_only(images: Tensor) -> Tensor:
    """Sees the left half of what it is given, and pneumonia only there."""
    seen = images.clone()
    seen[..., images.shape[-1] // 2 :] = 0
    return packed(20 * (seen - 0.5), seen.sum(dim=(1, 2, 3)))


def measures(images: Tensor, network: object) -> list[dict[str, float]]:
    found = FlipCheck(threshold_prob=0.6)(images, network(images), network)  # type: ignore[operator]
    return [case["quality"]["measures"] for case in found]


def test_a_network_that_treats_both_sides_alike_agrees_with_itself() -> None:
    torch.manual_seed(0)
    for case in measures(torch.rand(3, 1, 8, 8), even):
        assert case["flip_mask"] == 0
        assert case["flip_prob"] == pytest.approx(0, abs=1e-6)


def test_a_network_that_sees_one_side_contradicts_itself_where_the_sides_differ() -> None:
    images = torch.zeros(2, 1, 4, 4)
    images[0, :, 1:3, 0] = 1  # two pixels on the left
    images[1, :, 1, 1], images[1, :, 1, 2] = 1, 1  # one on each side
    first, second = measures(images, left_only)
    assert first["flip_mask"] == 1 and second["flip_mask"] == 1
    assert first["flip_prob"] == pytest.approx(torch.sigmoid(torch.tensor(2.0)).item() - 0.5)
    assert second["flip_prob"] == 0


def test_the_measures_are_plain_floats_and_there_is_one_pass_a_batch() -> None:
    passes = []

    def counted(images: Tensor) -> Tensor:
        passes.append(len(images))
        return even(images)

    images = torch.rand(5, 1, 8, 8)
    found = FlipCheck()(images, even(images), counted)
    assert passes == [5] and len(found) == 5
    assert all(type(v) is float for case in found for v in case["quality"]["measures"].values())
