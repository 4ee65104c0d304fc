"""Path of data, views: changes of grey that keep the polarity, so dense tissue stays bright.

Below, `image` is float32 (C, S, S) in [0, 1] and so is every result, unless a line says else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from multimix_monai.data.keys import Keys
from multimix_monai.transforms.spatial import plain


def brightness(image: Tensor, factor: float) -> Tensor:
    """Blend with black: 1 changes nothing, 0 is black."""
    return (image * factor).clamp_(0, 1)


def gamma(image: Tensor, exponent: float) -> Tensor:
    """Raise to a power: 1 changes nothing, under 1 brightens the middle."""
    return image.pow(exponent)


def contrast(image: Tensor, factor: float) -> Tensor:
    """Blend with the image's mean: 1 changes nothing, 0 is flat."""
    return torch.lerp(image.mean(), image, factor).clamp_(0, 1)


def autocontrast(image: Tensor) -> Tensor:
    """Stretch the darkest value to 0 and the brightest to 1; a flat image stays."""
    low, high = torch.aminmax(image)
    return image if high <= low else (image - low) / (high - low)


def equalize(image: Tensor) -> Tensor:
    """Flatten the histogram of 256 levels; the order of grey levels stays."""
    level = (image * 255).round_().long()
    cumulated = torch.bincount(level.flatten(), minlength=256).cumsum(0).float()
    first = cumulated[level.min()]
    table = (cumulated - first) / (cumulated[-1] - first).clamp(min=1)
    return table.clamp_(0, 1)[level]


def posterize(image: Tensor, bits: int) -> Tensor:
    """Keep the upper `bits` of 8."""
    step = 2 ** (8 - bits)
    return (image * (255 / step)).floor_() * (step / 255)


def solarize(image: Tensor, threshold: float) -> Tensor:
    """Invert what is at or above the threshold. Breaks polarity: an opacity turns dark as air."""
    return torch.where(image >= threshold, 1 - image, image)


def sharpness(image: Tensor, factor: float) -> Tensor:
    """Blend with a blurred copy: 1 changes nothing, 0 is blurred, over 1 sharpens.

    The window grows with the image, 3 pixels at 128 and 5 at 256, so that the look does not.
    """
    side = 2 * max(1, round(image.shape[-1] / 128)) + 1
    blurred = F.avg_pool2d(image, side, stride=1, padding=side // 2, count_include_pad=False)
    return torch.lerp(blurred, image, factor).clamp_(0, 1)


def shift_histogram(image: Tensor, levels: Tensor) -> Tensor:
    """Map [0, 1] through a rising curve. levels: (K,), its values at K even steps, rising."""
    last = len(levels) - 1
    position = image * last
    index = position.long().clamp_(max=last - 1)
    return torch.lerp(levels[index], levels[index + 1], position - index)


def bias_field(image: Tensor, field: Tensor) -> Tensor:
    """Multiply with a smooth field, as uneven exposure does. field: (g, g), log of the factor."""
    log_factor = F.interpolate(
        field[None, None], size=image.shape[-2:], mode="bilinear", align_corners=True
    )
    return (image * log_factor[0].exp_()).clamp_(0, 1)


class RandIntensityd(RandomizableTransform, MapTransform):
    """Vary exposure, tone, sharpness and noise as detectors and workstations do.

    In this order, each with its own probability: gamma or a tone curve, contrast, brightness,
    uneven exposure, blur or sharpening, noise.

    Args:
        keys: preprocessed images (C, S, S) in [0, 1]. They become plain tensors.
        prob: of each single change.
        gamma: largest; 1.5 is from 1/1.5 to 1.5.
        tone: largest departure of the tone curve's points, in grey; flat stretches from 0.1 on.
        contrast: largest relative change.
        brightness: largest relative change.
        bias: largest log factor of uneven exposure.
        sharpness: largest blend; 0.8 is from nearly blurred (0.2) to sharpened (1.8).
        noise: largest standard deviation of Gaussian noise, in grey.
    """

    def __init__(
        self,
        keys: Sequence[str] = (Keys.IMAGE,),
        *,
        prob: float = 0.3,
        gamma: float = 1.6,
        tone: float = 0.08,
        contrast: float = 0.3,
        brightness: float = 0.2,
        bias: float = 0.3,
        sharpness: float = 0.9,
        noise: float = 0.04,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys=True)
        RandomizableTransform.__init__(self, 1.0)
        self.change_prob = prob
        self.gamma, self.tone, self.contrast, self.brightness = gamma, tone, contrast, brightness
        self.bias, self.sharpness, self.noise = bias, sharpness, noise
        self.drawn: dict[str, Any] = {}

    def randomize(self, data: Any = None) -> None:
        spread = {name: float(self.R.uniform(-1, 1)) for name in ("gamma", "contrast")}
        spread |= {name: float(self.R.uniform(-1, 1)) for name in ("brightness", "sharpness")}
        inner = np.linspace(0, 1, 6) + self.R.uniform(-self.tone, self.tone, 6)
        levels = np.maximum.accumulate(np.clip(np.r_[0, inner[1:-1], 1], 0, 1))
        every = {
            "tone": torch.as_tensor(levels, dtype=torch.float32),
            "gamma": self.gamma ** spread["gamma"],
            "contrast": 1 + self.contrast * spread["contrast"],
            "brightness": 1 + self.brightness * spread["brightness"],
            "bias": torch.as_tensor(
                self.R.uniform(-self.bias, self.bias, size=(3, 3)), dtype=torch.float32
            ),
            "sharpness": 1 + self.sharpness * spread["sharpness"],
            "noise": (float(self.R.uniform(0, self.noise)), int(self.R.randint(2**31))),
        }
        taken = self.R.uniform(size=len(every)) < self.change_prob
        self.drawn = {name: every[name] for name, take in zip(every, taken, strict=True) if take}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        self.randomize()
        for key in self.key_iterator(item):
            image = plain(item[key])
            for name, amount in self.drawn.items():
                image = _CHANGES[name](image, amount)
            item[key] = image
        return item


def _add_noise(image: Tensor, amount: tuple[float, int]) -> Tensor:
    """amount: standard deviation in grey, and a seed: torch draws ten times faster than numpy."""
    std, seed = amount
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return torch.add(image, noise, alpha=std).clamp_(0, 1)


_CHANGES: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "tone": shift_histogram,
    "gamma": gamma,
    "contrast": contrast,
    "brightness": brightness,
    "bias": bias_field,
    "sharpness": sharpness,
    "noise": _add_noise,
}
