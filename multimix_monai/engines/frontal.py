"""Engines: is a picture a frontal chest radiograph, upright and not inverted, by the picture alone?

It looks at what the network took for lung, and at the picture as it looks from there: this needs
no further pass.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import Tensor

from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.keys import Keys
from multimix_monai.engines.evaluator import Predict
from multimix_monai.engines.frontal_model import NOT_CHEST, REMEDY, load_frontal_model
from multimix_monai.transforms.lung_view import lung_measures, lung_views, sure_lungs

logger = logging.getLogger(__name__)

MESSAGES = {
    "rotated_90": "looks like a chest that was turned by 90 degrees: turn it upright",
    "rotated_180": "looks like a chest that is upside down: turn it upright",
    "rotated_270": "looks like a chest that was turned by 270 degrees: turn it upright",
    "inverted": "looks inverted, air is bright in it: invert it, or correct what the file says of "
    "its Photometric Interpretation or Presentation LUT Shape",
    NOT_CHEST: "does not look like a frontal chest radiograph: leave it out",
}


class FrontalCheck:
    """Finds `Keys.FRONTAL` of each case: {"score", "reason", "message"}.

    `score` is the probability, in [0, 1], that it is an upright frontal chest, air dark; `reason`
    is None or a code of MESSAGES. Angles are counterclockwise: an upright picture that was turned
    so by 90 degrees is `rotated_90`.

    With other weights or another image size than its parameters were fitted to, the check cannot
    tell: it logs so once, `score` and `reason` are None, and `message` says why.

    Args:
        parameters: JSON that `python -m multimix_monai.experiments.frontal_check fit` wrote.
        ckpt_path: the network's weights.

    Raises:
        ValueError: a file is missing, or there are no parameters in it.
    """

    def __init__(self, parameters: str | Path, *, ckpt_path: str | Path) -> None:
        self.model = load_frontal_model(parameters)
        self.weights_sha256 = weights_digest(ckpt_path)
        self.has_warned = False

    def __call__(
        self, images: Tensor, predictions: Tensor, predict: Predict
    ) -> list[dict[str, Any]]:
        """images: (B, 1, S, S), predictions: (B, K, S, S) -> a dictionary for each image."""
        given = self.weights_sha256, images.shape[-1]
        if given != (self.model.weights_sha256, self.model.image_size):
            return [{Keys.FRONTAL: self._unchecked(images.shape[-1])} for _ in images]
        pictures = images[:, 0].float().cpu()
        lungs = sure_lungs(predictions[:, 0].float().cpu())
        numbers = self.model.numbers(lung_views(pictures, lungs), lung_measures(pictures, lungs))
        found = zip(self.model.score(numbers).tolist(), self.model.reasons(numbers), strict=True)
        return [{Keys.FRONTAL: self._verdict(score, reason)} for score, reason in found]

    def _verdict(self, score: float, reason: str) -> dict[str, Any]:
        if score >= self.model.threshold_prob:
            return {"score": score, "reason": None, "message": ""}
        return {"score": score, "reason": reason, "message": MESSAGES[reason]}

    def _unchecked(self, image_size: int) -> dict[str, Any]:
        message = (
            "not checked whether it is a frontal chest radiograph: the check was fitted to "
            f"weights {self.model.weights_sha256[:12]} at image_size {self.model.image_size}, and "
            f"these are {self.weights_sha256[:12]} at {image_size}: {REMEDY}"
        )
        if not self.has_warned:
            logger.warning(message)
            self.has_warned = True
        return {"score": None, "reason": None, "message": message}
