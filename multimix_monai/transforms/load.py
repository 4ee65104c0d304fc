"""Path of data, from a path to a radiograph: one door for every format, DICOM by its content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multimix_monai.data.archives import archive_of, is_archive, members_of
from multimix_monai.data.files import is_dicom, open_file
from multimix_monai.data.images import ImageError, Radiograph, read_image
from multimix_monai.data.keys import Keys


def read_radiograph(path: str | Path) -> Radiograph:
    """Reads one radiograph of any format that the package knows.

    Args:
        path: DICOM (by suffix .dcm or .dicom, or by its content under any name), PNG, JPEG, GIF,
            BMP, TIFF, NIfTI or JSRT .IMG; or such a file in a zip archive, by a path through it.

    Returns:
        Pixels float32 (H, W) in [0, 1], bright = dense, with the spacing where the file has it.

    Raises:
        ImageError: the file is missing, a folder, or cannot serve as an image; names it.
    """
    path = Path(path)
    if is_archive(path):
        members_of(path)  # says what is wrong with it
        raise ImageError(f"{path} is an archive: name a file in it", "archive")
    if archive_of(path) is None and not is_dicom(path):
        return read_image(path)
    with open_file(path) as file:
        if not is_dicom(path):
            return read_image(path, file=file)
        # pydicom is an extra: only who has DICOM files needs it.
        from multimix_monai.dicom.pixels import read_dicom

        return read_dicom(file, name=str(path))


def facts_of(radiograph: Radiograph, *, force: bool) -> dict[str, Any]:
    """Items of a case beside its image: `flags`, and `spacing_mm` where the file tells it.

    Raises:
        ImageError: the file itself says that it is no frontal chest radiograph. If forced, each
            objection becomes a flag `forced:<reason>` instead.
    """
    if radiograph.objections and not force:
        raise ImageError(radiograph.objections[0].message, radiograph.objections[0].reason)
    forced = [f"forced:{objection.reason}" for objection in radiograph.objections]
    facts: dict[str, Any] = {Keys.FLAGS: [*radiograph.flags, *forced]}
    if radiograph.spacing_mm is not None:
        facts[Keys.SPACING] = tuple(float(mm) for mm in radiograph.spacing_mm)
    return facts


def meta_of(path: Path, radiograph: Radiograph) -> dict[str, Any]:
    """What goes with the image on its way, and with its results.

    Strings, not tuples: batches of cases with different numbers of steps must collate.
    """
    return {
        "filename_or_obj": str(path),
        "steps": "; ".join(radiograph.steps),
        "spacing_source": radiograph.spacing_source,
        "orientation": "\\".join(radiograph.orientation or ()),
    }
