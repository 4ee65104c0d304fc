"""What is removed from a radiograph is gone, and leaves no edge."""

import numpy as np
import pytest

from multimix_monai.experiments.shortcuts import (
    BACKGROUND,
    FILLS,
    LUNGS,
    NOTHING_GREY,
    OUTSIDE,
    POWER,
    RIM,
    SHAPE,
    WHOLE,
    fill_mean,
    fill_smooth,
    regions,
    view_names,
    views,
)

SIDE = 64
FRAME = (slice(0, SIDE), slice(4, 60))  # a picture of 64 x 56, padded on its sides


def lungs() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[20:45, 16:28] = mask[20:45, 36:48] = True
    return mask


def picture(seed: int = 0) -> np.ndarray:
    image = np.zeros((SIDE, SIDE), dtype=np.float32)
    image[FRAME] = np.random.default_rng(seed).random((64, 56))
    return image


def test_lungs_and_background_share_the_picture_and_nothing_is_in_the_padding() -> None:
    kept = regions(lungs(), FRAME, margin_px=2)
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[FRAME] = True
    assert np.array_equal(kept[LUNGS] ^ kept[BACKGROUND], inside)
    assert not any((keep & ~inside).any() for keep in kept.values())


def test_lungs_are_widened_by_the_margin_and_the_box_holds_them() -> None:
    kept = regions(lungs(), FRAME, margin_px=2)
    rows, columns = (np.flatnonzero(kept[LUNGS].any(axis=axis)) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (18, 46, 14, 49)
    assert not kept[OUTSIDE][18:47, 14:50].any()
    assert kept[OUTSIDE].sum() == 64 * 56 - 29 * 36


def test_the_rim_hangs_on_the_picture_alone() -> None:
    small = np.zeros_like(lungs())
    small[30, 30] = True
    first, second = (regions(mask, FRAME, margin_px=1)[RIM] for mask in (lungs(), small))
    assert np.array_equal(first, second)
    assert first.sum() == 64 * 56 - (64 - 16) * (56 - 14)


def test_a_mask_without_lungs_is_refused() -> None:
    with pytest.raises(ValueError, match="no lungs"):
        regions(np.zeros((SIDE, SIDE), dtype=bool), FRAME, margin_px=2)


def test_a_view_shows_what_it_keeps_and_nothing_of_what_it_removes() -> None:
    kept = regions(lungs(), FRAME, margin_px=2)
    image, other = picture(0), picture(1)
    shown = views(image, kept, FRAME)
    assert list(shown) == view_names() and np.array_equal(shown[WHOLE], image)
    for region, keep in kept.items():
        elsewhere = views(np.where(keep, image, other).astype(np.float32), kept, FRAME)
        for fill in FILLS:
            view = shown[f"{region}, {fill}"]
            assert np.array_equal(view[keep], image[keep])
            assert np.allclose(view, elsewhere[f"{region}, {fill}"], atol=1e-6)
            assert view.dtype == np.float32 and not view[:, :4].any() and not view[:, 60:].any()
    assert np.array_equal(shown[SHAPE], views(other, kept, FRAME)[SHAPE])


def test_the_smooth_fill_is_the_mean_weighted_by_distance() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((9, 12)).astype(np.float32)
    keep = rng.random((9, 12)) < 0.4
    points = np.argwhere(keep)
    for row, column in ((0, 0), (4, 7), (8, 11)):
        squares = ((points - (row, column)) ** 2).sum(axis=1)
        weights = (1 + squares) ** (-POWER / 2)
        expected = (weights * image[keep]).sum() / weights.sum()
        assert fill_smooth(image, keep)[row, column] == pytest.approx(expected, abs=1e-6)


def test_the_smooth_fill_leaves_a_smaller_step_than_the_mean() -> None:
    image = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None].repeat(SIDE, axis=1)
    keep = ~lungs()
    steps = {}
    for fill in (fill_mean, fill_smooth):
        filled = np.where(keep, image, fill(image, keep))
        border = keep[1:] != keep[:-1]
        steps[fill] = np.abs(np.diff(filled, axis=0))[border].mean()
    assert steps[fill_smooth] < 0.2 * steps[fill_mean]


@pytest.mark.parametrize("fill", FILLS.values())
def test_where_nothing_is_kept_the_picture_is_one_grey(fill: object) -> None:
    assert callable(fill)
    empty = fill(picture(), np.zeros((SIDE, SIDE), dtype=bool))
    assert np.unique(empty).tolist() == [NOTHING_GREY]
