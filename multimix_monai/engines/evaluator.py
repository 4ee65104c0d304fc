"""Engines: the evaluator, MONAI's SupervisedEvaluator for cases of any size.

A case that cannot be read does not end an evaluation, and of a run that keeps going none does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from ignite.engine import Engine
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents
from torch import Tensor

from multimix_monai.data.keys import Keys
from multimix_monai.engines.cases import without_error
from multimix_monai.engines.failure import failure_of
from multimix_monai.engines.streams import plain

logger = logging.getLogger(__name__)
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


def collate_cases(cases: list[dict]) -> list[dict]:
    """A batch is the list of its cases: they keep their own sizes, truths and origins."""
    return cases


class MultiMixEvaluator(SupervisedEvaluator):
    """SupervisedEvaluator over lists of cases; metrics see masks on each image's own grid.

    A case with an error goes to `refused` and to the log; the others of its batch go on. A case's
    mask, if it has one, is on the image's own grid and never resampled.

    Args:
        checks: what else to ask the network about each batch; what they find joins the cases.
        postprocessing: from a case with its packed prediction to its results.
        keep_going: what goes wrong with one case is its error, whatever it is. Errors stay in
            `cases`, the batch in its order, and neither in the log nor in memory.
        **workflow: as of SupervisedEvaluator.
    """

    def __init__(
        self,
        *,
        checks: Sequence[Check] = (),
        postprocessing: Callable[[dict], dict] | None = None,
        keep_going: bool = False,
        **workflow: Any,
    ) -> None:
        super().__init__(**{"decollate": False, **workflow})
        self.checks = tuple(checks)
        self.postprocessing = postprocessing
        self.keep_going = keep_going
        self.cases: list[dict] = []
        self.refused: list[dict] = []

    def _iteration(  # type: ignore[override]
        self, engine: Engine, batchdata: list[dict]
    ) -> list[dict]:
        good = without_error(batchdata)
        found = iter(self._predicted(good))
        self.cases = [case if Keys.ERROR in case else next(found) for case in batchdata]
        self.state.batch, self.state.output = good, without_error(self.cases)
        self.fire_event(IterationEvents.FORWARD_COMPLETED)
        if self.postprocessing is not None:
            self.cases = [self._attempt(self._postprocessed, case) for case in self.cases]
            self.state.output = without_error(self.cases)
        for case in self.cases:
            if Keys.ERROR in case and not self.keep_going:
                logger.error(f"left out: {case[Keys.ERROR]}")
                self.refused.append(case)
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output

    def _predicted(self, cases: list[dict]) -> list[dict]:
        """As `ask`, one case after the other if together they fail."""
        if not cases:
            return []
        try:
            return self.ask(cases)
        except Exception:
            if not self.keep_going:
                raise
            return [self._attempt(lambda one: self.ask([one])[0], case) for case in cases]

    def ask(self, cases: list[dict]) -> list[dict]:
        """Cases with their packed predictions and what the checks found."""
        images = torch.stack([plain(case[Keys.IMAGE]) for case in cases]).to(self.state.device)
        predictions = self._predict(images)
        found = self._check(images, predictions)
        return [
            {**case, Keys.PRED: prediction.clone(), **items}  # a slice would hold the whole batch
            for case, prediction, items in zip(cases, predictions, found, strict=True)
        ]

    def _postprocessed(self, case: dict) -> dict:
        assert self.postprocessing is not None
        return case if Keys.ERROR in case else self.postprocessing(case)

    def _attempt(self, step: Callable[[dict], dict], case: dict) -> dict:
        try:
            return step(case)
        except Exception as error:
            if not self.keep_going:
                raise
            return {**case, Keys.ERROR: failure_of(error)}

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
