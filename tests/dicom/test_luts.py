from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from multimix_monai.dicom import luts
from multimix_monai.dicom.luts import Table, Window


def made(**attributes) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def with_table(descriptor: list[int], data: bytes | list[int], keyword="VOILUTSequence") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if min(descriptor) < 0 else "US", descriptor)
    item.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return made(**{keyword: Sequence([item])})


@pytest.mark.parametrize(
    ("window", "values", "expected"),
    [
        # PS3.3 C.11.2.1.2.1: c 2048, w 4096 shows 0 black and 4095 white, and nothing is cut.
        (Window(2048, 4096), [-1, 0, 2047.5, 4095, 4096], [0, 0, 0.5, 1, 1]),
        (Window(100, 3), [98, 98.5, 99.5, 100.5, 101], [0, 0, 0.5, 1, 1]),
        # c 0, w 1 is a step: all of -1 and less black, all of 0 and more white.
        (Window(0, 1), [-1, -0.5, 0, 1], [0, 0, 1, 1]),
        (Window(2048, 4096, "LINEAR_EXACT"), [0, 2048, 4096, 9999], [0, 0.5, 1, 1]),
        (Window(10, 1, "LINEAR_EXACT"), [9, 9.5, 10, 10.5], [0, 0, 0.5, 1]),
        (Window(100, 40, "SIGMOID"), [100, 110, -1e6], [0.5, 1 / (1 + np.exp(-1)), 0]),
    ],
)
def test_windows_follow_the_table_worked_by_hand(window, values, expected) -> None:
    levels = luts.apply_window(np.array(values, np.float64), window)
    np.testing.assert_allclose(levels, expected, atol=1e-9)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_agree_with_pydicom(function) -> None:
    try:
        from pydicom.pixels import apply_windowing
    except ImportError:
        from pydicom.pixel_data_handlers.util import apply_windowing
    view = made(WindowCenter=700, WindowWidth=333, VOILUTFunction=function, BitsStored=12)
    view.PhotometricInterpretation, view.PixelRepresentation = "MONOCHROME2", 0
    values = np.arange(4096, dtype=np.float64)
    window = luts.window_of(view)
    assert window is not None
    levels = luts.apply_window(values, window)
    np.testing.assert_allclose(levels, apply_windowing(values, view) / 4095, atol=1e-9)


def test_the_first_of_several_windows_is_taken() -> None:
    window = luts.window_of(made(WindowCenter=["40", "300"], WindowWidth=["80", "1500"]))
    assert window == Window(40, 80) and str(window) == "window 40/80"
    assert str(Window(1, 2, "SIGMOID")) == "window 1/2 SIGMOID"


def test_an_absent_or_empty_window_is_none() -> None:
    assert luts.window_of(made()) is luts.window_of(made(WindowCenter="", WindowWidth="")) is None


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"WindowCenter": "1"}, "not a number"),
        ({"WindowCenter": "1", "WindowWidth": "0.5"}, "width 0.5 is too small"),
        ({"WindowCenter": "1", "WindowWidth": "-9"}, "width -9 is too small"),
        ({"WindowCenter": "1", "WindowWidth": "0", "VOILUTFunction": "SIGMOID"}, "too small"),
        ({"WindowCenter": "1", "WindowWidth": "9", "VOILUTFunction": "CUBIC"}, "CUBIC is unknown"),
    ],
)
def test_a_window_that_means_nothing_says_why(attributes, message) -> None:
    with pytest.raises(ValueError, match=message):
        luts.window_of(made(**attributes))


def test_a_table_is_looked_up_and_held_at_both_ends() -> None:
    values = np.array([-5, 9, 10, 11, 12, 500.0])
    table = Table(10, np.array([7.0, 8, 9]), bits=8)
    assert luts.lookup(values, table).tolist() == [7, 7, 7, 8, 9, 9]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_table_is_read_in_words_of_either_order(order) -> None:
    entries = np.array([3, 258, 4095, 0])
    dataset = with_table([4, 100, 12], entries.astype(f"{order}u2").tobytes())
    table = luts.table_of(dataset, "VOILUTSequence", little_endian=order == "<")
    assert table is not None
    assert (table.first, table.bits, table.entries.tolist()) == (100, 12, entries.tolist())


def test_a_table_is_read_in_bytes_and_as_numbers() -> None:
    for data in (bytes([1, 200, 3, 0]), [1, 200, 3]):
        table = luts.table_of(with_table([3, 0, 8], data), "VOILUTSequence", little_endian=True)
        assert table is not None and table.entries.tolist() == [1, 200, 3]


