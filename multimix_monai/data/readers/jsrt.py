"""Path of data, from JSRT radiographs with SCR lung masks to cases."""

from __future__ import annotations

from pathlib import Path

from ..case import Case
from .files import by_name, files_below, refuse_empty, refuse_masks_without_image

_LUNGS = ("left lung", "right lung")
_CLINICAL = ("CLNDAT_EN.TXT", "CNNDAT_EN.TXT")
_FINDINGS = {"JPCLN": "nodule", "JPCNN": "normal"}


def read_jsrt(root: Path) -> list[Case]:
    """Read JPC{LN,NN}<number>.IMG anywhere below root, and what lies beside them.

    SCR masks are {left lung,right lung}/<image>.gif (below fold1/masks and fold2/masks as
    published); the two lungs are united, heart and clavicles ignored. CLNDAT_EN.txt and
    CNNDAT_EN.TXT give sex and age. Every image is a patient of its own. A nodule is not
    pneumonia, so that the label is unknown and the finding goes to `info`.

    Raises:
        ValueError: if there is no image, a mask has no image, or only one lung has a mask.
    Source: Shiraishi et al., AJR 174, 2000; van Ginneken et al., Med Image Anal 10, 2006.
    """
    files = files_below(root)
    images = by_name(path for path in files if path.suffix.lower() == ".img")
    refuse_empty(root, images)
    masks = _masks(root, files)
    refuse_masks_without_image({name: pair[0] for name, pair in masks.items()}, images)
    clinical = _clinical(files)
    return [
        Case(
            image=path,
            case=name,
            mask=masks.get(name, ()),
            patient=name,
            source="jsrt",
            info={"finding": _FINDINGS.get(name[:5].upper(), "unknown")} | clinical.get(name, {}),
        )
        for name, path in images.items()
    ]


def _masks(root: Path, files: list[Path]) -> dict[str, tuple[Path, ...]]:
    left, right = (by_name(path for path in files if path.parent.name == lung) for lung in _LUNGS)
    single = sorted(left.keys() ^ right.keys())
    if single:
        raise ValueError(
            f"{root}: {len(single)} cases have a mask of one lung only, such as {single[0]}: "
            "add the other lung's mask"
        )
    return {name: (left[name], right[name]) for name in left}


def _clinical(files: list[Path]) -> dict[str, dict[str, str]]:
    """Sex and age by image name.

    Columns: file, subtlety, size in mm, age, sex, x, y, ... with a nodule (CLNDAT), and file, age,
    sex without (CNNDAT). '?' is unknown.
    """
    info: dict[str, dict[str, str]] = {}
    for path in (path for path in files if path.name.upper() in _CLINICAL):
        age_column = 3 if path.name.upper().startswith("CLN") else 1
        for line in path.read_text(encoding="latin-1").splitlines():
            fields = line.split()
            if len(fields) > age_column + 1:
                age, sex = fields[age_column : age_column + 2]
                known = {"age": age} if age.isdigit() else {}
                sexes = {"female": "F", "male": "M"}
                known |= {"sex": sexes[sex.lower()]} if sex.lower() in sexes else {}
                info[Path(fields[0]).stem] = known
    return info
