"""Engines: the network's answer as one tensor, whichever form the network gives it in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor, nn

from multimix_monai.networks import Prediction, pack


class PackingInferer(SimpleInferer):
    """SimpleInferer that packs MultiMix's prediction: (B, mask + saliency + classes, H, W).

    On a processor each core takes the next image: nothing waits for the slowest core after every
    layer, which costs several times the work where other processes use the cores too, and no
    result hangs on the size of the batch.
    """

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        def predict(images: Tensor) -> Tensor:
            out = super(PackingInferer, self).__call__(images, network, *args, **kwargs)
            return pack(out) if isinstance(out, Prediction) else out

        if inputs.device.type != "cpu" or torch.is_grad_enabled():
            return predict(inputs)
        return torch.cat(_by_core(predict, inputs.split(1)))


def _by_core(predict: Any, images: tuple[Tensor, ...]) -> list[Tensor]:
    """Each (1, C, H, W) by itself, on one core."""
    mode, cores = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def one(image: Tensor) -> Tensor:
        with torch.inference_mode(mode), torch.no_grad():
            answer: Tensor = predict(image)
        return answer

    try:
        with ThreadPoolExecutor(cores, "infer", torch.set_num_threads, (1,)) as threads:
            return list(threads.map(one, images))
    finally:
        torch.set_num_threads(cores)  # for threads to come
