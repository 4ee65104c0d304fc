"""Handlers: what hangs on an engine: checkpoints, metrics, progress, pictures."""

from multimix_monai.handlers.case_progress import CaseProgress
from multimix_monai.handlers.case_writer import CaseWriter
from multimix_monai.handlers.checkpoints import Checkpoints, load_weights
from multimix_monai.handlers.progress import Progress, ScoreLog
from multimix_monai.handlers.results_table import ResultsTable
from multimix_monai.handlers.tensorboard import TensorBoardTerms
from multimix_monai.handlers.validation_metrics import KnownAUC, KnownMeanDice, MeanOfMetrics

__all__ = [
    "CaseProgress",
    "CaseWriter",
    "Checkpoints",
    "KnownAUC",
    "KnownMeanDice",
    "MeanOfMetrics",
    "Progress",
    "ResultsTable",
    "ScoreLog",
    "TensorBoardTerms",
    "load_weights",
]
