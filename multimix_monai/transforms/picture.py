"""Path of data, beside the third stop: a small copy of the image, to draw the results on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import Transform

from multimix_monai.arrays.grey import as_picture
from multimix_monai.data.keys import Keys


class KeepPicture(Transform):
    """`picture` becomes uint8 (H, W), the image as read, of all rows and columns.

    Results are drawn on it, so that no file is decoded a second time: a quarter of the memory.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """An item with `image`, (1, H, W) in [0, 1]."""
        return {**data, Keys.PICTURE: as_picture(data[Keys.IMAGE].numpy()[0])}
