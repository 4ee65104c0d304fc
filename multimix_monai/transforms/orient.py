"""Path of data, right after loading: the patient upright and facing the viewer, and back again."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys
from numpy.typing import NDArray

from multimix_monai.arrays.turn import Turn, step_of, turn_to_standard, turned, turned_back
from multimix_monai.data.keys import Keys


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
            upright = stored if turn is None else _like(stored, turned(plane_of(stored), turn))
            # Also where nothing moved: the first record of a case holds its stored grid.
            self.push_transform(
                upright, orig_size=tuple(stored.shape[1:]), extra_info={"turn": tuple(turn or ())}
            )
            item[key] = upright
        _note(item[Keys.IMAGE], step_of(orientation, turn))
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Back to rows and columns as stored."""
        item = dict(data)
        for key in self.key_iterator(item):
            turn = self.pop_transform(item[key])[TraceKeys.EXTRA_INFO]["turn"]
            if turn:
                item[key] = _like(item[key], turned_back(plane_of(item[key]), Turn(*turn)))
        return item


def plane_of(image: MetaTensor) -> NDArray[Any]:
    """(1, H, W), on any device -> (H, W)."""
    plane: NDArray[Any] = image.as_tensor().cpu().numpy()[0]
    return plane


def _like(image: MetaTensor, plane: NDArray[Any]) -> MetaTensor:
    """plane: (H, W) -> (1, H, W) with the image's meta and records."""
    return MetaTensor(torch.from_numpy(plane.copy())[None]).copy_meta_from(image)


def _note(image: MetaTensor, step: str) -> None:
    """Adds a step, if there is one to tell, to the image's."""
    if step:
        image.meta["steps"] = "; ".join(filter(None, [str(image.meta.get("steps", "")), step]))
