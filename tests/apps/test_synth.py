from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest

from multimix_monai.apps.synth import plan, synth_command
from multimix_monai.data.images import read_image, read_mask
from multimix_monai.data.readers.folder import read_folder
from multimix_monai.dicom import read_dicom


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    output = tmp_path_factory.mktemp("synth") / "data"
    synth_command(output, cases=7, seed=1, size=74, dicom=3)
    return output


def contents(folder) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_folder_that_cannot_be_made_is_named_with_a_remedy(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/data/images cannot be made .*: choose another place"):
        synth_command(tmp_path / "file/data", cases=2, size=74, dicom=0)


def test_the_folder_reads_back_as_cases_with_mask_label_and_patient(root) -> None:
    cases = read_folder(root)
    assert len(cases) == 7
    assert Counter(case.label for case in cases) == {0: 4, 1: 3}
    assert max(Counter(case.patient for case in cases).values()) == 2
    for case in cases:
        assert read_image(case.image).pixels.shape == read_mask(case.mask).shape == (74, 64)


def test_dicom_files_show_patients_of_their_own(root) -> None:
    with (root / "dicom_labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == sorted(p.name for p in (root / "dicom").iterdir())
    patients = {row["patient"] for row in rows}
    assert len(patients) == 3
    assert not patients & {case.patient for case in read_folder(root)}
    means = [read_dicom(root / "dicom" / row["image"]).pixels[:, 28:36].mean() for row in rows]
    # The spine is bright, in the MONOCHROME1 file too.
    assert min(means) > 0.5


def test_the_same_seed_writes_the_same_bytes(root, tmp_path) -> None:
    synth_command(tmp_path / "again", cases=7, seed=1, size=74, dicom=3)
    assert contents(tmp_path / "again") == contents(root)


def test_the_contact_sheet_is_a_picture(root) -> None:
    assert np.ptp(read_image(root / "contact_sheet.png").pixels) > 0.5


def test_a_folder_that_has_a_dataset_is_refused(root) -> None:
    before = contents(root)
    with pytest.raises(ValueError, match="already has images"):
        synth_command(root, cases=2, seed=0, size=74, dicom=0)
    assert contents(root) == before


def test_plans_of_two_seeds_share_no_patient_seed() -> None:
    first, second = (plan(60, seed=seed, folder_images=50) for seed in (0, 1))
    assert not {p.patient_seed for p in first} & {p.patient_seed for p in second}
    assert len({p.seed for p in first}) == 60
    assert Counter(p.label for p in first[:50])[1] in range(20, 31)
