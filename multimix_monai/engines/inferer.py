"""Engines: the network's answer as one tensor, whichever form the network gives it in."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor, nn

from multimix_monai.networks import Prediction, pack


class PackingInferer(SimpleInferer):
    """SimpleInferer that packs MultiMix's prediction: (B, mask + saliency + classes, H, W).

    On a processor, in inference mode, each core takes the next image of a batch: no core waits for
    the others after every layer, which doubles the work where other processes use the cores too. A
    single image has all cores.
    """

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        predict = partial(self._packed, network=network, args=args, kwargs=kwargs)
        is_plain = torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")
        if inputs.device.type != "cpu" or len(inputs) == 1 or not is_plain:
            return predict(inputs)
        return torch.cat(_by_core(predict, inputs.split(1)))

    def _packed(self, inputs: Tensor, network: nn.Module, args: Any, kwargs: Any) -> Tensor:
        out = super().__call__(inputs, network, *args, **kwargs)
        return pack(out) if isinstance(out, Prediction) else out


def _by_core(predict: Callable[[Tensor], Tensor], images: Sequence[Tensor]) -> list[Tensor]:
    """The prediction of each (1, C, H, W), made on one core."""
    cores = torch.get_num_threads()

    def on_one_core(image: Tensor) -> Tensor:
        with torch.inference_mode():  # modes belong to threads
            return predict(image)

    try:
        return list(_threads(cores, os.getpid()).map(on_one_core, images))
    finally:
        torch.set_num_threads(cores)  # also for threads to come


@lru_cache(maxsize=1)
def _threads(cores: int, process: int) -> ThreadPoolExecutor:
    """Kept, since what a new thread asks for first costs a fifth of a prediction.

    A forked process has none of its parent's threads, and gets its own.
    """
    return ThreadPoolExecutor(cores, "infer", torch.set_num_threads, (1,))
