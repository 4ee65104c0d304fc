"""Arrays: a stored plane on the network's grid, and a result back on the stored one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multimix_monai.arrays.grey import stretched
from multimix_monai.arrays.resize import fitted_size, resize
from multimix_monai.arrays.turn import Turn, turn_to_standard, turned, turned_back


@dataclass(frozen=True)
class Grid:
    """How a stored plane came to lie on the network's grid, with all that undoes it.

    Attributes:
        turn: what was done first, None for nothing.
        upright: rows and columns after it.
        size: rows and columns that the picture has on the network's grid.
        side: of that grid; the picture lies in its middle.
    """

    turn: Turn | None
    upright: tuple[int, int]
    size: tuple[int, int]
    side: int

    @property
    def frame(self) -> tuple[slice, slice]:
        """Rows and columns of the network's grid that are no padding."""
        rows, columns = (slice((self.side - n) // 2, (self.side - n) // 2 + n) for n in self.size)
        return rows, columns

    def padded(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """The picture on the network's grid, zeros around it: (*size) -> (side, side)."""
        plane = np.zeros((self.side, self.side), dtype=np.float32)
        plane[self.frame] = picture
        return plane

    def back(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """A plane of the network's grid on the stored one; values are interpolated.

        plane: (side, side) -> (H, W).
        """
        return turned_back(resize(plane[self.frame], size=self.upright), self.turn)


def prepared(
    plane: NDArray[np.float32], *, orientation: str, image_size: int, name: str
) -> tuple[NDArray[np.float32], Grid]:
    """What the network sees of a radiograph: `transforms.preprocessing` after loading, as arrays.

    Args:
        plane: (H, W) in [0, 1], bright is dense, as stored.
        orientation: of its rows and columns, see `turn_to_standard`; "" where unknown.
        image_size: side S of the network's input in pixels.
        name: of the file, for errors.

    Returns:
        float32 (S, S) in [0, 1], and the way back.

    Raises:
        ImageError: the plane is nearly constant.
    """
    turn = turn_to_standard(orientation)
    upright = turned(plane, turn)
    rows, columns = upright.shape
    grid = Grid(
        turn, (rows, columns), fitted_size(upright.shape, longest_side=image_size), image_size
    )
    return grid.padded(stretched(resize(upright, size=grid.size), name=name)), grid
