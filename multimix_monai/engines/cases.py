"""Engines: the cases that are predicted or evaluated, read one at a time.

A case that cannot be read carries its error instead of its image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from multimix_monai.data.images import read_mask
from multimix_monai.data.keys import Keys
from multimix_monai.engines.failure import failure_of


class CaseDataset:
    """Cases -> preprocessed cases with their truth; an unreadable one carries its error instead.

    Args:
        data: items with an `image` path, maybe with the paths of a `mask`.
        transform: the preprocessing of the image alone.
        keep_going: also what nobody expected is the error of one case, see `CaseFailure`.
    """

    def __init__(
        self,
        data: Sequence[dict],
        transform: Callable[[dict], dict],
        *,
        keep_going: bool = False,
    ) -> None:
        self.data = data
        self.transform = transform
        self.keep_going = keep_going

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        case = dict(self.data[index])
        try:
            return with_truth(self.transform(case))
        except Exception as error:
            if self.keep_going:
                return {**case, Keys.ERROR: failure_of(error)}
            if isinstance(error, (ValueError, OSError)):
                return {**case, Keys.ERROR: error}
            raise


def without_error(cases: list[dict]) -> list[dict]:
    """Those that nothing went wrong with."""
    return [case for case in cases if Keys.ERROR not in case]


def with_truth(case: dict) -> dict:
    """The case with its mask, if any, read: (1, H, W) uint8 on the image's own grid.

    Raises:
        ValueError: the mask cannot be read, or is of another size than its image.
    """
    paths = case.get(Keys.MASK)
    if not isinstance(paths, (list, tuple, str)) or not paths:
        return case
    truth = read_mask([paths] if isinstance(paths, str) else list(paths))
    grid = tuple(int(n) for n in case[Keys.IMAGE].applied_operations[0]["orig_size"])
    if truth.shape != grid:
        raise ValueError(
            f"mask {paths} is {truth.shape[0]}x{truth.shape[1]} but its image is "
            f"{grid[0]}x{grid[1]} "
            "(rows x columns): give a mask drawn on this image, or leave the mask out"
        )
    import torch

    return {**case, Keys.MASK: torch.from_numpy(truth)[None]}
