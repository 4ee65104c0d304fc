"""Path of data, fourth stop: any radiograph becomes what the network sees, and can return.

One chain for training, evaluation, inference and every app: a network that is trained on one
preprocessing and used with another fails silently.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import Compose, InvertibleTransform, MapTransform, SpatialPadd
from monai.transforms.utils import scale_affine
from monai.utils import TraceKeys

from multimix_monai.arrays.grey import LOWER, PICTURE_SIDE, UPPER, stretched
from multimix_monai.arrays.resize import fitted_size, resize
from multimix_monai.data.keys import Keys
from multimix_monai.transforms.loading import LoadCased
from multimix_monai.transforms.orient import Orientd, plane_of
from multimix_monai.transforms.picture import KeepPicture

NETWORK_STRIDE = 32


def preprocessing(
    *,
    image_size: int,
    keys: Sequence[str] = (Keys.IMAGE,),
    binary_masks: bool = True,
    percentiles: tuple[float, float] = (LOWER, UPPER),
    force: bool = False,
    picture: bool = False,
    picture_side: int | None = PICTURE_SIDE,
) -> Compose:
    """The chain from a case to the network's input; MONAI's `Invertd` takes a result back.

    Load, turn the patient upright and to face the viewer where the file says how it lies, resize
    the longest side to `image_size`, normalise each image by its own percentiles, pad the other
    side evenly with 0. Every change of the grid is in `applied_operations`, which begin with the
    stored grid.

    Args:
        image_size: side S of the network's square input in pixels, a multiple of 32.
        keys: `image`, or `image` and `mask`; a case without a mask passes.
        binary_masks: a pixel of the mask is lung where at least half of it is; else it says how
            much of it is.
        percentiles: of each image, that become 0 and 1. Results from files, see
            `multimix_monai.arrays`, use the default.
        force: take also what the file says is no frontal chest radiograph, see `LoadCased`.
        picture: also keep the image as stored, to draw on, see `KeepPicture`.
        picture_side: longest side of that picture in pixels; None keeps all rows and columns.

    Returns:
        From a case's dictionary to one with `image`, MetaTensor float32 (1, S, S) in [0, 1],
        and where asked for and known `mask`, MetaTensor float32 (1, S, S) in {0, 1}, or [0, 1]
        if not binary.

    Raises:
        ValueError: image_size is not a positive multiple of 32, or percentiles are not two that
            increase within [0, 100].
    """
    check_image_size(image_size)
    check_percentiles(percentiles)
    return NamedErrorCompose(
        [
            LoadCased(keys=keys, force=force),
            *([KeepPicture(picture_side)] if picture else []),
            Orientd(keys=keys),
            ResizeLongestd(
                keys=keys,
                longest_side=image_size,
                binary_keys=(Keys.MASK,) if binary_masks else (),
            ),
            NormalizePercentilesd(keys=(Keys.IMAGE,), lower=percentiles[0], upper=percentiles[1]),
            SpatialPadd(keys=keys, spatial_size=image_size, allow_missing_keys=True),
        ]
    )


def check_image_size(image_size: int) -> None:
    """Refuse what is no positive multiple of the network's stride."""
    if not isinstance(image_size, int):
        raise ValueError(f"image_size is {image_size!r}; it is a number of pixels, such as 160")
    if image_size <= 0 or image_size % NETWORK_STRIDE:
        lower = max(NETWORK_STRIDE, image_size // NETWORK_STRIDE * NETWORK_STRIDE)
        raise ValueError(
            f"image_size is {image_size}; the network needs a positive multiple of "
            f"{NETWORK_STRIDE}: use {lower} or {lower + NETWORK_STRIDE}"
        )


def check_percentiles(percentiles: Sequence[float]) -> None:
    """Refuse what are not two numbers that increase within [0, 100]."""
    try:
        lower, upper = map(float, percentiles)
    except (TypeError, ValueError):
        lower, upper = 0.0, 0.0
    if not 0 <= lower < upper <= 100:
        raise ValueError(
            f"percentiles are {percentiles}; two that increase within 0 to 100 are needed, such "
            f"as [{LOWER}, {UPPER}]"
        )


class NamedErrorCompose(Compose):
    """A Compose that passes on a refusal as it was raised, with the file's name and the remedy.

    MONAI's own wraps every error in `RuntimeError: applying transform <object at 0x...>`.
    """

    def __call__(
        self,
        input_: Any,
        start: int = 0,
        end: int | None = None,
        threading: bool = False,
        lazy: bool | None = None,
    ) -> Any:
        try:
            return super().__call__(input_, start, end, threading, lazy)
        except RuntimeError as error:
            if isinstance(error.__cause__, (ValueError, TypeError)):
                raise error.__cause__ from None
            raise


class ResizeLongestd(MapTransform, InvertibleTransform):
    """Resize so that the longest side is `longest_side`; the aspect ratio stays.

    Differs: from monai.transforms.Resized, whose antialiasing takes seconds on a 20-megapixel
    radiograph and whose "area" mode comes back as blocks. Here both directions are bilinear with
    antialiasing, which moves no structure. Masks come out binary again.

    Args:
        keys: items (1, H, W), each a MetaTensor.
        longest_side: in pixels.
        binary_keys: those of the keys that are cut at one half after resizing.
    """

    def __init__(
        self,
        keys: Sequence[str],
        longest_side: int,
        *,
        binary_keys: Sequence[str] = (Keys.MASK,),
    ) -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.longest_side = longest_side
        self.binary_keys = tuple(binary_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            size = fitted_size(item[key].shape[1:], longest_side=self.longest_side)
            resized = self._resize(item[key], size=size, mode="bilinear")
            if key in self.binary_keys:
                resized.copy_((resized >= 0.5).to(resized.dtype))
            item[key] = resized
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resize to the size before; values between 0 and 1 stay so, masks are not cut."""
        item = dict(data)
        for key in self.key_iterator(item):
            info = self.pop_transform(item[key])
            size = tuple(int(n) for n in info[TraceKeys.ORIG_SIZE])
            with self.trace_transform(False):
                mode = info[TraceKeys.EXTRA_INFO]["mode"]
                item[key] = self._resize(item[key], size=(size[0], size[1]), mode=mode)
        return item

    def _resize(self, image: MetaTensor, *, size: tuple[int, int], mode: str) -> MetaTensor:
        before = tuple(image.shape[1:])
        record = self.track_transform_meta(
            image,
            affine=scale_affine(before, size),
            extra_info={"mode": mode},
            orig_size=before,
            transform_info=self.get_transform_info(),
        )
        resized = MetaTensor(_interpolate(image, size=size, mode=mode))
        return resized.copy_meta_from(record)


def _interpolate(image: MetaTensor, *, size: tuple[int, int], mode: str) -> torch.Tensor:
    """image: (1, H, W) -> float32 (1, *size), a copy; pixel centres at (i + 0.5) / n."""
    if mode == "nearest":  # as Invertd may ask for
        return F.interpolate(image.as_tensor()[None].float(), size=size, mode="nearest-exact")[0]
    return torch.from_numpy(resize(plane_of(image), size=size))[None].to(image.device)


class NormalizePercentilesd(MapTransform):
    """Map each image's percentiles to 0 and 1 and clip: exposure and bit depth drop out.

    Args:
        keys: MetaTensors float32 (1, H, W) in [0, 1], before any padding.
        lower, upper: percentiles in [0, 100].

    Raises:
        ImageError: the percentiles lie within MIN_CONTRAST of each other.
    """

    def __init__(self, keys: Sequence[str], *, lower: float = LOWER, upper: float = UPPER) -> None:
        super().__init__(keys)
        self.percentiles = (lower, upper)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image: MetaTensor = item[key]
            lower, upper = self.percentiles
            name = str(image.meta.get("filename_or_obj", key))
            plane = stretched(plane_of(image), lower=lower, upper=upper, name=name)
            item[key] = MetaTensor(torch.from_numpy(plane)[None]).copy_meta_from(image)
        return item
