"""Path of data, from the Shenzhen set to cases."""

from __future__ import annotations

from pathlib import Path

from ..case import Case
from .files import (
    by_name,
    clinical_reading,
    image_files,
    refuse_empty,
    refuse_masks_without_image,
    required_folder,
    subfolder,
)

_FINDINGS = {"0": "normal", "1": "tuberculosis"}


def read_shenzhen(root: Path) -> list[Case]:
    """Read CXR_png/, ClinicalReadings/ and, published later, masks in mask/ or masks/.

    Images are CHNCXR_<patient>_<0 normal, 1 tuberculosis>.png, masks <image>_mask.png; not every
    image has one. Tuberculosis is not pneumonia, so that the label is unknown and the finding
    goes to `info`.

    Raises:
        ValueError: if there is no image, or a mask has no image.
    Source: Jaeger et al., Quant Imaging Med Surg 4(6), 2014; masks: Stirenko et al., 2018.
    """
    images = by_name(image_files(required_folder(root, "CXR_png", "images")))
    refuse_empty(root, images)
    folder = subfolder(root, "mask", "masks")
    found = by_name(image_files(folder)) if folder else {}
    masks = {name.removesuffix("_mask"): path for name, path in found.items()}
    refuse_masks_without_image(masks, images)
    readings = subfolder(root, "ClinicalReadings")
    cases = []
    for name, path in images.items():
        patient, _, finding = name.rpartition("_")
        info = {"finding": _FINDINGS[finding]} if finding in _FINDINGS else {}
        cases.append(
            Case(
                image=path,
                case=name,
                mask=(masks[name],) if name in masks else (),
                patient=patient or None,
                source="shenzhen",
                info=info | clinical_reading(readings, name),
            )
        )
    return cases
