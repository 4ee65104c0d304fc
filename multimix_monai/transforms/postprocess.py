"""Path of data, last but one: packed network output becomes results on the image's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    Invertd,
    MapTransform,
    Transform,
)
from monai.utils import convert_to_numpy

from multimix_monai.arrays.output import check_temperature, unpack
from multimix_monai.arrays.parts import largest_parts
from multimix_monai.data.keys import Keys
from multimix_monai.transforms.quality import MaskQualityd


def postprocessing(
    *,
    preprocessing: Compose,
    mask_channels: int = 1,
    num_classes: int = 2,
    threshold_prob: float = 0.5,
    keep_components: int = 0,
    temperature: float = 1.0,
    quality_rules: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> Compose:
    """The chain from a decollated item to its results.

    Args:
        preprocessing: the very chain that made the item's `image`; it is undone.
        mask_channels: mask logits at the front of the packed output.
        num_classes: class logits at its end.
        threshold_prob: a pixel at or above it belongs to the mask.
        keep_components: of the mask only the so many largest, 2 for two lungs; 0 keeps all.
        temperature: of the calibration; 1 leaves the probabilities as the network gives them.
        quality_rules: judge the mask by `quality.RULES`, with these ranges in place of theirs, {}
            for none; None does not judge.

    Returns:
        From an item with `image` (MetaTensor (1, S, S)) and `pred` (packed, (mask_channels + 1 +
        num_classes, S, S)) to one with `pred` uint8 (mask_channels, H, W) in {0, 1}, `saliency`
        float32 (1, H, W), at least 0, both on the rows and columns of the input, `probs` and
        `raw_probs` float32 (num_classes,), with and without calibration, and where judged
        `quality` as of `MaskQualityd`.
    """
    steps: list[Transform] = [
        UnpackPredictiond(
            mask_channels=mask_channels, num_classes=num_classes, temperature=temperature
        ),
    ]
    if quality_rules is not None:
        steps.append(
            MaskQualityd(
                threshold_prob=threshold_prob,
                keep_components=keep_components,
                bounds=quality_rules,
            )
        )
    steps += [
        # Not nearest: probabilities are interpolated first and cut last, as smooth contours.
        Invertd(
            keys=(Keys.PRED, Keys.SALIENCY),
            transform=preprocessing,
            orig_keys=Keys.IMAGE,
            nearest_interp=False,
        ),
        CutMaskd(keys=(Keys.PRED,), threshold_prob=threshold_prob, keep_components=keep_components),
    ]
    return Compose(steps)


class UnpackPredictiond(MapTransform):
    """Split the packed output: `pred` to mask probabilities; `saliency`, `probs`, `raw_probs` new.

    Args:
        mask_channels: mask logits, the first channels; one channel of saliency follows.
        num_classes: class logits, the last channels, each spread evenly over its plane.
        temperature: divides the class logits of `probs`, above 0; it changes no ranking.

    Raises:
        ValueError: the number of channels is another, or temperature is not above 0.
        TypeError: `image` is not the MetaTensor that the preprocessing made.
    """

    def __init__(
        self, *, mask_channels: int = 1, num_classes: int = 2, temperature: float = 1.0
    ) -> None:
        super().__init__(Keys.PRED)
        check_temperature(temperature)
        self.temperature = temperature
        self.mask_channels = mask_channels
        self.num_classes = num_classes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        if not isinstance(item.get(Keys.IMAGE), MetaTensor):
            raise TypeError(
                f"'{Keys.IMAGE}' is {type(item.get(Keys.IMAGE))}, not the MetaTensor that "
                "preprocessing made: without its record no result finds back to its own grid"
            )
        output = unpack(
            convert_to_numpy(item[Keys.PRED]).astype(np.float32, copy=False),
            mask_channels=self.mask_channels,
            num_classes=self.num_classes,
            temperature=self.temperature,
        )
        # MetaTensors, or Invertd passes them by.
        item[Keys.PRED] = MetaTensor(torch.from_numpy(output.mask_probs))
        item[Keys.SALIENCY] = MetaTensor(torch.from_numpy(output.saliency))
        item[Keys.PROBS] = torch.from_numpy(output.probs)
        item[Keys.RAW_PROBS] = torch.from_numpy(output.raw_probs)
        return item


class CutMaskd(MapTransform):
    """Probabilities become masks of 0 and 1, of which only the largest connected parts stay.

    Differs: from monai.transforms.AsDiscreted and KeepLargestConnectedComponentd, which give the
    same in five times the time and twice the memory on a radiograph's own grid.

    Args:
        keys: MetaTensors float32 (C, H, W) in [0, 1], which become uint8.
        threshold_prob: a pixel at or above it belongs to the mask.
        keep_components: how many parts, of 8 neighbours, each channel keeps; 0 keeps all.

    Raises:
        ValueError: threshold_prob is not in [0, 1], or keep_components below 0.
    """

    def __init__(self, keys: Sequence[str], *, threshold_prob: float, keep_components: int) -> None:
        super().__init__(keys)
        if not 0 <= threshold_prob <= 1:
            raise ValueError(f"lung_threshold_prob is {threshold_prob}; it must lie in [0, 1]")
        if keep_components < 0:
            raise ValueError(
                f"keep_components is {keep_components}; it must be at least 0 (0: keep all)"
            )
        self.threshold_prob = threshold_prob
        self.keep_components = keep_components

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            planes = convert_to_numpy(item[key]) >= np.float32(self.threshold_prob)
            masks = np.stack([largest_parts(plane, self.keep_components) for plane in planes])
            mask = MetaTensor(torch.from_numpy(masks.view(np.uint8)))
            item[key] = mask.copy_meta_from(item[key])
        return item
