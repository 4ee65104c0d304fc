"""Path of data, last stop before the network: the views of a batch from which it learns.

A view takes preprocessed images that were stacked, on any device, and draws for each on its own.

Source: FixMatch, Sohn et al., NeurIPS 2020, arXiv 2001.07685, appendix D; lengths there are for
32-pixel images, here they are fractions of the side.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from monai.transforms import Compose, MapTransform, Randomizable, Transform
from torch import Tensor

from multimix_monai.data.keys import Keys
from multimix_monai.transforms import intensity
from multimix_monai.transforms.batch import as_batch, beside, change
from multimix_monai.transforms.cutout import Box, cutout, draw_boxes
from multimix_monai.transforms.intensity import RandIntensityd
from multimix_monai.transforms.spatial import Geometry, RandSpatiald, places, read_at

# Name -> the range from which the magnitude is drawn evenly; None where there is none.
PHOTOMETRIC: dict[str, tuple[float, float] | None] = {
    "identity": None,
    "autocontrast": None,
    "brightness": (0.2, 0.95),
    "contrast": (0.2, 0.95),
    "contrast_gain": (1.05, 1.5),
    "equalize": None,
    "posterize": (4, 8),
    "sharpness": (0.05, 0.95),
}
GEOMETRIC: dict[str, tuple[float, float] | None] = {
    "rotate_deg": (-30, 30),
    "shear_x": (-0.3, 0.3),
    "shear_y": (-0.3, 0.3),
    "translate_x": (-0.3, 0.3),  # fraction of the side
    "translate_y": (-0.3, 0.3),
}
SOLARIZE: dict[str, tuple[float, float] | None] = {"solarize": (0, 1)}


class WeakView(Randomizable, Transform):
    """Flip and shift: what changes no finding.

    Differs: from FixMatch, what moves in is 0, as the preprocessing's padding is, not a mirror
    image, which would show a second heart.

    Args:
        flip_prob: of a left-right flip.
        translate: largest shift in either axis, as a fraction of the side.
    """

    def __init__(self, *, flip_prob: float = 0.5, translate: float = 0.125) -> None:
        self.flip_prob = flip_prob
        self.translate = translate
        self.flip = np.zeros(0, dtype=bool)
        self.shift = np.zeros((2, 0))  # right, down; fractions of the side

    def randomize(self, data: int) -> None:
        """Draw for each of `data` images."""
        self.flip = self.R.uniform(size=data) < self.flip_prob
        self.shift = self.R.uniform(-self.translate, self.translate, size=(2, data))

    def __call__(self, images: Any) -> Tensor:
        """images: (B, C, S, S) in [0, 1] -> the same; whole pixels, so nothing is blurred."""
        planes = as_batch(images)
        self.randomize(len(planes))
        right, down = np.trunc(self.shift * planes.shape[-1]) / planes.shape[-1]
        geometry = Geometry(flip=self.flip, translate_x=right, translate_y=down)
        return read_at(planes, places(planes, beside(geometry.matrix(), planes)), mode="nearest")


class StrongView(Randomizable, Transform):
    """FixMatch's RandAugment: a few operations, each at a random magnitude, then cutout.

    Differs: colour has no meaning on grey, so gained contrast takes its place beside FixMatch's
    lost one. Brightness and contrast end at 0.2, not at 0.05, and the gain at 1.5: beyond, nobody
    sees the finding. Solarize is left out unless asked for: it turns opacities dark and so breaks
    the polarity on which a radiograph is read. `invert` is not there at all.

    Args:
        num_ops: operations drawn for each image, evenly and with repetition.
        geometric: also rotate, shear and translate; without them pixels stay where they are.
        solarize: also solarize.
        cutout: largest side of the hidden square as a fraction of the image's; 0 is none.
    """

    def __init__(
        self,
        *,
        num_ops: int = 2,
        geometric: bool = True,
        solarize: bool = False,
        cutout: float = 0.5,
    ) -> None:
        self.num_ops = num_ops
        self.ranges = (
            PHOTOMETRIC | (GEOMETRIC if geometric else {}) | (SOLARIZE if solarize else {})
        )
        self.cutout = cutout
        self.ops = np.zeros((num_ops, 0), dtype=str)  # (num_ops, B), names
        self.magnitudes = np.zeros((num_ops, 0))
        self.box: Box | None = None

    def randomize(self, data: tuple[int, int]) -> None:
        """Draw operations and a square for each of so many images of such a side."""
        n, side = data
        drawn = self.R.randint(len(self.ranges), size=(self.num_ops, n))
        low, high = np.transpose([limits or (0, 0) for limits in self.ranges.values()])
        self.ops = np.array(list(self.ranges))[drawn]
        self.magnitudes = self.R.uniform(low[drawn], high[drawn])
        self.box = (
            draw_boxes(self.R, n, image_side=side, largest=self.cutout) if self.cutout > 0 else None
        )

    def __call__(self, images: Any) -> Tensor:
        """images: (B, C, S, S) in [0, 1] -> the same."""
        view = as_batch(images).clone()
        self.randomize((len(view), view.shape[-1]))
        for names, magnitudes in zip(self.ops, self.magnitudes, strict=True):
            apply_ops(view, names, magnitudes=magnitudes)
        return view if self.box is None else cutout(view, box=self.box)


def apply_ops(images: Tensor, names: np.ndarray, *, magnitudes: np.ndarray) -> None:
    """One operation of FixMatch's set on each image, in place; those of a name are done together.

    images: (B, C, S, S) in [0, 1]. names, magnitudes: (B,).
    """
    moved = np.isin(names, list(GEOMETRIC))
    geometry = Geometry(**{name: np.where(names == name, magnitudes, 0) for name in GEOMETRIC})
    change(images, moved, lambda some, way: read_at(some, places(some, way)), geometry.matrix())
    for name in np.unique(names[~moved]):
        if name != "identity":
            change(images, names == name, partial(_photometric, str(name)), magnitudes)


def _photometric(name: str, images: Tensor, magnitudes: Tensor) -> Tensor:
    """images: (n, C, S, S). magnitudes: (n,)."""
    if name in ("autocontrast", "equalize"):
        return getattr(intensity, name)(images)
    amount = magnitudes[:, None, None, None]
    if name == "posterize":
        return intensity.posterize(images, amount.round())
    return getattr(intensity, name.removesuffix("_gain"))(images, amount)


class TwoViewsd(Randomizable, MapTransform):
    """A batch's `image` becomes `image_weak` and, made from it, `image_strong`.

    The strong view starts from the weak one and so is stronger in every respect; with
    geometric=False their pixels are aligned, as consistency of masks needs. `image` is left out.

    Args:
        keys: the one item that holds the preprocessed images (B, 1, S, S) in [0, 1].
        weak, strong: other views than the default ones.
        geometric: of the default strong view.
    """

    def __init__(
        self,
        keys: Sequence[str] = (Keys.IMAGE,),
        *,
        weak: WeakView | None = None,
        strong: StrongView | None = None,
        geometric: bool = True,
    ) -> None:
        MapTransform.__init__(self, keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys are {self.keys}; TwoViewsd takes exactly one image")
        self.weak = weak or WeakView()
        self.strong = strong or StrongView(geometric=geometric)

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> TwoViewsd:
        """Seed both views, which draw in turn from one generator."""
        super().set_random_state(seed=seed, state=state)
        self.weak.set_random_state(state=self.R)
        self.strong.set_random_state(state=self.R)
        return self

    def randomize(self, data: Any = None) -> None:
        """Nothing of its own: each view draws when it is called."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        weak = self.weak(item.pop(self.keys[0]))
        item[Keys.IMAGE_WEAK], item[Keys.IMAGE_STRONG] = weak, self.strong(weak)
        return item


def labelled_view(
    *,
    keys: Sequence[str] = (Keys.IMAGE, Keys.MASK),
    spatial: RandSpatiald | None = None,
    intensity: RandIntensityd | None = None,
) -> Compose:
    """The view for supervised cases: geometry for image and mask alike, grey for the image.

    Args:
        keys: preprocessed items (B, 1, S, S); a batch without masks passes.
        spatial, intensity: other changes than the default ones.

    Returns:
        A random transform from dictionary to dictionary; the items become plain tensors.
    """
    return Compose(
        [spatial or RandSpatiald(keys=keys), intensity or RandIntensityd(keys=(Keys.IMAGE,))]
    )
