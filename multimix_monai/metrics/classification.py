"""Path of data, measuring: pneumonia probabilities and labels become numbers and a threshold."""

from __future__ import annotations

import math

import numpy as np
import sklearn
from numpy.typing import ArrayLike
from sklearn.metrics import (
    average_precision_score,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

from multimix_monai.metrics.calibration import checked, expected_calibration_error


def label_metrics(
    probs: ArrayLike, labels: ArrayLike, *, threshold_prob: float
) -> dict[str, float]:
    """How well pneumonia probabilities agree with the labels.

    A case is called pneumonia where its probability is at least the threshold. What needs both
    classes (``auc``, ``average_precision``, ``balanced_accuracy``) is nan where the labels hold
    one; ``sensitivity`` is nan without pneumonia, ``specificity`` without a normal case.

    Args:
        probs: (N,), in [0, 1], probability of pneumonia.
        labels: (N,), 0 normal, 1 pneumonia.
        threshold_prob: in [0, 1], chosen on other cases than these (`choose_threshold`).

    Returns:
        ``auc``, ``average_precision``, ``accuracy``, ``balanced_accuracy``, ``f1_normal``,
        ``f1_pneumonia``, ``sensitivity``, ``specificity``, ``calibration_error`` and ``brier``
        (the mean squared difference of probability and label; these two: lower is better).

    Raises:
        ValueError: if the arrays are empty, differ in length or leave their range.
    """
    p, y = checked(probs, labels)
    if not 0 <= threshold_prob <= 1:
        raise ValueError(f"threshold_prob is {threshold_prob}; it must lie in [0, 1]")
    called = (p >= threshold_prob).astype(int)
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        _, recall, f1, support = precision_recall_fscore_support(
            y, called, labels=[0, 1], zero_division=np.nan
        )
        both = bool(support.all())
        return {
            "auc": float(roc_auc_score(y, p)) if both else math.nan,
            "average_precision": float(average_precision_score(y, p)) if both else math.nan,
            "accuracy": float(np.mean(called == y)),
            "balanced_accuracy": float(recall.mean()),
            "f1_normal": float(f1[0]),
            "f1_pneumonia": float(f1[1]),
            "sensitivity": float(recall[1]),
            "specificity": float(recall[0]),
            "calibration_error": expected_calibration_error(p, y),
            "brier": float(np.mean((p - y) ** 2)),
        }


def choose_threshold(probs: ArrayLike, labels: ArrayLike) -> float:
    """The threshold that serves sensitivity and specificity best, to be chosen on validation.

    It maximises Youden's index, sensitivity + specificity - 1, and lies midway between the
    probabilities that it separates, so that it holds on new cases and under rounding. Among
    equally good ones it takes the one nearest to 0.5.

    Args:
        probs: (N,), in [0, 1], probability of pneumonia.
        labels: (N,), 0 normal, 1 pneumonia.

    Raises:
        ValueError: if one of the classes is missing, or the arrays are not as stated.

    Source: Youden, Cancer 3:32 (1950).
    """
    p, y = checked(probs, labels)
    n_pneumonia = int(y.sum())
    if n_pneumonia in (0, len(y)):
        raise ValueError(
            f"{len(y) - n_pneumonia} normal and {n_pneumonia} pneumonia labels; a threshold can "
            "only be chosen where both occur: add the other to the validation set or state one"
        )
    false_rate, true_rate, scores = roc_curve(y, p, drop_intermediate=False)
    youden = (true_rate - false_rate)[1:]
    lower = np.append(scores[2:], 0.0)
    midway = (scores[1:] + lower) / 2
    best = midway[np.isclose(youden, youden.max())]
    return float(best[np.argmin(np.abs(best - 0.5))])
