"""Preprocessing that can be undone, and the views from which the network learns."""

from multimix_monai.transforms.intensity import RandIntensityd
from multimix_monai.transforms.load import read_radiograph
from multimix_monai.transforms.loading import LoadCased
from multimix_monai.transforms.orient import Orientd
from multimix_monai.transforms.postprocess import UnpackPredictiond, postprocessing
from multimix_monai.transforms.preprocess import (
    NormalizePercentilesd,
    ResizeLongestd,
    preprocessing,
)
from multimix_monai.transforms.quality import MaskQualityd
from multimix_monai.transforms.spatial import RandSpatiald
from multimix_monai.transforms.views import StrongView, TwoViewsd, WeakView, labelled_view

__all__ = [
    "LoadCased",
    "MaskQualityd",
    "NormalizePercentilesd",
    "Orientd",
    "RandIntensityd",
    "RandSpatiald",
    "ResizeLongestd",
    "StrongView",
    "TwoViewsd",
    "UnpackPredictiond",
    "WeakView",
    "labelled_view",
    "postprocessing",
    "preprocessing",
    "read_radiograph",
]
