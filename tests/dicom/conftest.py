"""Radiographs as DICOM files, and the standard's validator."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from multimix_monai.data.images import Radiograph


@pytest.fixture
def radiograph_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a DX or a CR; attributes by keyword are set afterwards, None takes one away."""

    def write(
        *, shape: tuple[int, int] = (40, 50), kind: str = "DX", name: str = "a.dcm", **attributes
    ) -> Path:
        import pydicom

        from multimix_monai.dicom.dx import write_dx

        path = tmp_path / name
        pixels = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
        write_dx(path, Radiograph(pixels, (0.2, 0.3)), patient_name="A^B", patient_id="1", seed=0)
        dataset = pydicom.dcmread(path)
        if kind == "CR":
            _turn_into_cr(dataset)
        for keyword, value in attributes.items():
            if value is not None:
                setattr(dataset, keyword, value)
            elif keyword in dataset:
                delattr(dataset, keyword)
        dataset.save_as(path)
        return path

    return write


@pytest.fixture
def validated() -> Callable[[Path], None]:
    """Asserts that dciodvfy finds no error in a file; skips where it is absent."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is absent: it comes with the Debian package dicom3tools")

    def check(path: Path) -> None:
        report = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        lines = (report.stdout + report.stderr).splitlines()
        assert lines, f"dciodvfy does not know {path.name}"
        assert not [line for line in lines if line.startswith("Error")], (path.name, lines)

    return check


def _turn_into_cr(dataset) -> None:
    from pydicom.uid import ComputedRadiographyImageStorage

    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.Modality = "CR"
    for keyword in (
        "PresentationIntentType",
        "ImageLaterality",
        "AnatomicRegionSequence",
        "DetectorType",
        "PositionerType",
        "AcquisitionContextSequence",
        "PixelIntensityRelationship",
        "PixelIntensityRelationshipSign",
        "PresentationLUTShape",
    ):
        delattr(dataset, keyword)
