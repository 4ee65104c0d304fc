from .case_progress import CaseProgress
from .case_writer import CaseWriter
from .checkpoints import Checkpoints, load_weights
from .progress import Progress, ScoreLog
from .results_table import ResultsTable
from .tensorboard import TensorBoardTerms
from .validation import Validation
from .validation_metrics import KnownAUC, KnownMeanDice, MeanOfMetrics

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
    "Validation",
    "load_weights",
]
