"""A picture as it looks from its lungs: the same wherever and however large the chest is."""

import pytest
import torch
from torch import Tensor

from multimix_monai.transforms.lung_view import (
    LUNG_WEIGHT,
    SIDE,
    LungFrame,
    lung_frame,
    lung_measures,
    lung_views,
    view,
)

S = 96


def chest(*, top: int = 30, left: int = 20, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """A bright body (1, S, S) with two dark lungs, each half as wide as high, and these lungs."""
    height, width = round(36 * scale), round(18 * scale)
    image, lungs = torch.full((1, S, S), 0.8), torch.zeros(1, S, S)
    for x in (left, left + round(26 * scale)):
        lungs[:, top : top + height, x : x + width] = 1
    return torch.where(lungs > 0, 0.2, image), lungs


def test_the_frame_is_the_lungs_mean_and_standard_deviation() -> None:
    frame = lung_frame(chest(top=30, left=20)[1])
    assert float(frame.row) == pytest.approx((30 + 18) / S * 2 - 1, abs=1e-5)
    assert float(frame.column) == pytest.approx((20 + 22) / S * 2 - 1, abs=1e-5)
    assert float(frame.height) == pytest.approx(36 / 12**0.5 / S * 2, rel=1e-3)


def test_a_far_patch_that_is_taken_for_lung_hardly_moves_the_frame() -> None:
    lungs = chest(top=20, left=20)[1]
    wrong = lungs.clone()
    wrong[:, 88:, 88:] = 1
    for a, b in zip(lung_frame(lungs), lung_frame(wrong), strict=True):
        assert float(a) == pytest.approx(float(b), abs=0.02)


def test_views_of_a_chest_that_is_moved_and_larger_are_alike_and_of_a_turned_one_are_not() -> None:
    small, large = lung_views(*chest()), lung_views(*chest(top=10, left=14, scale=1.5))
    turned = lung_views(*(plane.rot90(1, (1, 2)) for plane in chest()))
    assert (small - large).abs().mean() < 0.25 < 0.5 < (small - turned).abs().mean()


def test_outside_of_the_picture_a_view_is_0_and_inside_it_is_the_picture() -> None:
    whole = LungFrame(*(torch.tensor([n]) for n in (0.0, 0.0, 1 / 2.2, 1 / 2.2)))
    image = torch.rand(1, S, S)
    seen = torch.nn.functional.avg_pool2d(image[None], S // SIDE)[0]
    assert view(torch.ones(1, S, S), whole).allclose(torch.ones(1, SIDE, SIDE), atol=0.07)
    assert view(image, whole)[0, 1:-1, 1:-1].allclose(seen[0, 1:-1, 1:-1], atol=0.12)
    beyond = whole._replace(width=torch.tensor([2 / 2.2]))
    assert view(image, beyond)[0, :, 0].abs().max() == 0


def test_exposure_drops_out_of_the_pictures_part_of_a_view() -> None:
    image, lungs = chest()
    assert lung_views(image, lungs).allclose(lung_views(0.5 * image + 0.2, lungs), atol=1e-4)
    n = SIDE * SIDE
    part = lung_views(image, lungs)[:, n:]
    assert part.min() >= 0 and float(part.max()) == pytest.approx(LUNG_WEIGHT)


def test_measures_tell_contrast_and_uncertainty() -> None:
    image, lungs = chest()
    dark, bright = lung_measures(image, lungs), lung_measures(1 - image, lungs)
    assert float(dark["darker_than_around"]) == pytest.approx(0.6, abs=1e-5)
    assert float(bright["darker_than_around"]) == pytest.approx(-0.6, abs=1e-5)
    assert float(dark["area"]) == pytest.approx(2 * 36 * 18 / S**2)
    assert float(dark["uncertainty"]) == 0
    assert float(lung_measures(image, 0.5 * lungs)["uncertainty"]) > 1


def test_no_lung_at_all_still_gives_finite_numbers() -> None:
    empty = torch.zeros(2, S, S)
    assert lung_views(empty, empty).isfinite().all()
    assert all(values.isfinite().all() for values in lung_measures(empty, empty).values())
