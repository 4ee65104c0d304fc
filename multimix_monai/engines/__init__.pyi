from .cases import CaseDataset
from .default_recipe import DefaultRecipe
from .evaluator import MultiMixEvaluator, collate_cases
from .frontal import FrontalCheck
from .inferer import PackingInferer
from .memory import keep_freed_memory
from .paper_recipe import PaperRecipe
from .precision import supports_bf16
from .quality import FlipCheck
from .reading import CaseLoader
from .sampling import Informativeness, next_cases
from .schedule import step_decay, warmup_cosine
from .streams import StepLoader, StepSampler, StreamDataset
from .teacher import Teacher
from .trainer import MultiMixTrainer
from .uncertainty import appearance, informativeness

__all__ = [
    "CaseDataset",
    "CaseLoader",
    "DefaultRecipe",
    "FlipCheck",
    "FrontalCheck",
    "Informativeness",
    "MultiMixEvaluator",
    "MultiMixTrainer",
    "PackingInferer",
    "PaperRecipe",
    "StepLoader",
    "StepSampler",
    "StreamDataset",
    "Teacher",
    "appearance",
    "collate_cases",
    "informativeness",
    "keep_freed_memory",
    "next_cases",
    "step_decay",
    "supports_bf16",
    "warmup_cosine",
]
