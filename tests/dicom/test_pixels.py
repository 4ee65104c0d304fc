from __future__ import annotations

import numpy as np
import pydicom
import pytest

from multimix_monai.data.images import ImageError, Radiograph
from multimix_monai.dicom import read_dicom
from multimix_monai.dicom.dx import write_dx
from multimix_monai.transforms.load import read_radiograph


@pytest.fixture
def ramp() -> np.ndarray:
    return np.linspace(0, 1, 20 * 12, dtype=np.float32).reshape(20, 12)


@pytest.fixture
def edited(tmp_path, ramp):
    """Writes a DX file and lets the test change its data set."""

    def make(change=lambda dataset: None, name="image.dcm"):
        path = tmp_path / name
        radiograph = Radiograph(ramp, (0.2, 0.3))
        write_dx(path, radiograph, patient_name="SYNTHETIC^CASE", patient_id="S1", seed=0)
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)
        return path

    return make


def test_pixels_come_in_the_range_of_bits_stored(edited, ramp) -> None:
    radiograph = read_dicom(edited())
    assert radiograph.pixels.dtype == np.float32
    np.testing.assert_allclose(radiograph.pixels, ramp, atol=0.5 / 4095 + 1e-6)
    assert radiograph.spacing_mm == (0.2, 0.3)


def test_monochrome1_is_inverted(edited, ramp) -> None:
    path = edited(lambda d: setattr(d, "PhotometricInterpretation", "MONOCHROME1"))
    radiograph = read_dicom(path)
    np.testing.assert_allclose(radiograph.pixels, 1 - ramp, atol=1e-3)
    assert "inverted (MONOCHROME1)" in radiograph.steps


@pytest.mark.parametrize(("slope", "intercept", "inverts"), [(2, -1000, False), (-1, 4095, True)])
def test_rescale_moves_the_range_with_the_values(edited, ramp, slope, intercept, inverts) -> None:
    def change(dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        del dataset.WindowCenter, dataset.WindowWidth

    radiograph = read_dicom(edited(change))
    np.testing.assert_allclose(radiograph.pixels, 1 - ramp if inverts else ramp, atol=1e-3)


def test_signed_pixels_use_the_signed_range(edited) -> None:
    def change(dataset):
        dataset.PixelRepresentation = 1
        dataset.BitsStored, dataset.HighBit = 16, 15
        dataset.PixelData = np.linspace(-32768, 32767, 240).astype("<i2").tobytes()

    pixels = read_dicom(edited(change)).pixels
    assert pixels.min() == 0 and pixels.max() == 1


def test_overlay_bits_above_bits_stored_are_ignored(edited, ramp) -> None:
    def change(dataset):
        stored = np.frombuffer(dataset.PixelData, "<u2") | 0x8000
        dataset.PixelData = stored.tobytes()

    np.testing.assert_allclose(read_dicom(edited(change)).pixels, ramp, atol=1e-3)


def test_pixel_spacing_serves_where_imager_pixel_spacing_is_missing(edited) -> None:
    def change(dataset):
        del dataset.ImagerPixelSpacing
        dataset.PixelSpacing = [0.5, 0.25]

    assert read_dicom(edited(change)).spacing_mm == (0.5, 0.25)


def test_no_spacing_is_none(edited) -> None:
    assert read_dicom(edited(lambda d: delattr(d, "ImagerPixelSpacing"))).spacing_mm is None


def cut_pixels(dataset) -> None:
    dataset.PixelData = dataset.PixelData[:100]


def flatten(dataset) -> None:
    dataset.PixelData = b"\x07\x00" * 240


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: delattr(d, "PixelData"), "no pixels"),
        (lambda d: setattr(d, "NumberOfFrames", 2), "2 frames"),
        (lambda d: setattr(d, "PhotometricInterpretation", "RGB"), "RGB"),
        (lambda d: delattr(d, "BitsStored"), "lacks BitsStored"),
        (lambda d: setattr(d, "RescaleSlope", 0), "RescaleSlope is 0"),
        (cut_pixels, "cannot be decoded"),
        (flatten, "every stored pixel is 7"),
    ],
)
def test_what_is_no_grey_image_is_refused_by_name(edited, change, message) -> None:
    path = edited(change)
    with pytest.raises(ImageError, match=message) as error:
        read_dicom(path)
    assert str(path) in str(error.value)


def test_garbage_is_refused(tmp_path) -> None:
    path = tmp_path / "noise.dcm"
    path.write_bytes(b"not a DICOM file" * 20)
    with pytest.raises(ImageError, match=r"noise\.dcm is not a readable DICOM file"):
        read_dicom(path)


def test_read_radiograph_knows_dicom_by_its_content(edited, ramp) -> None:
    radiograph = read_radiograph(edited(name="IM000001"))
    np.testing.assert_allclose(radiograph.pixels, ramp, atol=1e-3)


def test_read_radiograph_refuses_folders_and_missing_files(tmp_path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        read_radiograph(tmp_path)
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        read_radiograph(tmp_path / "gone.png")
