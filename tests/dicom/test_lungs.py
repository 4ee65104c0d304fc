from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multimix_monai.dicom.lungs import split_lungs

ORIENTATIONS = [a + b for a, b in ("LF", "RF", "LH", "RH", "FL", "FR", "HL", "HR")]


def upright() -> tuple[np.ndarray, np.ndarray]:
    """Right and left lung of a patient who faces the viewer, of unlike size, height and shape."""
    right, left = np.zeros((2, 23, 31), dtype=np.uint8)
    right[3:20, 4:12] = 1
    right[18:20, 4:7] = 0
    left[5:17, 18:25] = 1
    left[19:21, 20:22] = 1  # a crumb
    return right, left


def as_stored(picture: np.ndarray, orientation: str) -> np.ndarray:
    """An upright picture (row to L, column to F) on the grid of a file of this orientation."""
    row, column = orientation
    if row in "FH":
        picture = picture.T
    picture = picture[:, ::-1] if row in "RH" else picture
    return picture[::-1] if column in "RH" else picture


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_patients_right_lung_is_right_in_every_orientation(orientation) -> None:
    right, left = (as_stored(lung, orientation) for lung in upright())
    parts = split_lungs(right + left, (orientation[0], orientation[1]))
    assert list(parts) == ["right lung", "left lung"]
    np.testing.assert_array_equal(parts["right lung"], right)
    np.testing.assert_array_equal(parts["left lung"], left)


def test_an_oblique_direction_counts_as_its_dominant_letter() -> None:
    right, left = upright()
    parts = split_lungs(right + left, ("LH", "FA"))
    np.testing.assert_array_equal(parts["right lung"], right)


@pytest.mark.parametrize("orientation", [None, ("A", "F"), ("F", "P")])
def test_sides_are_not_told_where_the_file_does_not_tell_them(orientation) -> None:
    mask = sum(upright())
    assert list(split_lungs(mask, orientation)) == ["lung"]


def test_a_split_is_not_invented() -> None:
    right, left = upright()
    merged = right + left
    merged[10, 4:25] = 1
    pieces = right.copy()
    pieces[10] = 0  # one lung in two pieces, one above the other
    speck = right.copy()
    speck[5:7, 20:23] = 1
    for mask in (right, merged, pieces, speck):
        parts = split_lungs(mask, ("L", "F"))
        assert list(parts) == ["lung"]
        np.testing.assert_array_equal(parts["lung"], mask)


def test_an_empty_mask_has_no_lungs() -> None:
    assert split_lungs(np.zeros((4, 5), np.uint8), ("L", "F")) == {}


@given(arrays(np.uint8, (9, 12), elements=st.integers(0, 1)), st.sampled_from(ORIENTATIONS))
def test_the_parts_are_the_mask_and_never_overlap(mask, orientation) -> None:
    parts = split_lungs(mask, (orientation[0], orientation[1]))
    total = sum(part.astype(int) for part in parts.values()) if parts else 0 * mask
    np.testing.assert_array_equal(total, mask)
    assert all(part.any() and part.dtype == np.uint8 for part in parts.values())
