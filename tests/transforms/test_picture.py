from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from multimix_monai.transforms.picture import KeepPicture


def picture(pixels: np.ndarray, **options: int | None) -> np.ndarray:
    item = {"image": MetaTensor(torch.from_numpy(pixels.astype(np.float32))[None])}
    found: np.ndarray = KeepPicture(**options)(item)["picture"]
    assert found.dtype == np.uint8
    return found


@pytest.mark.parametrize(("shape", "reduced"), [((300, 200), (60, 40)), ((120, 480), (15, 60))])
def test_a_large_image_is_reduced_and_nothing_in_it_moves(shape: tuple, reduced: tuple) -> None:
    half = np.zeros(shape)
    half[: shape[0] // 2] = 0.8
    small = picture(half, longest_side=60)
    assert small.shape == reduced
    bright = (small > 102).mean(axis=1)
    assert bright[: reduced[0] // 2].all() and not bright[(reduced[0] + 1) // 2 :].any()


@pytest.mark.parametrize("options", [{}, {"longest_side": 50}, {"longest_side": None}])
def test_an_image_that_is_small_enough_keeps_every_pixel(options: dict) -> None:
    steps = np.arange(50 * 40).reshape(50, 40) % 256
    assert np.array_equal(picture(steps / 255, **options), steps)


def test_without_a_limit_a_large_image_keeps_every_pixel() -> None:
    assert picture(np.full((1500, 1100), 0.5), longest_side=None).shape == (1500, 1100)
    assert picture(np.full((1500, 1100), 0.5)).shape == (1024, 751)


def test_a_limit_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="picture_side is 0; it must be at least 1, or null"):
        KeepPicture(0)
