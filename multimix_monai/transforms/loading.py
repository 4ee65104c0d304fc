"""Path of data, third stop: a case's paths become tensors; every use of the network starts here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_numpy
from numpy.typing import NDArray

from multimix_monai.data.images import ImageError, read_mask
from multimix_monai.data.keys import Keys
from multimix_monai.transforms.load import facts_of, meta_of, read_radiograph


class LoadCased(MapTransform):
    """Read a case's radiograph and, where it has one, its lung mask.

    `image`: a path, or what another reader already loaded (array or tensor (H, W) or (1, H, W),
    rows first) -> MetaTensor float32 (1, H, W) in [0, 1] with meta `filename_or_obj`, `steps`
    ("; " between them), `spacing_source` and `orientation` ("L\\F", "" where unknown).
    `mask`: one path, a list of paths that are united, or an array -> MetaTensor float32 (1, H, W)
    in {0, 1}; a case without it passes. `spacing_mm` is set where the file tells it, and `flags`
    is always a list of codes.

    Args:
        keys: `image`, or `image` and `mask`.
        force: take also what the file itself says is no frontal chest radiograph; each objection
            becomes a flag `forced:<reason>`.

    Raises:
        ImageError: the image is unreadable, constant, has non-finite values, or, unless forced,
            says that it is something else than a frontal chest radiograph.
        ValueError: a mask has another size than its image.
    """

    def __init__(
        self, keys: Sequence[str] = (Keys.IMAGE, Keys.MASK), *, force: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.force = force
        wrong = set(self.keys) - {Keys.IMAGE, Keys.MASK}
        if wrong or Keys.IMAGE not in self.keys:
            raise ValueError(
                f"keys are {self.keys}; LoadCased reads '{Keys.IMAGE}' and may also read "
                f"'{Keys.MASK}'"
            )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        if Keys.IMAGE not in item:
            raise ValueError(f"the case has no '{Keys.IMAGE}', only {sorted(map(str, item))}")
        given = item[Keys.IMAGE]
        if isinstance(given, (str, Path)):
            self._read_image(item, Path(given))
        else:
            item[Keys.IMAGE] = image_from_array(given)
            item[Keys.FLAGS] = []
        if Keys.MASK in self.keys and item.get(Keys.MASK) is not None:
            item[Keys.MASK] = _load_mask(item[Keys.MASK], image=item[Keys.IMAGE])
        return item

    def _read_image(self, item: dict[Hashable, Any], path: Path) -> None:
        radiograph = read_radiograph(path)
        item.update(facts_of(radiograph, force=self.force))
        item[Keys.IMAGE] = _plane(radiograph.pixels, meta=meta_of(path, radiograph))


def image_from_array(given: NDArray[Any] | torch.Tensor) -> MetaTensor:
    """Take over an image that another reader loaded, whatever its range. Keeps a MetaTensor's meta.

    given: (H, W), or with further axes of length 1; row 0 at the top, bright is dense.
    Returns: float32 (1, H, W) in [0, 1]; other ranges are mapped from minimum and maximum.

    Raises:
        TypeError: it is neither a path nor an array nor a tensor.
        ImageError: not one plane, empty, not finite, or constant.
    """
    meta = dict(given.meta) if isinstance(given, MetaTensor) else {}
    name = str(meta.get("filename_or_obj", "image"))
    pixels = _one_plane(given, name=name).astype(np.float32)
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise ImageError(f"{name}: has values that are not finite: replace them before loading")
    if low == high:
        raise ImageError(f"{name}: every pixel is {low:g}, there is nothing to see: leave it out")
    if low < 0 or high > 1:
        pixels = (pixels - low) / (high - low)
    meta["filename_or_obj"] = name
    return _plane(pixels, meta=meta)


def _load_mask(given: Any, *, image: MetaTensor) -> MetaTensor:
    if isinstance(given, (str, Path)):
        given = [given]
    if isinstance(given, (list, tuple)) and all(isinstance(path, (str, Path)) for path in given):
        name = ", ".join(str(path) for path in given)
        mask = read_mask([Path(path) for path in given])
    else:
        name = "mask"
        mask = (_one_plane(given, name=name) > 0).astype(np.uint8)
    height, width = image.shape[1:]
    if mask.shape != (height, width):
        raise ValueError(
            f"mask {name} is {mask.shape[0]}x{mask.shape[1]} but its image "
            f"{image.meta['filename_or_obj']} is {height}x{width} (rows x columns): "
            "give a mask drawn on this image, or leave the mask out"
        )
    return _plane(mask.astype(np.float32), meta={"filename_or_obj": name})


def _one_plane(given: Any, *, name: str) -> NDArray[Any]:
    if not isinstance(given, (np.ndarray, torch.Tensor)):
        raise TypeError(f"{name}: expected a path, an array or a tensor, not {type(given)}")
    shape = tuple(given.shape)
    plane = convert_to_numpy(given)
    if plane.ndim > 2:
        plane = np.squeeze(plane)
    if plane.ndim != 2 or plane.size == 0:
        raise ImageError(f"{name}: shape {shape} is not one plane (H, W): convert it to grey")
    return plane


def _plane(pixels: NDArray[Any], *, meta: dict[str, Any]) -> MetaTensor:
    tensor = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))[None]
    affine = meta.pop("affine", None)
    return MetaTensor(tensor, affine=torch.eye(4) if affine is None else affine, meta=meta)
