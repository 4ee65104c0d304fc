"""Arrays: is a picture a frontal chest radiograph, upright and not inverted, by the picture alone?

It looks at what the network took for lung, and at the picture as it looks from there: this needs
no further pass.
"""

from __future__ import annotations

import logging
from typing import Any

from multimix_monai.arrays.frontal_model import NOT_CHEST, REMEDY, FrontalModel
from multimix_monai.arrays.lung_measures import lung_measures
from multimix_monai.arrays.lung_view import Array, lung_views, sure_lungs

logger = logging.getLogger(__name__)

MESSAGES = {
    "rotated_90": "looks like a chest that was turned by 90 degrees: turn it upright",
    "rotated_180": "looks like a chest that is upside down: turn it upright",
    "rotated_270": "looks like a chest that was turned by 270 degrees: turn it upright",
    "inverted": "looks inverted, air is bright in it: invert it, or correct what the file says of "
    "its Photometric Interpretation or Presentation LUT Shape",
    NOT_CHEST: "does not look like a frontal chest radiograph: leave it out",
}


class FrontalJudge:
    """Says of each picture {"score", "reason", "message"}.

    `score` is the probability, in [0, 1], that it is an upright frontal chest, air dark; `reason`
    is None or a code of MESSAGES. Angles are counterclockwise: an upright picture that was turned
    so by 90 degrees is `rotated_90`.

    With other weights or another image size than its parameters were fitted to, or without any, it
    cannot tell: it logs so once, `score` and `reason` are None, and `message` says why.

    Args:
        model: the parameters, None if there are none.
        weights_sha256: of the network's weights.
    """

    def __init__(self, model: FrontalModel | None, *, weights_sha256: str) -> None:
        self.model = model
        self.weights_sha256 = weights_sha256
        self.has_warned = False

    def __call__(self, images: Array, lung_logits: Array) -> list[dict[str, Any]]:
        """images, lung_logits: (B, S, S), on the network's grid -> a dictionary for each image."""
        model, image_size = self.model, images.shape[-1]
        if model is None or not self._fits(model, image_size):
            return [self._unchecked(image_size) for _ in images]
        lungs = sure_lungs(lung_logits)
        numbers = model.numbers(lung_views(images, lungs), lung_measures(images, lungs))
        found = zip(model.score(numbers), model.reasons(numbers), strict=True)
        return [_verdict(model, float(score), reason) for score, reason in found]

    def _fits(self, model: FrontalModel, image_size: int) -> bool:
        return (self.weights_sha256, image_size) == (model.weights_sha256, model.image_size)

    def _unchecked(self, image_size: int) -> dict[str, Any]:
        fitted = (
            "there are no parameters"
            if self.model is None
            else f"the check was fitted to weights {self.model.weights_sha256[:12]} at image_size "
            f"{self.model.image_size}"
        )
        message = (
            f"not checked whether it is a frontal chest radiograph: {fitted}, and these are "
            f"{self.weights_sha256[:12]} at {image_size}: {REMEDY}"
        )
        if not self.has_warned:
            logger.warning(message)
            self.has_warned = True
        return {"score": None, "reason": None, "message": message}


def _verdict(model: FrontalModel, score: float, reason: str) -> dict[str, Any]:
    if score >= model.threshold_prob:
        return {"score": score, "reason": None, "message": ""}
    return {"score": score, "reason": reason, "message": MESSAGES[reason]}
