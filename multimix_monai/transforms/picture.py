"""Path of data, beside the third stop: a small copy of the image, to draw the results on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import Transform

from multimix_monai.arrays.grey import PICTURE_SIDE, as_picture, check_picture_side
from multimix_monai.data.keys import Keys


class KeepPicture(Transform):
    """`picture` becomes uint8 (h, w), the image as read, for people to look at.

    Results are drawn on it, so that no file is decoded a second time, and what goes from process to
    process is a megabyte.

    Args:
        longest_side: larger images are reduced to it; None keeps all rows and columns.

    Raises:
        ValueError: longest_side is below 1.
    """

    def __init__(self, longest_side: int | None = PICTURE_SIDE) -> None:
        check_picture_side(longest_side)
        self.longest_side = longest_side

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """An item with `image`, (1, H, W) in [0, 1]."""
        pixels = data[Keys.IMAGE].numpy()[0]
        return {**data, Keys.PICTURE: as_picture(pixels, longest_side=self.longest_side)}
