"""Apps: an evaluator's cases become rows of numbers, and pictures of the worst of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from multimix_monai.data.keys import Keys
from multimix_monai.engines.outputs import outputs
from multimix_monai.handlers.tensorboard import picture
from multimix_monai.metrics import CaseResult, mask_metrics
from multimix_monai.transforms.load import read_radiograph


class CaseResults:
    """Collects a `CaseResult` of every case; a mask is measured on the image's own grid.

    Args:
        keep_pictures: also keep what `picture` needs to draw a case again.
        measure_masks: also compute the metrics of the masks.
    """

    def __init__(self, *, keep_pictures: bool = False, measure_masks: bool = True) -> None:
        self.keep_pictures = keep_pictures
        self.measure_masks = measure_masks
        self.results: list[CaseResult] = []
        self.drawn: dict[tuple[str, str], dict[str, Any]] = {}

    def attach(self, engine: Engine) -> None:
        """To an evaluator of `engines.MultiMixEvaluator`'s kind."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)

    def _add(self, engine: Engine) -> None:
        for case in outputs(engine):
            result = self._result(case)
            self.results.append(result)
            if self.keep_pictures:
                self.drawn[(result.source, result.case)] = slim(case)

    def _result(self, case: dict[str, Any]) -> CaseResult:
        truth = case.get(Keys.MASK)
        metrics = {}
        if self.measure_masks and torch.is_tensor(truth):
            prediction = np.asarray(case[Keys.PRED][0])
            metrics = mask_metrics(prediction, truth[0].numpy(), spacing_mm=case.get(Keys.SPACING))
        return CaseResult(
            case=case[Keys.CASE],
            source=case.get(Keys.SOURCE, "cases"),
            patient=case.get(Keys.PATIENT),
            label=case.get(Keys.LABEL),
            prob=float(case[Keys.PROBS][-1]),
            metrics=metrics,
        )

    def picture(self, result: CaseResult) -> np.ndarray:
        """The case with prediction, truth and saliency, uint8 (H, 2 W, 3)."""
        case = self.drawn[(result.source, result.case)]
        return picture(case, read_radiograph(case[Keys.IMAGE]).pixels)


def slim(case: dict[str, Any]) -> dict[str, Any]:
    """What a picture needs, small enough to keep for thousands of cases."""
    kept = {Keys.IMAGE: case[Keys.IMAGE].meta["filename_or_obj"], Keys.PROBS: case[Keys.PROBS]}
    kept[Keys.PRED] = torch.as_tensor(case[Keys.PRED]).to(torch.uint8)
    kept[Keys.SALIENCY] = torch.as_tensor(case[Keys.SALIENCY]).to(torch.float16).float()
    kept[Keys.LABEL] = case.get(Keys.LABEL)
    if torch.is_tensor(case.get(Keys.MASK)):
        kept[Keys.MASK] = case[Keys.MASK]
    return kept
