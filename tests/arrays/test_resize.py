"""Resizing equals Pillow's and torch's, which are independent of it, in both directions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from multimix_monai.arrays.resize import fitted_size, resize

SIZES = [
    ((512, 512), (160, 160)),
    ((160, 160), (512, 512)),
    ((37, 91), (65, 160)),
    ((65, 160), (37, 91)),
    ((300, 224), (160, 119)),
    ((64, 48), (64, 48)),
    ((2, 1), (96, 48)),
    ((1, 700), (1, 96)),
    ((40, 90), (80, 30)),  # one side up, one side down
    pytest.param((2446, 2010), (160, 131), marks=pytest.mark.slow),
    pytest.param((160, 131), (2446, 2010), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_resizing_is_pillows_and_torchs(before: tuple[int, int], after: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).random(before, dtype=np.float32)
    resized = resize(plane, size=after)
    assert resized.dtype == np.float32 and resized.flags.c_contiguous
    pillow = Image.fromarray(plane).resize(after[::-1], Image.Resampling.BILINEAR)
    assert np.abs(resized - np.asarray(pillow)).max() < 1e-6
    tensor = torch.from_numpy(plane)[None, None]
    theirs = F.interpolate(tensor, size=after, mode="bilinear", antialias=True)[0, 0].numpy()
    assert np.abs(resized - theirs).max() < 3e-5, "torch's positions are float32"


def test_the_same_size_is_a_copy_of_the_same_values() -> None:
    plane = np.random.default_rng(0).random((33, 41), dtype=np.float32)
    resized = resize(plane, size=(33, 41))
    assert np.array_equal(resized, plane) and not np.shares_memory(resized, plane)


def test_a_plane_of_any_layout_is_resized_alike() -> None:
    plane = np.random.default_rng(0).random((60, 44))
    expected = resize(plane.astype(np.float32), size=(20, 31))
    assert np.array_equal(resize(np.asfortranarray(plane), size=(20, 31)), expected)


def test_the_longest_side_is_reached_and_no_side_vanishes() -> None:
    assert fitted_size((4892, 4020), longest_side=160) == (160, 131)
    assert fitted_size((10, 5000), longest_side=96) == (1, 96)
