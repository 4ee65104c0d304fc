"""Path of data, last stop of the way back: findings become DICOM files beside their source."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from multimix_monai.dicom.carried import carry_over, read_source, reference, writable
from multimix_monai.dicom.findings import Algorithm, Findings
from multimix_monai.dicom.geometry import patient_orientation
from multimix_monai.dicom.lungs import split_lungs

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    Source: TypeAlias = str | PathLike[str] | BinaryIO | Dataset

__all__ = ["Algorithm", "Findings", "results", "write_results"]


def write_results(source: Source, folder: str | Path, findings: Findings) -> dict[str, str]:
    """Write what was found in one radiograph as DICOM objects of its study.

    All objects are made before the first is written.

    Args:
        source: the radiograph: a path, a file opened for reading, or a data set.
        folder: made if it is missing; files of these names are replaced.
        findings: what is written; its mask lies on the source's rows and columns as stored.

    Returns:
        File names in the folder: "seg" (absent where no lung was found), "sr", and "sc_overlay"
        and "sc_saliency" where those pictures are given.

    Raises:
        ImageError: the source lacks an attribute that results need (a ValueError).
        ValueError: the mask has other rows and columns than the source.
        ImportError: highdicom is not installed.
    """
    objects = results(source, findings)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for kind, result in objects.items():
        result.save_as(folder / f"{kind}.dcm")
    return {kind: f"{kind}.dcm" for kind in objects}


def results(source: Source, findings: Findings) -> dict[str, Any]:
    """As `write_results`, but the objects themselves, by kind."""
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'results as DICOM need highdicom: pip install "multimix-monai[dicom]"'
        ) from error
    header = read_source(source)
    _check_grid(header, findings)
    findings = replace(findings, threshold_source=writable(findings.threshold_source, header))
    objects = _objects(header, findings)
    for result in objects.values():
        carry_over(header, result)
    return objects


def _objects(header: Dataset, findings: Findings) -> dict[str, Any]:
    from multimix_monai.dicom.capture import secondary_capture
    from multimix_monai.dicom.seg import segmentation
    from multimix_monai.dicom.sr import report

    image, algorithm = reference(header), findings.algorithm
    objects: dict[str, Any] = {}
    segments = split_lungs(findings.mask, patient_orientation(header))
    if segments:
        objects["seg"] = segmentation(header, image, segments, algorithm=algorithm)
    objects["sr"] = report(
        header, image, findings, segments=segments, segmentation=objects.get("seg")
    )
    for kind, picture in (("sc_overlay", findings.overlay), ("sc_saliency", findings.saliency)):
        if picture is not None:
            objects[kind] = secondary_capture(
                header, image, picture, kind=kind, algorithm=algorithm
            )
    return objects


def _check_grid(header: Dataset, findings: Findings) -> None:
    rows, columns = int(header.Rows), int(header.Columns)
    if findings.mask.shape != (rows, columns):
        raise ValueError(
            f"mask is {findings.mask.shape} and the source {(rows, columns)} (rows, columns): "
            "give it on the source's grid as stored"
        )
