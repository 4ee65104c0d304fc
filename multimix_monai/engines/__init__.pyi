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
from .schedule import step_decay, warmup_cosine
from .streams import StepLoader, StepSampler, StreamDataset
from .teacher import Teacher
from .trainer import MultiMixTrainer

__all__ = [
    "CaseDataset",
    "CaseLoader",
    "DefaultRecipe",
    "FlipCheck",
    "FrontalCheck",
    "MultiMixEvaluator",
    "MultiMixTrainer",
    "PackingInferer",
    "PaperRecipe",
    "StepLoader",
    "StepSampler",
    "StreamDataset",
    "Teacher",
    "collate_cases",
    "keep_freed_memory",
    "step_decay",
    "supports_bf16",
    "warmup_cosine",
]
