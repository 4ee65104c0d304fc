from __future__ import annotations

from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from multimix_monai.apps.label_files import _rows_run_up, read_label, suffix_for, write_plane
from multimix_monai.data.images import Radiograph, read_mask
from multimix_monai.dicom.dx import write_dx

ROWS, COLUMNS = 40, 30


@pytest.fixture
def mask() -> np.ndarray:
    plane = np.zeros((ROWS, COLUMNS), np.uint8)
    plane[5:12, 3:9] = 1  # in one corner, so that every flip is seen
    return plane


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.fromarray(np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(ROWS, COLUMNS)).save(path)
    return path


@pytest.mark.parametrize("suffix", [".png", ".nii", ".nii.gz"])
def test_a_mask_comes_back_as_it_was_written(
    tmp_path: Path, mask: np.ndarray, image: Path, suffix: str
) -> None:
    path = tmp_path / f"label{suffix}"
    write_plane(path, mask, image=image)
    assert np.array_equal(read_label(path, image=image), mask)


@pytest.mark.parametrize("direction", [(-1, -1), (-1, 1), (1, 1)])
def test_a_label_for_nifti_lies_on_its_voxels(
    tmp_path: Path, mask: np.ndarray, direction: tuple[int, int]
) -> None:
    image, label = tmp_path / "image.nii.gz", tmp_path / "label.nii.gz"
    affine = np.diag([direction[0] * 0.2, direction[1] * 0.3, 1, 1])
    picture = np.arange(ROWS * COLUMNS, dtype=np.float32).reshape(COLUMNS, ROWS, 1)
    nib.save(nib.Nifti1Image(picture, affine), image)
    write_plane(label, mask, image=image)
    written = nib.load(label)
    assert written.shape == (COLUMNS, ROWS, 1)
    np.testing.assert_allclose(written.affine, affine)
    assert np.array_equal(read_mask(label), mask)


@pytest.mark.parametrize("direction", [None, (-1, -1), (-1, 1), (1, 1)])
def test_an_nrrd_lies_where_the_radiograph_lies(
    tmp_path: Path, mask: np.ndarray, image: Path, direction: tuple[int, int] | None
) -> None:
    if direction is not None:
        image = tmp_path / "image.nii.gz"
        affine = np.diag([direction[0] * 0.2, direction[1] * 0.3, 1, 1])
        affine[:3, 3] = (7, 8, 9)
        nib.save(nib.Nifti1Image(np.arange(1200.0).reshape(COLUMNS, ROWS, 1), affine), image)
    for suffix in (".nrrd", ".nii.gz"):
        write_plane(tmp_path / f"label{suffix}", mask, image=image)
        assert np.array_equal(read_label(tmp_path / f"label{suffix}", image=image), mask)
    # Another reader finds both formats in the same place.
    one, two = (sitk.ReadImage(tmp_path / f"label{s}") for s in (".nrrd", ".nii.gz"))
    assert one.GetSize() == two.GetSize() == (COLUMNS, ROWS, 1)
    for place in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(one, place)(), getattr(two, place)(), atol=1e-6)
    assert np.array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(two))


def test_an_nrrd_has_the_spacing_of_a_dicom_radiograph(tmp_path: Path, mask: np.ndarray) -> None:
    drawn = Radiograph(np.eye(ROWS, COLUMNS, dtype=np.float32), (0.14, 0.15))
    write_dx(tmp_path / "a.dcm", drawn, patient_name="A", patient_id="1", seed=0)
    write_plane(tmp_path / "label.nrrd", mask, image=tmp_path / "a.dcm")
    header = nrrd.read_header(str(tmp_path / "label.nrrd"))
    assert header["space"] == "left-posterior-superior"
    np.testing.assert_allclose(header["space directions"], np.diag([0.15, 0.14, 1]))


@pytest.mark.parametrize(
    ("space", "directions", "turned"),
    [
        ("left-posterior-superior", (1, 1), False),
        ("left-posterior-superior", (1, -1), True),
        ("LPS", (1, -1), True),
        ("right-anterior-superior", (-1, 1), True),
        ("RAS", (-1, -1), False),
        ("left-posterior-superior", (-1, -1), False),
    ],
)
def test_rows_that_run_upwards_are_turned_over(
    space: str, directions: tuple[int, int], turned: bool
) -> None:
    header = {"space": space, "space directions": np.diag([*directions, 1.0])}
    assert _rows_run_up(header) is turned
    assert not _rows_run_up({"space": space})


def test_raw_bytes_are_rows_of_the_image(tmp_path: Path, mask: np.ndarray, image: Path) -> None:
    path = tmp_path / "label.bin"
    mask.tofile(path)
    assert np.array_equal(read_label(path, image=image), mask)
    path.write_bytes(b"\1" * 7)
    with pytest.raises(ValueError, match="7 bytes"):
        read_label(path, image=image)


def test_what_does_not_fit_is_refused_and_names_no_file(tmp_path: Path, image: Path) -> None:
    path = tmp_path / "label.png"
    for plane, words in (
        (np.ones((COLUMNS, ROWS), np.uint8), "30x40"),
        (np.zeros((ROWS, COLUMNS), np.uint8), "empty"),
    ):
        Image.fromarray(plane).save(path)
        with pytest.raises(ValueError, match=words):
            read_label(path, image=image)
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match="the label") as error:
        read_label(path, image=image)
    assert str(tmp_path) not in str(error.value)


def test_a_float_plane_is_sixteen_bit_in_png(tmp_path: Path, image: Path) -> None:
    plane = np.linspace(0, 3, ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS)
    write_plane(tmp_path / "map.png", plane, image=image)
    back = np.asarray(Image.open(tmp_path / "map.png"))
    np.testing.assert_allclose(back / 65535 * 3, plane, atol=1e-4)


def test_a_suffix_follows_the_image_unless_one_is_wanted() -> None:
    assert suffix_for(Path("a.JPG"), None) == ".png"
    assert suffix_for(Path("a.dcm"), None) == ".nii.gz"
    assert suffix_for(Path("a.dcm"), ".nrrd") == ".nrrd"
    with pytest.raises(ValueError, match=r"'.jpg'; it can be"):
        suffix_for(Path("a.dcm"), ".jpg")
