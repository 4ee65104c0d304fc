from .intensity import RandIntensityd
from .load import read_radiograph
from .loading import LoadCased
from .orient import Orientd
from .postprocess import UnpackPredictiond, postprocessing
from .preprocess import (
    NormalizePercentilesd,
    ResizeLongestd,
    preprocessing,
)
from .quality import MaskQualityd
from .spatial import RandSpatiald
from .views import StrongView, TwoViewsd, WeakView, labelled_view

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
