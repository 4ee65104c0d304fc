"""Engines: is a picture a frontal chest radiograph? The check of `arrays.frontal` on tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from multimix_monai.arrays.frontal import FrontalJudge
from multimix_monai.arrays.frontal_model import load_frontal_model
from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.keys import Keys
from multimix_monai.engines.evaluator import Predict


class FrontalCheck:
    """Finds `Keys.FRONTAL` of each case: {"score", "reason", "message"}, see `FrontalJudge`.

    Args:
        parameters: JSON that `python -m multimix_monai.experiments.frontal_check fit` wrote.
        ckpt_path: the network's weights.

    Raises:
        ValueError: a file is missing, or there are no parameters in it.
    """

    def __init__(self, parameters: str | Path, *, ckpt_path: str | Path) -> None:
        self.model = load_frontal_model(parameters)
        self.judge = FrontalJudge(self.model, weights_sha256=weights_digest(ckpt_path))

    def __call__(
        self, images: Tensor, predictions: Tensor, predict: Predict
    ) -> list[dict[str, Any]]:
        """images: (B, 1, S, S), predictions: (B, K, S, S) -> a dictionary for each image."""
        pictures, lung_logits = (x[:, 0].float().cpu().numpy() for x in (images, predictions))
        return [{Keys.FRONTAL: verdict} for verdict in self.judge(pictures, lung_logits)]
