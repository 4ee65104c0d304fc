"""Path of data, without torch: from a case's path to the network's input, and back to its grid.

The functions of `arrays` in the order of `transforms.preprocessing` and `postprocessing`, which
wrap them for MONAI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimix_monai.arrays.grey import PICTURE_SIDE, as_picture, check_picture_side
from multimix_monai.arrays.grid import Grid, prepared
from multimix_monai.arrays.output import unpack
from multimix_monai.arrays.parts import largest_parts
from multimix_monai.arrays.quality import Rule, judged_mask
from multimix_monai.data.keys import Keys
from multimix_monai.transforms.load import facts_of, meta_of, read_radiograph


@dataclass(frozen=True)
class PreparedImage:
    """What elsewhere is a MetaTensor.

    Attributes:
        pixels: float32 (S, S) in [0, 1], what the network sees.
        grid: the way back to the stored rows and columns.
        meta: of the file, see `transforms.load.meta_of`.
    """

    pixels: NDArray[np.float32]
    grid: Grid
    meta: dict[str, Any]


@dataclass(frozen=True)
class PrepareCase:
    """From a case with the path of its `image` to one with a `PreparedImage`, and its `picture`.

    Attributes:
        image_size: side S of the network's input in pixels.
        force: take also what the file says is no frontal chest radiograph.
        picture_side: longest side of the picture in pixels; None keeps all rows and columns.

    Raises:
        ImageError: the image is refused or cannot be read.
        ValueError: picture_side is below 1.
    """

    image_size: int
    force: bool = False
    picture_side: int | None = PICTURE_SIDE

    def __post_init__(self) -> None:
        check_picture_side(self.picture_side)

    def __call__(self, case: Mapping[str, Any]) -> dict[str, Any]:
        path = Path(case[Keys.IMAGE])
        radiograph = read_radiograph(path)
        facts, meta = facts_of(radiograph, force=self.force), meta_of(path, radiograph)
        pixels, grid = prepared(
            radiograph.pixels,
            orientation=meta["orientation"],
            image_size=self.image_size,
            name=str(path),
        )
        picture = as_picture(radiograph.pixels, longest_side=self.picture_side)
        image = PreparedImage(pixels, grid, meta)
        return {**case, **facts, Keys.IMAGE: image, Keys.PICTURE: picture}


@dataclass(frozen=True)
class FinishCase:
    """From a case with its packed prediction (1 + 1 + classes, S, S) to its results.

    Attributes:
        threshold_prob: a pixel at or above it belongs to the mask.
        keep_components: of the mask only the so many largest parts; 0 keeps all.
        temperature: of the calibration.
        rules: by which the mask is judged.
    """

    threshold_prob: float
    keep_components: int
    temperature: float
    rules: Mapping[str, Rule]

    def __call__(self, case: Mapping[str, Any]) -> dict[str, Any]:
        packed, grid = case[Keys.PRED], case[Keys.IMAGE].grid
        output = unpack(packed, num_classes=len(packed) - 2, temperature=self.temperature)
        quality = judged_mask(
            output.mask_probs[0][grid.frame],
            threshold_prob=self.threshold_prob,
            keep_components=self.keep_components,
            rules=self.rules,
            other_measures=case.get(Keys.QUALITY, {}).get("measures", {}),
        )
        mask = grid.back(output.mask_probs[0]) >= np.float32(self.threshold_prob)
        return {
            **case,
            Keys.PRED: largest_parts(mask, self.keep_components)[None].astype(np.uint8),
            Keys.SALIENCY: grid.back(output.saliency[0])[None],
            Keys.PROBS: output.probs,
            Keys.RAW_PROBS: output.raw_probs,
            Keys.QUALITY: quality,
        }
