"""Engines: is a picture a frontal chest radiograph, upright and not inverted, by the picture alone?

Needs no further pass of the network: what it took for lung is looked at.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import Tensor

from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.keys import Keys
from multimix_monai.engines.evaluator import Predict
from multimix_monai.engines.frontal_model import CLASSES, FRONTAL, REMEDY, load_frontal_model
from multimix_monai.transforms.lung_view import lung_measures, lung_views

logger = logging.getLogger(__name__)

MESSAGES = {
    "rotated_90": "looks like a chest that is turned by 90 degrees: turn it upright",
    "rotated_180": "looks like a chest that is upside down: turn it upright",
    "rotated_270": "looks like a chest that is turned by 270 degrees: turn it upright",
    "inverted": "looks inverted, air is bright in it: invert it, or correct its Photometric "
    "Interpretation or Presentation LUT Shape",
    "not_frontal_chest": "does not look like a frontal chest radiograph: leave it out",
}


class FrontalCheck:
    """Finds `Keys.FRONTAL` of each case: {"score", "reason", "message"}.

    `score` is the probability of an upright frontal chest that is not inverted, in [0, 1];
    `reason` is None or a code of MESSAGES, `rotated_90` that of a picture that was turned
    counterclockwise by 90 degrees. With other weights or another image size than its parameters
    were fitted to, the check cannot tell: it logs so once, `score` and `reason` are None, and
    `message` says why.

    Args:
        parameters: JSON that `python -m multimix_monai.experiments.frontal_check fit` wrote.
        ckpt_path: the network's weights.

    Raises:
        ValueError: a file is missing, or the parameters are none.
    """

    def __init__(self, parameters: str | Path, *, ckpt_path: str | Path) -> None:
        self.model = load_frontal_model(parameters)
        self.fits = weights_digest(ckpt_path) == self.model.weights_sha256
        self.has_warned = False

    def __call__(
        self, images: Tensor, predictions: Tensor, predict: Predict
    ) -> list[dict[str, Any]]:
        """images: (B, 1, S, S), predictions: (B, K, S, S) -> a dictionary for each image."""
        if not self.fits or images.shape[-1] != self.model.image_size:
            return [{Keys.FRONTAL: self._unchecked(images.shape[-1])} for _ in images]
        pictures, lungs = images[:, 0].float().cpu(), predictions[:, 0].float().cpu().sigmoid()
        probs = self.model.probabilities(
            lung_views(pictures, lungs), lung_measures(pictures, lungs)
        )
        return [{Keys.FRONTAL: self._found(row)} for row in probs]

    def _found(self, probs: Tensor) -> dict[str, Any]:
        """probs: (classes,)."""
        score = float(probs[CLASSES.index(FRONTAL)])
        if score >= self.model.threshold_prob:
            return {"score": score, "reason": None, "message": ""}
        reason = CLASSES[1 + int(probs[1:].argmax())]
        return {"score": score, "reason": reason, "message": MESSAGES[reason]}

    def _unchecked(self, image_size: int) -> dict[str, Any]:
        message = (
            "whether it is a frontal chest radiograph was not checked: the check was fitted to "
            f"weights {self.model.weights_sha256[:12]} at image_size {self.model.image_size}, "
            f"and these are others or at {image_size}: {REMEDY}"
        )
        if not self.has_warned:
            logger.warning(message)
            self.has_warned = True
        return {"score": None, "reason": None, "message": message}
