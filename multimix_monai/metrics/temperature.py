"""Path of data, measuring: how much too sure is the network, as one number?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from multimix_monai.metrics.calibration import checked

LOWEST, HIGHEST = 0.02, 50.0  # a temperature beyond is no calibration


def log_odds(probs: ArrayLike) -> NDArray[np.float64]:
    """Logits of pneumonia from the probabilities of both classes.

    From both, not from one: 1 - p loses what a float32 p near 1 had left.

    Args:
        probs: (N, 2), normal and pneumonia.

    Returns:
        (N,), finite.
    """
    p = np.asarray(probs, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] != 2:
        raise ValueError(f"probs has shape {p.shape}; expected (N, 2): normal and pneumonia")
    p = np.maximum(p, np.finfo(np.float32).tiny)
    return np.log(p[:, 1]) - np.log(p[:, 0])


def calibrated(logits: ArrayLike, *, temperature: float) -> NDArray[np.float64]:
    """Probabilities of pneumonia, (N,) -> (N,); their ranking is that of the logits."""
    return expit(np.asarray(logits, dtype=np.float64) / temperature)


def negative_log_likelihood(logits: ArrayLike, labels: ArrayLike) -> float:
    """Mean of -log of the probability that each label was given, in nats.

    Args:
        logits: (N,), log odds of label 1.
        labels: (N,), in [0, 1].
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    return float(np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature that makes the labels most likely.

    Args:
        logits: (N,), log odds of pneumonia.
        labels: (N,), 0 or 1, both present.

    Raises:
        ValueError: the arrays are not as stated, or no temperature helps: the logits say as good
            as nothing about the labels, or the opposite.

    Source: Guo et al., ICML 2017, section 4.2.
    Differs: where every logit is on the right side of 0, as in small sets, the likelihood asks
    for a temperature of 0; there the labels are drawn in from 0 and 1 by a case each (Platt,
    1999, equation 1).
    """
    z = np.asarray(logits, dtype=np.float64)
    _, y = checked(expit(z), labels)
    positives, negatives = int(y.sum()), int((1 - y).sum())
    if not positives or not negatives:
        raise ValueError(
            f"{negatives} normal and {positives} pneumonia labels; a temperature can only be "
            "fitted where both occur: add cases of the other"
        )
    all_right = bool(((z > 0) == y).all())
    drawn_in = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    targets = drawn_in if all_right else y
    best = minimize_scalar(
        lambda log_t: negative_log_likelihood(z * math.exp(-log_t), targets),
        bounds=(math.log(LOWEST), math.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    temperature = math.exp(best.x)
    if not 1.01 * LOWEST < temperature < HIGHEST / 1.01:
        raise ValueError(
            f"no temperature between {LOWEST} and {HIGHEST} makes these {len(y)} labels likely: "
            "the network does not tell them apart; check that label 1 is pneumonia, and the weights"
        )
    return temperature
