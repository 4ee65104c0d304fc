"""Path of data, what attributes say against a picture: is it a frontal chest radiograph?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from multimix_monai.data.images import Objection
from multimix_monai.dicom.attributes import items, text
from multimix_monai.dicom.geometry import patient_orientation
from multimix_monai.dicom.objects import class_name

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_STORAGE = "1.2.840.10008.5.1.4.1.1."
FOR_PROCESSING = f"{_STORAGE}1.1.1"
CLASSES = (
    f"{_STORAGE}1",  # Computed Radiography
    f"{_STORAGE}1.1",  # Digital X-Ray, for presentation
    FOR_PROCESSING,
    f"{_STORAGE}7",  # Secondary Capture, and its multi-frame classes of one frame
    f"{_STORAGE}7.2",
    f"{_STORAGE}7.3",
    f"{_STORAGE}7.4",
    "1.2.840.10008.5.1.1.29",  # Hardcopy Grayscale, of old film digitisers
)
MODALITIES = (
    "",
    "DX",
    "CR",
    "RG",
    "OT",
    "HC",
    "DR",
    "XR",
)  # the last two are used, though no terms
_CHEST = re.compile(r"CHEST|THORA[XCK]|TORA[XCK]|TÓRAX|LUNG|PULMO")
_NOT_CHEST = re.compile(r"SPINE|VERTEBR|WIRBEL|COLUMNA|RIB|STERN|CLAVIC|AORTA|DUCT|LUMBAR")
_UNTOLD = ("", "UNKNOWN", "UNDEFINED", "UNSPECIFIED", "OTHER", "NONE", "N/A", "NA", "DEFAULT")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# SNOMED CT, then the SNOMED-RT codes of older files: thorax (two codes), lung, chest cavity, and
# regions of which the chest is a part.
_CHEST_CODES = _set(
    "51185008 816094009 39607008 43799004 302551006 416775004 416550000 417437006 416319003 "
    "416152001 T-D3000 T-28000 T-D3200 R-FAB52 R-FAB53 R-FAB54 R-FAB55 R-FAB56"
)
# CID 4010 in both codings: lateral, left and right lateral, sagittal, and the obliques.
_SIDE_CODES = _set(
    "399067008 399173006 399198007 30730003 399352003 399260004 260427002 399182000 399184004 "
    "399236003 399006002 399038007 399135007 399356000 R-102CD R-10236 R-10232 G-A145 R-10228 "
    "R-10224 R-40783 R-102C1 R-10238 R-10234 R-10212 R-10210 R-10220 R-40985"
)
_LATERAL = _set("LAT LATERAL LATERALE LATERALIS PROFIL PROFILE SEITLICH SAGITTAL")
_SIDE = _LATERAL | _set("LL RL LLD RLD LLO RLO LAO RAO LPO RPO OBL OBLIQUE DECUB DECUBITUS")
_FRONTAL = _set("AP PA FRONTAL FACE AND WITH BOTH VIEWS ET UND")


def objections(dataset: Dataset, name: str) -> tuple[Objection, ...]:
    """What modality, class, species, body part and view say against a frontal chest radiograph.

    An absent attribute says nothing: many CR have neither body part nor view.

    Returns:
        Objections with reason modality, sop_class, species, body_part or view; each message names
        the file, the attribute, and `--force`.
    """
    checks = (_modality, _sop_class, _species, _body_part, _view)
    found = ((check.__name__[1:], said) for check in checks for said in check(dataset))
    return tuple(
        Objection(reason, f"{name} {said}: give a frontal chest radiograph, or use --force")
        for reason, said in found
    )


def flags(dataset: Dataset) -> tuple[str, ...]:
    """What a reader of the result should know.

    Burned In Annotation (0028,0301) YES, since letters may be taken for tissue and may name the
    patient; and images FOR PROCESSING, Presentation Intent Type (0008,0068) or SOP class, which
    lack the processing that training pictures had.

    Source: PS3.3 C.7.6.1 and C.8.11.1.
    """
    raw = text(dataset, "PresentationIntentType") == "FOR PROCESSING"
    raw = raw or text(dataset, "SOPClassUID") == FOR_PROCESSING
    burned = text(dataset, "BurnedInAnnotation") == "YES"
    return ("burned_in_annotation",) * burned + ("for_processing",) * raw


def _modality(dataset: Dataset) -> Iterator[str]:
    """Modality (0008,0060). Source: PS3.3 C.7.3.1.1.1."""
    modality = text(dataset, "Modality")
    if modality not in MODALITIES:
        yield f"is of modality {modality[:16]}, not DX or CR"


def _sop_class(dataset: Dataset) -> Iterator[str]:
    """SOP Class UID (0008,0016); a private one or none is left to the modality."""
    if class_name(dataset) and text(dataset, "SOPClassUID") not in CLASSES:
        yield f"is a {class_name(dataset)}, not DX, CR or secondary capture"


def _species(dataset: Dataset) -> Iterator[str]:
    """Anatomical Orientation Type (0010,2210) and Patient Species Description (0010,2201).

    Source: PS3.3 C.7.1.1.
    """
    species = text(dataset, "PatientSpeciesDescription")
    human = not species or "HOMO" in species or "HUMAN" in species
    if text(dataset, "AnatomicalOrientationType") == "QUADRUPED" or not human:
        yield "is of an animal"


def _body_part(dataset: Dataset) -> Iterator[str]:
    """Body Part Examined (0018,0015) and Anatomic Region Sequence (0008,2218): one that says chest
    is enough, since devices fill in the other from a list of their own.

    Source: PS3.16 annex L and CID 4009.
    """
    examined = text(dataset, "BodyPartExamined")
    regions = items(dataset, "AnatomicRegionSequence")
    meanings = [text(region, "CodeMeaning") for region in regions]
    told = [part for part in (examined, *meanings) if part not in _UNTOLD]
    codes = {text(region, "CodeValue") for region in regions}
    if told and not codes & _CHEST_CODES and not any(map(_says_chest, told)):
        yield f"shows {told[0][:32]} by its body part"


def _says_chest(part: str) -> bool:
    return bool(_CHEST.search(part)) and not _NOT_CHEST.search(part)


def _view(dataset: Dataset) -> Iterator[str]:
    """View Position (0018,5101), View Code Sequence (0054,0220), Patient Orientation (0020,0020).

    Source: PS3.3 C.8.11.5 and C.7.6.1.1.1, PS3.16 CID 4010.
    """
    position = text(dataset, "ViewPosition")
    views = items(dataset, "ViewCodeSequence")
    orientation = patient_orientation(dataset)
    if _words(position) & _SIDE:
        yield f"has the view position {position[:16]}"
    elif any(_is_side(view) for view in views):
        yield "has a view code that is not frontal"
    elif orientation and {direction[0] for direction in orientation} & {"A", "P"}:
        yield f"has the patient orientation {'/'.join(orientation)}, not that of a frontal view"
    elif not position and not views and _describes_lateral(text(dataset, "SeriesDescription")):
        yield "has a series description that says lateral"


def _is_side(view: Dataset) -> bool:
    return text(view, "CodeValue") in _SIDE_CODES or bool(_words(text(view, "CodeMeaning")) & _SIDE)


def _describes_lateral(description: str) -> bool:
    """Whether a Series Description (0008,103E) speaks of a lateral view and of nothing else.

    Free text, often copied from the order ("chest PA and lateral", "2 views") to every image of a
    study: it counts only where no coded attribute tells the view, and only where it names one.
    """
    words = _words(description)
    return (
        bool(words & _LATERAL) and not words & _FRONTAL and not re.search(r"[\d+&/,]", description)
    )


def _words(said: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", said))
