"""Path of data, measuring: one predicted mask and its truth on the same grid become numbers."""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.metrics import compute_confusion_matrix_metric, get_confusion_matrix
from monai.metrics.utils import get_edge_surface_distance
from numpy.typing import ArrayLike
from skimage.metrics import structural_similarity

OVERLAPS = {
    "dice": "f1 score",
    "jaccard": "threat score",
    "precision": "precision",
    "recall": "recall",
}
DISTANCES = ("average_hausdorff", "hausdorff", "hausdorff95", "assd")
SSIM_SIGMA_PX = 1.5
SSIM_WINDOW_PX = 11


def mask_metrics(
    pred: ArrayLike, truth: ArrayLike, *, spacing_mm: tuple[float, float] | None = None
) -> dict[str, float]:
    """How well a predicted mask agrees with the truth.

    ``precision`` is the part of the prediction that is lung, ``recall`` the part of the lung that
    is predicted. Distances run between contours (the foreground pixels with a background
    neighbour of the four, or at the image's border); all distances from the prediction's contour
    to the truth's nearest pixel, and those the other way round, give

    - ``hausdorff``: the largest of all;
    - ``hausdorff95``: the greater of the two directions' 95th percentiles;
    - ``average_hausdorff``: the greater of the two directions' means;
    - ``assd``: the mean of all of them.

    What has no value is nan, never a flattering number:

    | prediction | truth | dice, jaccard | precision | recall | distances |
    |---|---|---|---|---|---|
    | empty | empty | nan | nan | nan | nan |
    | empty | lung | 0 | nan | 0 | nan |
    | lung | empty | 0 | 0 | nan | nan |

    Args:
        pred: (H, W), 0 or 1.
        truth: (H, W), 0 or 1, of the same shape.
        spacing_mm: (row, column) distance of neighbouring pixels, if known.

    Returns:
        ``dice``, ``jaccard``, ``precision``, ``recall``, ``ssim``, the distances in pixels
        (``hausdorff_px``, ...) and, with spacing, in millimetres (``hausdorff_mm``, ...).

    Raises:
        ValueError: if a mask is not 2-D or not binary, the shapes differ, or the spacing is not
            two positive numbers.

    Source: MONAI's confusion matrix and surface distances. Average Hausdorff: Taha and Hanbury,
    BMC Med Imaging 15:29 (2015). SSIM: Wang et al., IEEE TIP 13:600 (2004), by scikit-image.
    Differs: the average Hausdorff distance runs over contours, not over all foreground pixels,
    since those inside both masks are 0 and only hide the error.
    """
    pred_mask, truth_mask = _binary(pred, name="pred"), _binary(truth, name="truth")
    if pred_mask.shape != truth_mask.shape:
        raise ValueError(
            f"pred is {_size(pred_mask)} and truth is {_size(truth_mask)}; both must lie on the "
            "same grid: resample the prediction to the truth first"
        )
    values = {
        **_overlap(pred_mask, truth_mask),
        "ssim": _ssim(pred_mask, truth_mask),
        **_distances(pred_mask, truth_mask, spacing=(1.0, 1.0), unit="px"),
    }
    if spacing_mm is not None:
        _check_spacing(spacing_mm)
        values |= _distances(pred_mask, truth_mask, spacing=spacing_mm, unit="mm")
    return values


def _binary(mask: ArrayLike, *, name: str) -> np.ndarray:
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; one 2-D mask (H, W) is expected")
    is_lung = array == 1
    if not np.all(is_lung | (array == 0)):
        raise ValueError(
            f"{name} holds values from {array.min()} to {array.max()}; only 0 and 1 are allowed: "
            "threshold it first"
        )
    return is_lung


def _size(mask: np.ndarray) -> str:
    return f"{mask.shape[0]}x{mask.shape[1]}"


def _check_spacing(spacing_mm: tuple[float, float]) -> None:
    if len(spacing_mm) != 2 or not all(math.isfinite(s) and s > 0 for s in spacing_mm):
        raise ValueError(
            f"spacing_mm is {tuple(spacing_mm)}; two positive numbers (row, column) are expected, "
            "or None where it is unknown"
        )


def _overlap(pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    counts = get_confusion_matrix(_batched(pred).long(), _batched(truth).long())
    return {
        name: float(compute_confusion_matrix_metric(monai_name, counts))
        for name, monai_name in OVERLAPS.items()
    }


def _batched(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask)[None, None]


def _ssim(pred: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity of the two masks as images; nan where the window does not fit in."""
    if min(pred.shape) < SSIM_WINDOW_PX:
        return math.nan
    return float(
        structural_similarity(
            truth.astype(np.float32),
            pred.astype(np.float32),
            data_range=1.0,
            gaussian_weights=True,
            sigma=SSIM_SIGMA_PX,
            use_sample_covariance=False,
        )
    )


def _distances(
    pred: np.ndarray, truth: np.ndarray, *, spacing: tuple[float, float], unit: str
) -> dict[str, float]:
    names = [f"{name}_{unit}" for name in DISTANCES]
    if not pred.any() or not truth.any():
        return dict.fromkeys(names, math.nan)
    _, directions, _ = get_edge_surface_distance(
        torch.from_numpy(pred),
        torch.from_numpy(truth),
        spacing=[float(s) for s in spacing],
        symmetric=True,
    )
    values = (
        max(float(d.mean()) for d in directions),
        max(float(d.max()) for d in directions),
        max(float(np.percentile(d.numpy(), 95)) for d in directions),
        float(torch.cat(list(directions)).mean()),
    )
    return dict(zip(names, values, strict=True))
