"""Path of data, beside the results: the rules of `arrays.quality` for a mask on its way back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from multimix_monai.arrays.quality import RULES, judged_mask, with_bounds
from multimix_monai.data.keys import Keys


def frame(image: MetaTensor) -> tuple[slice, slice]:
    """Rows and columns of a preprocessed image that are no padding. image: (1, S, S)."""
    padded = [
        operation["extra_info"]["padded"][1:]
        for operation in image.applied_operations[-1:]
        if "padded" in operation.get("extra_info", {})
    ] or [((0, 0), (0, 0))]
    rows, columns = (
        slice(before, size - after)
        for (before, after), size in zip(padded[0], image.shape[1:], strict=True)
    )
    return rows, columns


class MaskQualityd(Transform):
    """Measures the mask, joins what checks of the network found, and says which rules fire.

    `quality` becomes {"measures": {name: float}, "fired": [codes]}; fired is empty on a pass.

    Args:
        threshold_prob: a pixel at or above it belongs to the mask.
        keep_components: how many of its parts the mask keeps; 0 keeps all.
        bounds: ranges by rule that replace those of RULES.

    Raises:
        ValueError: as `with_bounds`.
    """

    def __init__(
        self,
        *,
        threshold_prob: float = 0.5,
        keep_components: int = 0,
        bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    ) -> None:
        self.threshold_prob = threshold_prob
        self.keep_components = keep_components
        self.rules = with_bounds(RULES, bounds or {})

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """An item with `image` (1, S, S) and `pred`, lung probabilities (1, S, S)."""
        item = dict(data)
        item[Keys.QUALITY] = judged_mask(
            torch.as_tensor(item[Keys.PRED])[0][frame(item[Keys.IMAGE])].cpu().numpy(),
            threshold_prob=self.threshold_prob,
            keep_components=self.keep_components,
            rules=self.rules,
            other_measures=item.get(Keys.QUALITY, {}).get("measures", {}),
        )
        return item
