"""Engines: streams of cases, recipes, the trainer and the evaluator."""

from multimix_monai.engines.cases import CaseDataset
from multimix_monai.engines.default_recipe import DefaultRecipe
from multimix_monai.engines.evaluator import MultiMixEvaluator, collate_cases
from multimix_monai.engines.frontal import FrontalCheck
from multimix_monai.engines.inferer import PackingInferer
from multimix_monai.engines.memory import keep_freed_memory
from multimix_monai.engines.paper_recipe import PaperRecipe
from multimix_monai.engines.precision import supports_bf16
from multimix_monai.engines.quality import FlipCheck
from multimix_monai.engines.reading import CaseLoader
from multimix_monai.engines.schedule import step_decay, warmup_cosine
from multimix_monai.engines.streams import StepSampler, StreamDataset
from multimix_monai.engines.teacher import Teacher
from multimix_monai.engines.trainer import MultiMixTrainer

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
    "StepSampler",
    "StreamDataset",
    "Teacher",
    "collate_cases",
    "keep_freed_memory",
    "step_decay",
    "supports_bf16",
    "warmup_cosine",
]
