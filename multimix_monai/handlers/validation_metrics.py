"""Handlers: validation metrics over cases of which each may lack a mask, a label, or both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from ignite.metrics import Metric
from monai.handlers import IgniteMetricHandler
from monai.metrics import DiceMetric, compute_roc_auc
from torch import Tensor

from multimix_monai.data.keys import Keys


def known_masks(output: Sequence[dict[str, Any]]) -> tuple[list[Tensor], list[Tensor]]:
    """Predicted and true masks, (1, H, W) each, of the cases that have a truth."""
    cases = [c for c in output if torch.is_tensor(c.get(Keys.MASK))]
    return [torch.as_tensor(c[Keys.PRED]) for c in cases], [c[Keys.MASK] for c in cases]


def known_labels(output: Sequence[dict[str, Any]]) -> tuple[list[Tensor], list[int]]:
    """Class probabilities (K,) and labels of the cases that have one."""
    cases = [c for c in output if c.get(Keys.LABEL) is not None]
    return [c[Keys.PROBS] for c in cases], [int(c[Keys.LABEL]) for c in cases]


def nothing(output: Sequence[dict[str, Any]]) -> None:
    """For a metric that takes in no batch; ignite would take one without cases apart and fail."""


class KnownMeanDice(IgniteMetricHandler):
    """Mean Dice over the cases with a mask, each on its own grid; nan if none tells it.

    As in the report of an evaluation: a mask where the truth has none is 0, and where neither has
    one there is nothing to tell.

    Differs: from monai.handlers.MeanDice, which leaves out every case whose truth is empty.

    Source: monai.metrics.DiceMetric.
    """

    def __init__(self) -> None:
        super().__init__(metric_fn=DiceMetric(ignore_empty=False), output_transform=known_masks)

    def reset(self) -> None:
        """Forget all cases."""
        super().reset()
        self.seen = 0

    def update(self, output: Sequence[list[Tensor]]) -> None:
        """Take in a batch; one without any truth changes nothing."""
        for pred, truth in zip(*output, strict=True):
            if pred.any() or truth.any():
                self.seen += 1
                super().update(([pred.float()], [truth.float()]))

    def compute(self) -> float:
        """The mean over all cases seen, in [0, 1]."""
        return float(super().compute()) if self.seen else math.nan


class KnownAUC(Metric):
    """Area under the ROC curve over the cases with a label; nan if one class is missing.

    Source: monai.metrics.compute_roc_auc.
    """

    def __init__(self) -> None:
        super().__init__(output_transform=known_labels)

    def reset(self) -> None:
        """Forget all cases."""
        self.scores: list[float] = []
        self.labels: list[int] = []

    def update(self, output: tuple[list[Tensor], list[int]]) -> None:
        """Take in a batch."""
        self.scores += [float(probs[-1]) for probs in output[0]]
        self.labels += [int(label) for label in output[1]]

    def compute(self) -> float:
        """In [0, 1]."""
        if len(set(self.labels)) < 2:
            return math.nan
        auc: Any = compute_roc_auc(torch.tensor(self.scores), torch.tensor(self.labels))
        return float(auc)


class MeanOfMetrics(Metric):
    """The mean of metrics that are attached to the same engine; those that are nan are left out."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = list(metrics)
        super().__init__(output_transform=nothing)

    def reset(self) -> None:
        """The others reset themselves."""

    def update(self, output: Any) -> None:
        """The others take in the batch themselves."""

    def compute(self) -> float:
        """-inf if every metric is nan, so that nothing counts as best."""
        values = [float(m.compute()) for m in self.metrics]
        known = [v for v in values if not math.isnan(v)]
        return sum(known) / len(known) if known else -math.inf
