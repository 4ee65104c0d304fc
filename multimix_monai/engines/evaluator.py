"""Engines: the evaluator, MONAI's SupervisedEvaluator for cases of any size.

A case that cannot be read does not end an evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from ignite.engine import Engine
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents
from torch import Tensor
from torch.utils.data import Dataset

from multimix_monai.data.images import read_mask
from multimix_monai.data.keys import Keys
from multimix_monai.engines.streams import plain

logger = logging.getLogger(__name__)
ERROR = "error"  # of a case that could not be read, in place of its image
Predict = Callable[[Tensor], Tensor]  # images (B, C, S, S) -> packed predictions (B, K, S, S)


class Check(Protocol):
    """Asks more of the network than its prediction: is this a chest, does it contradict itself?"""

    def __call__(
        self, images: Tensor, predictions: Tensor, predict: Predict
    ) -> Sequence[dict[str, Any]]:
        """One dictionary of items for each of the B images.

        Args:
            images: (B, C, S, S), preprocessed.
            predictions: (B, K, S, S), the packed predictions of these images.
            predict: the network itself, for further passes.
        """


class CaseDataset(Dataset):
    """Cases -> preprocessed cases with their truth; an unreadable one carries its error instead.

    Args:
        data: items with an `image` path, maybe with the paths of a `mask`.
        transform: the preprocessing of the image alone.
    """

    def __init__(self, data: Sequence[dict], transform: Callable[[dict], dict]) -> None:
        self.data = data
        self.transform = transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        case = dict(self.data[index])
        try:
            return with_truth(self.transform(case))
        except (ValueError, OSError) as error:
            return {**case, ERROR: error}


def collate_cases(cases: list[dict]) -> list[dict]:
    """A batch is the list of its cases: they keep their own sizes, truths and origins."""
    return cases


class MultiMixEvaluator(SupervisedEvaluator):
    """SupervisedEvaluator over lists of cases; metrics see masks on each image's own grid.

    A case with an error goes to `refused` and to the log; the others of its batch go on. A case's
    mask, if it has one, is on the image's own grid and never resampled.

    Args:
        checks: what else to ask the network about each batch; what they find joins the cases.
        **workflow: as of SupervisedEvaluator; `postprocessing` inverts the preprocessing.
    """

    def __init__(self, *, checks: Sequence[Check] = (), **workflow: Any) -> None:
        super().__init__(**{"decollate": False, **workflow})
        self.checks = tuple(checks)
        self.refused: list[dict] = []

    def _iteration(  # type: ignore[override]
        self, engine: Engine, batchdata: list[dict]
    ) -> list[dict]:
        good = [case for case in batchdata if ERROR not in case]
        for case in batchdata:
            if ERROR in case:
                logger.error(f"left out: {case[ERROR]}")
                self.refused.append(case)
        self.state.batch, self.state.output = good, []
        if good:
            images = torch.stack([plain(case[Keys.IMAGE]) for case in good]).to(self.state.device)
            predictions = self._predict(images)
            self.state.output = [
                {**case, Keys.PRED: p, **found}
                for case, p, found in zip(
                    good, predictions, self._check(images, predictions), strict=True
                )
            ]
        self.fire_event(IterationEvents.FORWARD_COMPLETED)
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output

    def _predict(self, images: Tensor) -> Tensor:
        self.network.eval()
        with torch.inference_mode():
            return self.inferer(images, self.network).float().cpu()

    def _check(self, images: Tensor, predictions: Tensor) -> list[dict[str, Any]]:
        """What all checks found, a dictionary a case."""
        found: list[dict[str, Any]] = [{} for _ in images]
        for check in self.checks:
            for case, items in zip(found, check(images, predictions, self._predict), strict=True):
                case.update(items)
        return found


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
    return {**case, Keys.MASK: torch.from_numpy(truth)[None]}
