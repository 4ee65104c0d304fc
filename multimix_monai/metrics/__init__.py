"""Path of data, measuring: predictions and truths in, numbers with their uncertainty out."""

from multimix_monai.metrics.bootstrap import Interval, patient_bootstrap, patient_bootstrap_all
from multimix_monai.metrics.calibration import (
    Reliability,
    expected_calibration_error,
    reliability_curve,
)
from multimix_monai.metrics.classification import choose_threshold, label_metrics
from multimix_monai.metrics.segmentation import mask_metrics
from multimix_monai.metrics.summary import CaseResult, summarise

__all__ = [
    "CaseResult",
    "Interval",
    "Reliability",
    "choose_threshold",
    "expected_calibration_error",
    "label_metrics",
    "mask_metrics",
    "patient_bootstrap",
    "patient_bootstrap_all",
    "reliability_curve",
    "summarise",
]
