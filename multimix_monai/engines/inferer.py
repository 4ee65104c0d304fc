"""Engines: the network's answer as one tensor, whichever form the network gives it in."""

from __future__ import annotations

from typing import Any

from monai.inferers import SimpleInferer
from torch import Tensor, nn

from multimix_monai.networks import Prediction, pack


class PackingInferer(SimpleInferer):
    """SimpleInferer that packs MultiMix's prediction: (B, mask + saliency + classes, H, W)."""

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        out = super().__call__(inputs, network, *args, **kwargs)
        return pack(out) if isinstance(out, Prediction) else out
