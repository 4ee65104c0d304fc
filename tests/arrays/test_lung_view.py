"""A picture as it looks from its lungs: the same wherever and however large the chest is."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from multimix_monai.arrays.lung_measures import lung_measures
from multimix_monai.arrays.lung_view import (
    FINER,
    LUNG_WEIGHT,
    REACH,
    SIDE,
    Array,
    LungFrame,
    lung_frame,
    lung_views,
    view,
)

S = 96


def chest(*, top: int = 30, left: int = 20, scale: float = 1.0) -> tuple[Array, Array]:
    """A bright body (1, S, S) with two dark lungs, each half as wide as high, and these lungs."""
    height, width = round(36 * scale), round(18 * scale)
    image, lungs = np.full((1, S, S), 0.8, np.float32), np.zeros((1, S, S), np.float32)
    for x in (left, left + round(26 * scale)):
        lungs[:, top : top + height, x : x + width] = 1
    image[lungs > 0] = 0.2
    return image, lungs


def test_the_frame_is_the_lungs_mean_and_standard_deviation() -> None:
    frame = lung_frame(chest(top=30, left=20)[1])
    assert float(frame.row[0]) == pytest.approx((30 + 18) / S * 2 - 1, abs=1e-5)
    assert float(frame.column[0]) == pytest.approx((20 + 22) / S * 2 - 1, abs=1e-5)
    assert float(frame.height[0]) == pytest.approx(36 / 12**0.5 / S * 2, rel=1e-3)


def test_a_far_patch_that_is_taken_for_lung_hardly_moves_the_frame() -> None:
    lungs = chest(top=20, left=20)[1]
    wrong = lungs.copy()
    wrong[:, 88:, 88:] = 1
    for a, b in zip(lung_frame(lungs), lung_frame(wrong), strict=True):
        assert float(a[0]) == pytest.approx(float(b[0]), abs=0.02)


def test_views_of_a_chest_that_is_moved_and_larger_are_alike_and_of_a_turned_one_are_not() -> None:
    small, large = lung_views(*chest()), lung_views(*chest(top=10, left=14, scale=1.5))
    turned = lung_views(*(np.rot90(plane, axes=(1, 2)) for plane in chest()))
    assert np.abs(small - large).mean() < 0.25 < 0.5 < np.abs(small - turned).mean()


def test_outside_of_the_picture_a_view_is_0_and_inside_it_is_the_picture() -> None:
    whole = LungFrame(*(np.array([n], np.float32) for n in (0.0, 0.0, 1 / 2.2, 1 / 2.2)))
    image = np.random.default_rng(0).random((1, S, S), dtype=np.float32)
    seen = image.reshape(1, SIDE, S // SIDE, SIDE, S // SIDE).mean(axis=(2, 4))
    ones = np.ones((1, SIDE, SIDE))
    assert np.allclose(view(np.ones((1, S, S), np.float32), whole), ones, atol=0.07)
    assert np.allclose(view(image, whole)[0, 1:-1, 1:-1], seen[0, 1:-1, 1:-1], atol=0.12)
    beyond = whole._replace(width=np.array([2 / 2.2], np.float32))
    assert np.abs(view(image, beyond)[0, :, 0]).max() == 0


def test_a_view_is_torchs_grid_sample_and_pooling() -> None:
    rng = np.random.default_rng(0)
    planes = rng.random((3, S, S), dtype=np.float32)
    frame = LungFrame(*rng.uniform(0.1, 0.4, (4, 3)).astype(np.float32))
    theta = torch.zeros(3, 2, 3)
    for axis, (middle, spread) in enumerate(((frame[0], frame[2]), (frame[1], frame[3]))):
        theta[:, axis, axis] = REACH * torch.from_numpy(spread)
        theta[:, axis, 2] = torch.from_numpy(middle)
    points = F.affine_grid(theta, [3, 1, FINER * SIDE, FINER * SIDE], align_corners=False)
    sampled = F.grid_sample(torch.from_numpy(planes)[:, None], points, align_corners=False)
    expected = F.avg_pool2d(sampled, FINER)[:, 0].numpy()
    assert np.allclose(view(planes, frame), expected, atol=1e-5)


def test_exposure_drops_out_of_the_pictures_part_of_a_view() -> None:
    image, lungs = chest()
    assert np.allclose(lung_views(image, lungs), lung_views(0.5 * image + 0.2, lungs), atol=1e-4)
    n = SIDE * SIDE
    part = lung_views(image, lungs)[:, n:]
    assert part.min() >= 0 and float(part.max()) == pytest.approx(LUNG_WEIGHT)


def test_measures_tell_contrast_and_uncertainty() -> None:
    image, lungs = chest()
    dark, bright = lung_measures(image, lungs), lung_measures(1 - image, lungs)
    assert float(dark["darker_than_around"][0]) == pytest.approx(0.6, abs=1e-5)
    assert float(bright["darker_than_around"][0]) == pytest.approx(-0.6, abs=1e-5)
    assert float(dark["area"][0]) == pytest.approx(2 * 36 * 18 / S**2)
    assert float(dark["uncertainty"][0]) == 0
    assert float(lung_measures(image, 0.5 * lungs)["uncertainty"][0]) > 1


def test_no_lung_at_all_still_gives_finite_numbers() -> None:
    empty = np.zeros((2, S, S), np.float32)
    assert np.isfinite(lung_views(empty, empty)).all()
    assert all(np.isfinite(values).all() for values in lung_measures(empty, empty).values())
