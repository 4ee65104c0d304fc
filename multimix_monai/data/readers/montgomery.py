"""Path of data, from the Montgomery County set (the paper's MCU) to cases."""

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


def read_montgomery(root: Path) -> list[Case]:
    """Read the original layout, or one with left and right lung merged.

    Original: CXR_png/, ManualMask/{leftMask,rightMask}/, ClinicalReadings/. Merged: images/,
    masks/. Names are MCUCXR_<patient>_<0 normal, 1 tuberculosis>.png. Tuberculosis is not
    pneumonia, so that the label is unknown and the finding goes to `info`.

    Raises:
        ValueError: if there is no image, a mask has no image, or only one lung has a mask.
    Source: Jaeger et al., Quant Imaging Med Surg 4(6), 2014.
    """
    images = by_name(image_files(required_folder(root, "CXR_png", "images")))
    refuse_empty(root, images)
    masks = _masks(root)
    refuse_masks_without_image({name: files[0] for name, files in masks.items()}, images)
    readings = subfolder(root, "ClinicalReadings")
    return [
        Case(
            image=path,
            case=name,
            mask=masks.get(name, ()),
            patient=name.rpartition("_")[0] or None,
            source="montgomery",
            info=_finding(name) | clinical_reading(readings, name),
        )
        for name, path in images.items()
    ]


def _masks(root: Path) -> dict[str, tuple[Path, ...]]:
    merged = subfolder(root, "masks")
    if merged:
        return {name: (path,) for name, path in by_name(image_files(merged)).items()}
    if subfolder(root, "ManualMask") is None:
        return {}
    left, right = (
        by_name(image_files(required_folder(root / "ManualMask", side)))
        for side in ("leftMask", "rightMask")
    )
    single = sorted(left.keys() ^ right.keys())
    if single:
        raise ValueError(
            f"{root / 'ManualMask'}: {len(single)} cases have a mask of one lung only, such as "
            f"{single[0]}: add the other lung's mask"
        )
    return {name: (left[name], right[name]) for name in left}


def _finding(name: str) -> dict[str, str]:
    finding = _FINDINGS.get(name.rpartition("_")[2])
    return {"finding": finding} if finding else {}
