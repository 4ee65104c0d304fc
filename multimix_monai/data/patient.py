"""Path of data, beside it: whose image a file is, and what stands for a name that none may read."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .files import is_dicom, open_file
from .images import ImageError


def digest(name: str) -> str:
    """What stands for an id or a patient wherever somebody may read it."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def patient_id(image: Path) -> str | None:
    """Patient ID (0010,0020) of a DICOM file, of which the header is read; None without one.

    Raises:
        ImportError: pydicom is not installed.
    """
    try:
        if not is_dicom(image):
            return None
        from multimix_monai.dicom.parse import quiet, read_header

        with open_file(image) as file, quiet():
            return str(read_header(file, "the image").get("PatientID") or "").strip() or None
    except ImageError:
        return None
