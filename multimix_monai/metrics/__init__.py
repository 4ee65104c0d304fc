"""Path of data, measuring: predictions and truths in, numbers with their uncertainty out."""

from multimix_monai.metrics.bootstrap import Interval, patient_bootstrap, patient_bootstrap_all
from multimix_monai.metrics.calibration import (
    Reliability,
    expected_calibration_error,
    reliability_curve,
)
from multimix_monai.metrics.classification import choose_threshold, label_metrics
from multimix_monai.metrics.paired import (
    Difference,
    paired_difference,
    weighted_auc,
    weighted_mean,
)
from multimix_monai.metrics.segmentation import mask_metrics
from multimix_monai.metrics.summary import CaseResult, summarise
from multimix_monai.metrics.temperature import (
    calibrated,
    fit_temperature,
    log_odds,
    negative_log_likelihood,
)

__all__ = [
    "CaseResult",
    "Difference",
    "Interval",
    "Reliability",
    "calibrated",
    "choose_threshold",
    "expected_calibration_error",
    "fit_temperature",
    "label_metrics",
    "log_odds",
    "mask_metrics",
    "negative_log_likelihood",
    "paired_difference",
    "patient_bootstrap",
    "patient_bootstrap_all",
    "reliability_curve",
    "summarise",
    "weighted_auc",
    "weighted_mean",
]
