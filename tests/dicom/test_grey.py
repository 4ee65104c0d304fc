from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from multimix_monai.data.images import ImageError
from multimix_monai.dicom.decode import Decoded
from multimix_monai.dicom.grey import Step, grey_picture, mapped, range_step

RAMP = np.arange(240, dtype=np.uint16).reshape(20, 12) * 17  # 0 to 4063


def picture(stored: np.ndarray, *, bits: int = 12, **attributes) -> tuple[np.ndarray, str]:
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for keyword, value in attributes.items():
        if isinstance(value, tuple):
            dataset.add_new(keyword, *value)
        else:
            setattr(dataset, keyword, value)
    pixels, steps = grey_picture(Decoded(stored, bits, ""), dataset, "a.dcm", little_endian=True)
    return pixels, "; ".join(steps)


def test_without_a_window_the_bits_in_use_are_the_range() -> None:
    for bits in (12, 14, 16):
        pixels, steps = picture(RAMP, bits=bits)
        np.testing.assert_allclose(pixels, RAMP / 4095, atol=1e-6)
        assert steps == "range of 12 bits"


def test_one_white_letter_does_not_darken_the_picture() -> None:
    stored = np.tile(RAMP, (10, 10))
    stored[0, :3] = 65535
    pixels, steps = picture(stored, bits=16)
    assert steps == "range of 12 bits" and pixels[0, 0] == 1
    np.testing.assert_allclose(pixels[5], stored[5] / 4095, atol=1e-6)


def test_a_dark_picture_is_not_stretched_below_8_bits() -> None:
    pixels, steps = picture(RAMP // 1000, bits=16)
    assert steps == "range of 8 bits" and pixels.max() == pytest.approx(4 / 255)


def test_signed_values_use_both_sides() -> None:
    pixels, steps = picture(RAMP.astype(np.int16) - 2048, bits=16)
    assert steps == "range of 12 bits"
    np.testing.assert_allclose(pixels, RAMP / 4095, atol=1e-6)


def test_padding_is_background_and_counts_in_no_range() -> None:
    stored = RAMP.copy()
    stored[:2] = 65000
    stored[2] = 64990
    padding = {"PixelPaddingValue": ("US", 65000), "PixelPaddingRangeLimit": ("US", 64990)}
    pixels, steps = picture(stored, bits=16, **padding)
    assert (pixels[:3] == 0).all() and steps.endswith("padding shown as background")
    np.testing.assert_allclose(pixels[3:], RAMP[3:] / 4095, atol=1e-6)
    inverted, _ = picture(stored, bits=16, PhotometricInterpretation="MONOCHROME1", **padding)
    assert (inverted[:3] == 0).all(), "background, not white"
    np.testing.assert_allclose(inverted[3:], 1 - RAMP[3:] / 4095, atol=1e-6)


def test_padding_that_no_pixel_has_is_no_step() -> None:
    assert "padding" not in picture(RAMP, PixelPaddingValue=("US", 4095))[1]


def test_a_window_acts_on_rescaled_values() -> None:
    rescale = {"RescaleSlope": "2", "RescaleIntercept": "-1000"}
    pixels, steps = picture(RAMP, WindowCenter="1000.5", WindowWidth="1001", **rescale)
    np.testing.assert_allclose(pixels, np.clip((2 * RAMP - 1000.0 - 500) / 1000, 0, 1), atol=1e-6)
    assert steps == "rescale 2 x + -1000; window 1000.5/1001"


def test_the_range_moves_with_the_rescale() -> None:
    pixels, _ = picture(RAMP, RescaleSlope="-0.5", RescaleIntercept="100")
    np.testing.assert_allclose(pixels, 1 - RAMP / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "step"),
    [
        ({"WindowCenter": "9999", "WindowWidth": "10"}, "window 9999/10 ignored (leaves one"),
        ({"WindowCenter": "2000", "WindowWidth": "1e11"}, "window 2000/1e+11 ignored (leaves"),
        ({"WindowCenter": "2000", "WindowWidth": "0"}, "window ignored (width 0 is too small)"),
        ({"WindowCenter": "2000"}, "window ignored (center or width is not a number)"),
        ({"VOILUTSequence": Sequence([Dataset()])}, "VOI LUT ignored (LUTDescriptor has 0 values)"),
    ],
)
def test_a_window_that_shows_nothing_is_ignored_and_says_so(attributes, step) -> None:
    pixels, steps = picture(RAMP, **attributes)
    assert steps.startswith(step) and steps.endswith("range of 12 bits")
    np.testing.assert_allclose(pixels, RAMP / 4095, atol=1e-6)


def table(first: int, entries: np.ndarray) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, 12])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return Sequence([item])


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_table_that_begins_below_zero_serves_a_picture_without_negative_values(keyword) -> None:
    stored = RAMP.astype(np.int16) // 2 + 500
    entries = 4095 - np.arange(-1000, 3096).clip(0)
    pixels, steps = picture(stored, **{keyword: table(-1000, entries)})
    expected = picture(stored, **{keyword: table(0, entries[1000:])})
    assert np.array_equal(pixels, expected[0]) and steps == expected[1]


def test_many_values_are_mapped_like_few() -> None:
    chain = [Step("half", lambda values: values / 2), Step("less", lambda values: values - 7)]
    wide = np.array([[0, 2**31], [100, 3]], dtype=np.uint32)
    np.testing.assert_allclose(mapped(wide, chain), wide / 2 - 7)
    narrow = np.array([[-32768, 32767], [100, 3]], dtype=np.int16)
    np.testing.assert_allclose(mapped(narrow, chain), narrow / 2 - 7)


def test_a_range_is_never_empty() -> None:
    flat = range_step(np.arange(9.0), [Step("zero", lambda values: values * 0)], bits=8)
    assert np.isfinite(flat.apply(np.zeros(3))).all()


@pytest.mark.parametrize(
    ("stored", "attributes", "reason"),
    [
        (RAMP * 0 + 7, {}, "constant"),
        (RAMP * 0 + 7, {"PixelPaddingValue": ("US", 7)}, "constant"),
        (RAMP, {"RescaleSlope": "0"}, "bad_attributes"),
    ],
)
def test_nothing_to_see_and_nonsense_are_refused(stored, attributes, reason) -> None:
    with pytest.raises(ImageError, match=r"a\.dcm") as error:
        picture(stored, **attributes)
    assert error.value.reason == reason