def test_a_descriptor_of_0_entries_means_65536() -> None:
    data = np.arange(65536, dtype="<u2").tobytes()
    table = luts.table_of(with_table([0, 0, 16], data), "VOILUTSequence", little_endian=True)
    assert table is not None and table.entries[-1] == 65535


@pytest.mark.parametrize(
    ("first", "values"),
    [
        (-1024, [-1024, -1021]),
        (-1024, [0, 900]),  # no value is negative, but the table begins there
        (40000, [40000, 40003]),
        (32767, [32767, 32770]),
        (-32768, [-32768, -32760]),
    ],
)
def test_a_table_lies_where_values_are_in_whichever_sign_it_is_written(first, values) -> None:
    unsigned = first % 65536
    for written in (unsigned, unsigned - 65536 if unsigned >= 32768 else unsigned):
        table = Table(written, np.arange(2000.0), 8)
        assert luts.placed(table, np.array(values, np.float64)).first == first


def test_tables_agree_with_pydicom_where_that_does_not_overflow() -> None:
    try:
        from pydicom.pixels import apply_modality_lut
    except ImportError:
        from pydicom.pixel_data_handlers.util import apply_modality_lut
    entries = np.random.default_rng(0).integers(0, 65535, 1000)
    dataset = with_table([1000, 50, 16], entries.tolist(), "ModalityLUTSequence")
    values = np.arange(2000)
    table = luts.table_of(dataset, "ModalityLUTSequence", little_endian=True)
    assert table is not None
    expected = apply_modality_lut(values, dataset)
    assert np.array_equal(luts.lookup(values.astype(np.float64), table), expected)


def test_a_long_table_of_8_bits_does_not_overflow() -> None:
    table = Table(0, np.linspace(0, 255, 4096), bits=8)
    assert luts.lookup(np.array([4095.0]), table) == 255


@pytest.mark.parametrize(
    ("descriptor", "data", "message"),
    [
        ([4, 0], b"\0" * 8, "2 values"),
        ([4, 0, 12], b"\0" * 6, "3 entries"),
        ([4, 0, 99], b"\0" * 8, "99 bits"),
        ([1, 0, 8], [1], "1 entries"),
    ],
)
def test_a_broken_table_says_why(descriptor, data, message) -> None:
    with pytest.raises(ValueError, match=message):
        luts.table_of(with_table(descriptor, data), "VOILUTSequence", little_endian=True)


def test_rescale_defaults_where_it_is_absent_or_empty_and_refuses_nonsense() -> None:
    assert luts.rescale_of(made()) == (1, 0)
    assert luts.rescale_of(made(RescaleSlope="", RescaleIntercept="")) == (1, 0)
    assert luts.rescale_of(made(RescaleSlope=["2", "2"], RescaleIntercept="-5")) == (2, -5)
    assert luts.rescale(np.array([3.0]), 2, -5) == 1
    for slope, message in (("0", "is 0"), (["1", "2"], "2 values")):
        with pytest.raises(ValueError, match=message):
            luts.rescale_of(made(RescaleSlope=slope))


def test_padding_is_a_value_or_a_range_in_either_order() -> None:
    assert luts.padding_range(made()) is None

    def padding(value: int, *limit: int) -> Dataset:
        dataset = Dataset()
        dataset.add_new("PixelPaddingValue", "US", value)
        for end in limit:
            dataset.add_new("PixelPaddingRangeLimit", "US", end)
        return dataset

    assert luts.padding_range(padding(7)) == (7, 7)
    assert luts.padding_range(padding(9, 5)) == luts.padding_range(padding(5, 9)) == (5, 9)


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, ""),
        ("MONOCHROME2", "IDENTITY", ""),
        ("MONOCHROME2", "INVERSE", "Presentation LUT INVERSE"),
        ("MONOCHROME1", None, "MONOCHROME1"),
        ("MONOCHROME1", "INVERSE", "MONOCHROME1"),
        ("MONOCHROME1", "IDENTITY", "MONOCHROME1"),
    ],
)
def test_polarity_is_inverted_once(photometric, shape, inverted) -> None:
    dataset = made(PhotometricInterpretation=photometric)
    if shape:
        dataset.PresentationLUTShape = shape
    assert luts.is_inverted(dataset) == inverted
