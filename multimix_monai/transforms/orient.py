"""Path of data, right after loading: the patient upright and facing the viewer, and back again."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys

from multimix_monai.data.keys import Keys

STANDARD = "L\\F"  # rows run to the patient's left, columns to the feet


class Turn(NamedTuple):
    """What brings a plane to the standard orientation, in this order."""

    transpose: bool
    flip_columns: bool
    flip_rows: bool


class Orientd(MapTransform, InvertibleTransform):
    """Bring image and mask to the orientation of a chest radiograph on the viewer: L, F.

    The image's meta `orientation` says how it is stored: directions of rows and columns as DICOM's
    Patient Orientation (0020,0020) writes them, `R\\F` for a mirrored image. One that is absent,
    oblique, or of another plane than the coronal changes nothing. What was done joins `steps`.

    Args:
        keys: `image`, or `image` and `mask`, MetaTensors (1, H, W) on the same stored grid.

    Source: PS3.3 C.7.6.1.1.1.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(keys, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        orientation = str(item[Keys.IMAGE].meta.get("orientation", ""))
        turn = turn_to_standard(orientation)
        for key in self.key_iterator(item):
            stored: MetaTensor = item[key]
            turned = stored if turn is None else _turned(stored, turn)
            # Also where nothing moved: the first record of a case holds its stored grid.
            self.push_transform(
                turned, orig_size=tuple(stored.shape[1:]), extra_info={"turn": tuple(turn or ())}
            )
            item[key] = turned
        _note(item[Keys.IMAGE], orientation, turn)
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Back to rows and columns as stored."""
        item = dict(data)
        for key in self.key_iterator(item):
            turn = self.pop_transform(item[key])[TraceKeys.EXTRA_INFO]["turn"]
            if turn:
                item[key] = _turned_back(item[key], Turn(*turn))
        return item


def turn_to_standard(orientation: str) -> Turn | None:
    """The turn for an orientation such as `R\\F`; None where none is needed or none is known.

    >>> turn_to_standard("F\\\\R")
    Turn(transpose=True, flip_columns=True, flip_rows=False)
    """
    row, _, column = orientation.partition("\\")
    transpose = row in ("H", "F")
    if transpose:
        row, column = column, row
    if row not in ("L", "R") or column not in ("F", "H"):
        return None
    turn = Turn(transpose, flip_columns=row == "R", flip_rows=column == "H")
    return turn if any(turn) else None


def _turned(image: MetaTensor, turn: Turn) -> MetaTensor:
    """image: (1, H, W) -> (1, H, W) or transposed (1, W, H), with the same meta and records."""
    plane = image.as_tensor()
    plane = plane.transpose(1, 2) if turn.transpose else plane
    return _like(image, plane.flip(_axes(turn)))


def _turned_back(image: MetaTensor, turn: Turn) -> MetaTensor:
    plane = image.as_tensor().flip(_axes(turn))
    return _like(image, plane.transpose(1, 2) if turn.transpose else plane)


def _axes(turn: Turn) -> list[int]:
    return [axis for axis, flip in ((2, turn.flip_columns), (1, turn.flip_rows)) if flip]


def _like(image: MetaTensor, plane: torch.Tensor) -> MetaTensor:
    return MetaTensor(plane.contiguous()).copy_meta_from(image)


def _note(image: MetaTensor, orientation: str, turn: Turn | None) -> None:
    """Adds to the image's steps what was done, or why nothing was."""
    if not orientation or orientation == STANDARD:
        return
    if turn is None:
        step = f"orientation {orientation} left as stored"
    else:
        step = ", ".join(name for name, done in turn._asdict().items() if done)
        step = f"from {orientation} to {STANDARD}: {step.replace('_', ' ')}"
    image.meta["steps"] = "; ".join(filter(None, [str(image.meta.get("steps", "")), step]))
