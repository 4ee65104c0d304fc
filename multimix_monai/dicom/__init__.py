"""The room of the DICOM standard: pixels in, objects out."""

from multimix_monai.dicom.pixels import read_dicom

__all__ = ["read_dicom"]
