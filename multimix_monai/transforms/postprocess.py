"""Path of data, last but one: packed network output becomes results on the image's grid."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import (
    AsDiscreted,
    CastToTyped,
    Compose,
    Invertd,
    KeepLargestConnectedComponentd,
    MapTransform,
    Transform,
)
from monai.utils import convert_to_tensor

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
        AsDiscreted(keys=Keys.PRED, threshold=threshold_prob),
        CastToTyped(keys=Keys.PRED, dtype=torch.uint8),
    ]
    if keep_components:
        steps.append(KeepLargestConnectedComponentd(keys=Keys.PRED, num_components=keep_components))
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
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature is {temperature}; it must be above 0 and finite")
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
        packed = convert_to_tensor(item[Keys.PRED], dtype=torch.float32, track_meta=False)
        sizes = [self.mask_channels, 1, self.num_classes]
        if packed.ndim != 3 or packed.shape[0] != sum(sizes):
            raise ValueError(
                f"'{Keys.PRED}' has shape {tuple(packed.shape)}; expected ({sum(sizes)}, H, W): "
                f"{self.mask_channels} mask, 1 saliency, {self.num_classes} class channels of one "
                "decollated case: wrap the network in PackedMultiMix, or decollate the batch"
            )
        seg_logits, saliency, class_logits = packed.split(sizes)
        # MetaTensors, or Invertd passes them by.
        item[Keys.PRED] = MetaTensor(seg_logits.sigmoid())
        item[Keys.SALIENCY] = MetaTensor(saliency.clone())
        item[Keys.RAW_PROBS] = class_logits[:, 0, 0].softmax(dim=0)
        item[Keys.PROBS] = (class_logits[:, 0, 0] / self.temperature).softmax(dim=0)
        return item
