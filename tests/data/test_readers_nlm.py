"""Montgomery and Shenzhen, whose layouts resemble each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from multimix_monai.data.readers import read_montgomery, read_shenzhen

SHARED = Path(__file__).parents[3] / "shared" / "data" / "montgomery"


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_montgomery_original_layout_joins_both_lungs_and_reads_the_clinical_text(
    tmp_path: Path,
) -> None:
    for folder in ("CXR_png", "ManualMask/leftMask", "ManualMask/rightMask"):
        touch(tmp_path, f"{folder}/MCUCXR_0001_0.png", f"{folder}/MCUCXR_0104_1.png")
    touch(tmp_path, "CXR_png/.DS_Store", "CXR_png/Thumbs.db")
    (tmp_path / "ClinicalReadings").mkdir()
    (tmp_path / "ClinicalReadings/MCUCXR_0104_1.txt").write_text(
        "Patient's Sex: M\nPatient's Age: 042Y\ncavitary infiltrate\n"
    )
    normal, tuberculosis = read_montgomery(tmp_path)
    assert [path.parent.name for path in normal.mask] == ["leftMask", "rightMask"]
    assert (normal.case, normal.patient, normal.label) == ("MCUCXR_0001_0", "MCUCXR_0001", None)
    assert normal.info == {"finding": "normal"}
    assert tuberculosis.info == {"finding": "tuberculosis", "sex": "M", "age": "42"}


def test_montgomery_merged_layout_has_one_mask_a_case(tmp_path: Path) -> None:
    touch(tmp_path, "images/MCUCXR_0001_0.png", "images/MCUCXR_0002_0.png")
    touch(tmp_path, "masks/MCUCXR_0001_0.png")
    with_mask, without_mask = read_montgomery(tmp_path)
    assert with_mask.mask == (tmp_path / "masks/MCUCXR_0001_0.png",)
    assert without_mask.mask == ()


def test_montgomery_mask_without_image_is_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "images/MCUCXR_0001_0.png", "masks/MCUCXR_0009_1.png")
    with pytest.raises(ValueError, match=r"1 masks without an image.*MCUCXR_0009_1\.png"):
        read_montgomery(tmp_path)


def test_montgomery_mask_of_one_lung_only_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "CXR_png/MCUCXR_0001_0.png", "ManualMask/leftMask/MCUCXR_0001_0.png")
    (tmp_path / "ManualMask/rightMask").mkdir()
    with pytest.raises(ValueError, match="one lung only, such as MCUCXR_0001_0"):
        read_montgomery(tmp_path)


def test_montgomery_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of the folders CXR_png, images"):
        read_montgomery(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="no images found"):
        read_montgomery(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        read_montgomery(tmp_path / "gone")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real Montgomery set is not beside the project")
def test_real_montgomery_has_138_patients_with_masks() -> None:
    cases = read_montgomery(SHARED)
    assert len({case.patient for case in cases}) == 138
    assert sum(len(case.mask) for case in cases) == 138
    assert sum(case.info["finding"] == "tuberculosis" for case in cases) == 58


@pytest.mark.parametrize("folder", ["mask", "masks"])
def test_shenzhen_masks_carry_a_suffix_and_may_lack(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, "CXR_png/CHNCXR_0001_0.png", "CXR_png/CHNCXR_0327_1.png")
    touch(tmp_path, f"{folder}/CHNCXR_0327_1_mask.png")
    (tmp_path / "ClinicalReadings").mkdir()
    (tmp_path / "ClinicalReadings/CHNCXR_0001_0.txt").write_text("female 27yrs\nnormal\n")
    normal, tuberculosis = read_shenzhen(tmp_path)
    assert normal.mask == () and tuberculosis.mask[0].name == "CHNCXR_0327_1_mask.png"
    assert normal.info == {"finding": "normal", "sex": "F", "age": "27"}
    assert (tuberculosis.patient, tuberculosis.label) == ("CHNCXR_0327", None)
    assert tuberculosis.info["finding"] == "tuberculosis"


def test_shenzhen_mask_without_image_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "CXR_png/CHNCXR_0001_0.png", "mask/CHNCXR_0002_0_mask.png")
    with pytest.raises(ValueError, match="CHNCXR_0002_0_mask"):
        read_shenzhen(tmp_path)
