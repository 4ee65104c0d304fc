"""Arrays: the patient upright and facing the viewer, and back again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

STANDARD = "L\\F"  # rows run to the patient's left, columns to the feet


class Turn(NamedTuple):
    """What brings a plane to the standard orientation, in this order."""

    transpose: bool
    flip_columns: bool
    flip_rows: bool


def turn_to_standard(orientation: str) -> Turn | None:
    """The turn for an orientation such as `R\\F`; None where none is needed or none is known.

    An orientation that is absent, oblique, or of another plane than the coronal is not known.

    Args:
        orientation: directions of rows and columns as DICOM's Patient Orientation (0020,0020)
            writes them.

    >>> turn_to_standard("F\\\\R")
    Turn(transpose=True, flip_columns=True, flip_rows=False)

    Source: PS3.3 C.7.6.1.1.1.
    """
    row, _, column = orientation.partition("\\")
    transpose = row in ("H", "F")
    if transpose:
        row, column = column, row
    if row not in ("L", "R") or column not in ("F", "H"):
        return None
    turn = Turn(transpose, flip_columns=row == "R", flip_rows=column == "H")
    return turn if any(turn) else None


def turned(plane: NDArray[Any], turn: Turn | None) -> NDArray[Any]:
    """(H, W) -> (H, W), or (W, H) if transposed."""
    if turn is None:
        return plane
    return np.ascontiguousarray(_flipped(plane.T if turn.transpose else plane, turn))


def turned_back(plane: NDArray[Any], turn: Turn | None) -> NDArray[Any]:
    """What undoes `turned`."""
    if turn is None:
        return plane
    flipped = _flipped(plane, turn)
    return np.ascontiguousarray(flipped.T if turn.transpose else flipped)


def _flipped(plane: NDArray[Any], turn: Turn) -> NDArray[Any]:
    return plane[:: -1 if turn.flip_rows else 1, :: -1 if turn.flip_columns else 1]


def step_of(orientation: str, turn: Turn | None) -> str:
    """What was done, or why nothing was, for the list of steps; "" where nothing is to be said."""
    if not orientation or orientation == STANDARD:
        return ""
    if turn is None:
        return f"orientation {orientation} left as stored"
    names = ", ".join(name for name, done in turn._asdict().items() if done)
    return f"from {orientation} to {STANDARD}: {names.replace('_', ' ')}"
