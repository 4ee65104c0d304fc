"""Path of data, views: one random change of geometry for an image and its mask alike."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_tensor
from torch import Tensor

from multimix_monai.data.keys import Keys


def plain(image: Any) -> Tensor:
    """Any array or tensor -> float32 Tensor: a MetaTensor's bookkeeping costs more than a view."""
    tensor: Tensor = convert_to_tensor(image, dtype=torch.float32, track_meta=False)
    if tensor.ndim != 3 or tensor.shape[1] != tensor.shape[2]:
        raise ValueError(
            f"a view needs a preprocessed image (C, S, S), got {tuple(tensor.shape)}: "
            "put `preprocessing` before it"
        )
    return tensor


@dataclass(frozen=True)
class Geometry:
    """One change of geometry. Fractions are of the image's side; all 0 with zoom 1 is none."""

    flip: bool = False  # left-right, first of all
    rotate_deg: float = 0.0  # anticlockwise
    zoom: float = 1.0  # over 1 enlarges
    aspect: float = 1.0  # width over height, at the same area
    shear_x: float = 0.0
    shear_y: float = 0.0
    translate_x: float = 0.0  # fraction, to the right
    translate_y: float = 0.0  # fraction, downwards

    def matrix(self) -> Tensor:
        """From a pixel of the result to where it is read, in coordinates from -1 to 1: (2, 3)."""
        angle = math.radians(self.rotate_deg)
        cos, sin = math.cos(angle), math.sin(angle)
        x, y = self.shear_x, self.shear_y
        wide, high = 1 / (self.zoom * math.sqrt(self.aspect)), math.sqrt(self.aspect) / self.zoom
        mirror = -1.0 if self.flip else 1.0
        # mirror @ scale @ shear @ rotation, each the inverse of what happens to the image
        a, b = cos + x * sin, -sin + x * cos
        c, d = sin + y * cos, cos - y * sin
        a, b, c, d = mirror * wide * a, mirror * wide * b, high * c, high * d
        dx, dy = 2 * self.translate_x, 2 * self.translate_y
        return torch.tensor([[a, b, -a * dx - b * dy], [c, d, -c * dx - d * dy]])


def warp(image: Tensor, matrix: Tensor, *, displacement: Tensor | None = None) -> Tensor:
    """Read `image` at the places that `matrix` and `displacement` give; 0 outside of it.

    image: (C, S, S). matrix: (2, 3). displacement: (2, g, g) of (x, y) in the image's half sides,
    smoothly spread over the plane. Returns: (C, S, S), bilinear.
    """
    side = image.shape[-1]
    grid = F.affine_grid(matrix[None], [1, 1, side, side], align_corners=False)
    if displacement is not None:
        smooth = F.interpolate(displacement[None], size=(side, side), mode="bicubic")
        grid = grid + smooth.permute(0, 2, 3, 1)
    return F.grid_sample(image[None], grid, align_corners=False)[0]


class RandSpatiald(RandomizableTransform, MapTransform):
    """Flip, rotate, zoom, stretch, shear, shift and slightly bend: one draw for all keys.

    A mirrored thorax is rare in nature (situs inversus) but its lungs and opacities are not, so
    flips are allowed; vertical ones are not. Everything is one resampling.

    Args:
        keys: preprocessed items (C, S, S); a missing one passes. They become plain tensors.
        prob: of the affine part; else only the flip and the bending are drawn.
        flip_prob: of a left-right flip.
        rotate_deg: largest angle, to both sides.
        zoom: largest relative change of size; 0.2 is from 1/1.2 to 1.2.
        aspect: largest relative change of width over height.
        shear: largest shear.
        translate: largest shift as a fraction of the side.
        elastic_prob: of bending.
        elastic: its standard deviation as a fraction of the side.
        binary_keys: those of the keys that are cut at one half afterwards.
    """

    def __init__(
        self,
        keys: Sequence[str] = (Keys.IMAGE, Keys.MASK),
        *,
        prob: float = 0.9,
        flip_prob: float = 0.5,
        rotate_deg: float = 15.0,
        zoom: float = 0.2,
        aspect: float = 0.1,
        shear: float = 0.1,
        translate: float = 0.1,
        elastic_prob: float = 0.3,
        elastic: float = 0.015,
        binary_keys: Sequence[str] = (Keys.MASK,),
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys=True)
        RandomizableTransform.__init__(self, prob)
        self.flip_prob, self.elastic_prob = flip_prob, elastic_prob
        self.rotate_deg, self.shear, self.translate = rotate_deg, shear, translate
        self.zoom, self.aspect, self.elastic = zoom, aspect, elastic
        self.binary_keys = tuple(binary_keys)
        self.geometry = Geometry()
        self.displacement: Tensor | None = None

    def randomize(self, data: Any = None) -> None:
        super().randomize(None)
        flip = bool(self.R.uniform() < self.flip_prob)
        draw = self.R.uniform(-1, 1, size=7)
        self.geometry = Geometry(flip=flip)
        if self._do_transform:
            self.geometry = Geometry(
                flip=flip,
                rotate_deg=float(draw[0]) * self.rotate_deg,
                zoom=(1 + self.zoom) ** float(draw[1]),
                aspect=(1 + self.aspect) ** float(draw[2]),
                shear_x=float(draw[3]) * self.shear,
                shear_y=float(draw[4]) * self.shear,
                translate_x=float(draw[5]) * self.translate,
                translate_y=float(draw[6]) * self.translate,
            )
        bend = self.R.normal(size=(2, 6, 6)) * 2 * self.elastic
        self.displacement = None
        if self.R.uniform() < self.elastic_prob:
            self.displacement = torch.as_tensor(bend, dtype=torch.float32)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        self.randomize()
        keys = list(self.key_iterator(item))
        planes = [plain(item[key]) for key in keys]
        moved = self._move(torch.cat(planes)).split([len(plane) for plane in planes])
        for key, plane in zip(keys, moved, strict=True):
            item[key] = (plane >= 0.5).float() if key in self.binary_keys else plane
        return item

    def _move(self, stack: Tensor) -> Tensor:
        if self.displacement is None and self.geometry == Geometry():
            return stack
        if self.displacement is None and self.geometry == Geometry(flip=True):
            return stack.flip(-1)
        return warp(stack, self.geometry.matrix(), displacement=self.displacement)
