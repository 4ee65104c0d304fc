"""Path of data, views: one random change of geometry for an image and its mask alike."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from multimix_monai.data.keys import Keys
from multimix_monai.transforms.batch import as_batch, beside, change, spread

Amount = float | np.ndarray  # for all images of a batch, or (B,), one for each
BEND_POINTS = 6  # along a side; between them bending is smooth


@dataclass(frozen=True)
class Geometry:
    """A change of geometry for each image of a batch, or one for all; with no argument, none.

    Fractions are of the image's side.
    """

    flip: bool | np.ndarray = False  # left-right, first of all
    rotate_deg: Amount = 0.0  # anticlockwise
    zoom: Amount = 1.0  # over 1 enlarges
    aspect: Amount = 1.0  # width over height, at the same area
    shear_x: Amount = 0.0
    shear_y: Amount = 0.0
    translate_x: Amount = 0.0  # fraction, to the right
    translate_y: Amount = 0.0  # fraction, downwards

    def matrix(self) -> np.ndarray:
        """From a pixel of the result to where it is read, in coordinates from -1 to 1.

        Returns: (B, 2, 3), or (1, 2, 3) where there is one for all.
        """
        angle = np.radians(self.rotate_deg)
        cos, sin = np.cos(angle), np.sin(angle)
        x, y = self.shear_x, self.shear_y
        wide, high = 1 / (self.zoom * np.sqrt(self.aspect)), np.sqrt(self.aspect) / self.zoom
        mirror = np.where(self.flip, -1.0, 1.0)
        # mirror @ scale @ shear @ rotation, each the inverse of what happens to the image
        a, b = cos + x * sin, -sin + x * cos
        c, d = sin + y * cos, cos - y * sin
        a, b, c, d = mirror * wide * a, mirror * wide * b, high * c, high * d
        dx, dy = 2 * self.translate_x, 2 * self.translate_y
        entries = np.broadcast_arrays(a, b, -a * dx - b * dy, c, d, -c * dx - d * dy)
        return np.stack(entries, axis=-1).reshape(-1, 2, 3)


def places(images: Tensor, matrix: Tensor, *, displacement: np.ndarray | None = None) -> Tensor:
    """Where each pixel of the result is read, as F.grid_sample takes it: (B, S, S, 2) of (x, y).

    Args:
        images: (B, C, S, S), of which only shape, type and device count.
        matrix: a Geometry's (B, 2, 3), on the images' device.
        displacement: (B, 2, g, g) of (x, y) in the image's half sides, smoothly spread over the
            plane; all 0 where an image is not bent.

    Differs: from F.affine_grid, whose products with tiny matrices take five times as long.
    """
    side = images.shape[-1]
    by_column, by_row, shift = matrix[..., None].unbind(2)  # (B, 2, 1) each
    centres = (2 * torch.arange(side, dtype=images.dtype, device=images.device) + 1) / side - 1
    grid = (by_column * centres + shift)[:, :, None] + (by_row * centres)[..., None]
    if displacement is not None:
        bent = np.any(displacement, axis=(1, 2, 3))
        change(grid, bent, _bend, displacement)
    return grid.permute(0, 2, 3, 1)


def _bend(grid: Tensor, displacement: Tensor) -> Tensor:
    smooth = spread(displacement, side=grid.shape[-1], mode="bicubic", align_corners=False)
    return grid.add_(smooth)


def read_at(images: Tensor, grid: Tensor, *, mode: str = "bilinear") -> Tensor:
    """Read images (B, C, S, S) at `places` (B, S, S, 2); 0 outside of them."""
    return F.grid_sample(images, grid, mode=mode, align_corners=False)


class RandSpatiald(Randomizable, MapTransform):
    """Flip, rotate, zoom, stretch, shear, shift and slightly bend: one draw an image for all keys.

    A mirrored thorax is rare in nature (situs inversus) but its lungs and opacities are not, so
    flips are allowed; vertical ones are not. Everything is one resampling.

    Args:
        keys: preprocessed items (B, C, S, S); a missing one passes. They become plain tensors.
        prob: of the affine part; else only the flip and the bending are drawn.
        flip_prob: of a left-right flip.
        rotate_deg: largest angle, to both sides.
        zoom: largest relative change of size; 0.2 is from 1/1.2 to 1.2.
        aspect: largest relative change of width over height.
        shear: largest shear.
        translate: largest shift as a fraction of the side.
        elastic_prob: of bending.
        elastic: its standard deviation as a fraction of the side.
        border_prob: of what moves into the image being grey, half of it white, as film and
            collimators leave it; else it is black, as the preprocessing's padding is.
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
        border_prob: float = 0.0,
        binary_keys: Sequence[str] = (Keys.MASK,),
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys=True)
        self.prob, self.flip_prob, self.elastic_prob = prob, flip_prob, elastic_prob
        self.border_prob = border_prob
        self.rotate_deg, self.shear, self.translate = rotate_deg, shear, translate
        self.zoom, self.aspect, self.elastic = zoom, aspect, elastic
        self.binary_keys = tuple(binary_keys)
        self.geometry = Geometry()
        self.displacement = np.zeros((1, 2, BEND_POINTS, BEND_POINTS))
        self.border = np.zeros((1, 1, 1, 1))  # grey

    def randomize(self, data: int) -> None:
        """Draw a geometry, a displacement and a border for each of `data` images."""
        flip = self.R.uniform(size=data) < self.flip_prob
        moved = self.R.uniform(size=data) < self.prob
        draw = self.R.uniform(-1, 1, size=(7, data)) * moved
        self.geometry = Geometry(
            flip=flip,
            rotate_deg=draw[0] * self.rotate_deg,
            zoom=(1 + self.zoom) ** draw[1],
            aspect=(1 + self.aspect) ** draw[2],
            shear_x=draw[3] * self.shear,
            shear_y=draw[4] * self.shear,
            translate_x=draw[5] * self.translate,
            translate_y=draw[6] * self.translate,
        )
        bent = self.R.uniform(size=(data, 1, 1, 1)) < self.elastic_prob
        points = self.R.normal(size=(data, 2, BEND_POINTS, BEND_POINTS))
        self.displacement = points * 2 * self.elastic * bent
        if self.border_prob:
            bordered = self.R.uniform(size=(data, 1, 1, 1)) < self.border_prob
            self.border = bordered * self.R.uniform(0, 2, size=bordered.shape).clip(max=1)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        planes = {key: as_batch(item[key]) for key in self.key_iterator(item)}
        self.randomize(max(map(len, planes.values()), default=0))
        for key, plane in planes.items():
            matrix = beside(self.geometry.matrix(), plane)
            grid = places(plane, matrix, displacement=self.displacement)
            border = beside(self.border, plane) if key == Keys.IMAGE else 0.0
            # What is outside is read as 0; rounding must not leave [0, 1].
            moved = (read_at(plane - border, grid) + border).clamp_(0, 1)
            item[key] = (moved >= 0.5).to(moved.dtype) if key in self.binary_keys else moved
        return item
