"""Path of data, views: changes of grey that keep the polarity, so dense tissue stays bright.

Below, `images` is float32 (B, C, S, S) in [0, 1] and so is every result, unless a line says else.
An amount is one number for all images or (B, 1, 1, 1), one for each.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from multimix_monai.data.keys import Keys
from multimix_monai.transforms.batch import as_batch, change, spread

Amount = float | Tensor
TONE_POINTS = 6
BIAS_POINTS = 3  # along a side


def brightness(images: Tensor, factor: Amount) -> Tensor:
    """Blend with black: 1 changes nothing, 0 is black."""
    return (images * factor).clamp_(0, 1)


def gamma(images: Tensor, exponent: Amount) -> Tensor:
    """Raise to a power: 1 changes nothing, under 1 brightens the middle."""
    return images.log().mul_(exponent).exp_()  # a quarter of pow's time, and 0 stays 0


def contrast(images: Tensor, factor: Amount) -> Tensor:
    """Blend with the image's mean: 1 changes nothing, 0 is flat."""
    return _blend(images.mean(dim=(1, 2, 3), keepdim=True), images, factor)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch the darkest value to 0 and the brightest to 1; a flat image stays."""
    low, high = images.flatten(1).aminmax(dim=1, keepdim=True)
    low, width = low[..., None, None], (high - low)[..., None, None]
    return torch.where(width > 0, (images - low) / width, images)


def equalize(images: Tensor) -> Tensor:
    """Flatten the histogram of 256 levels; the order of grey levels stays."""
    level = (images * 255).round_().long().flatten(1)
    counts = images.new_zeros(len(images), 256)
    counts.scatter_add_(1, level, images.new_ones(()).expand_as(level))
    cumulated = counts.cumsum(1)
    first = cumulated.gather(1, level.amin(1, keepdim=True))
    table = (cumulated - first) / (level.shape[1] - first).clamp(min=1)
    return table.clamp_(0, 1).gather(1, level).view_as(images)


def posterize(images: Tensor, bits: Amount) -> Tensor:
    """Keep the upper `bits` of 8, a whole number."""
    step = 2 ** (8 - bits)
    return (images * (255 / step)).floor_() * (step / 255)


def solarize(images: Tensor, threshold: Amount) -> Tensor:
    """Invert what is at or above the threshold. Breaks polarity: an opacity turns dark as air."""
    return torch.where(images >= threshold, 1 - images, images)


def sharpness(images: Tensor, factor: Amount) -> Tensor:
    """Blend with a blurred copy: 1 changes nothing, 0 is blurred, over 1 sharpens.

    The window grows with the image, 3 pixels at 128 and 5 at 256, so that the look does not.
    """
    reach = max(1, round(images.shape[-1] / 128))
    counts = _window_sums(torch.ones_like(images[:1]), reach)
    return _blend(_window_sums(images, reach).div_(counts), images, factor)


def _window_sums(images: Tensor, reach: int) -> Tensor:
    """Each pixel's sum with its neighbours, `reach` to every side, as far as the image goes.

    Differs: from F.avg_pool2d, which adds a window anew for each pixel and takes three times as
    long.
    """
    for axis, padding in ((2, (0, 0, reach, reach)), (3, (reach, reach))):
        padded, side = F.pad(images, padding), images.shape[axis]
        images = padded.narrow(axis, 0, side).clone()
        for shift in range(1, 2 * reach + 1):
            images.add_(padded.narrow(axis, shift, side))
    return images


def _blend(other: Tensor, images: Tensor, factor: Amount) -> Tensor:
    """As torch.lerp, in a third of its time where the factor is a tensor."""
    return images.sub(other).mul_(factor).add_(other).clamp_(0, 1)


def shift_histogram(images: Tensor, levels: Tensor) -> Tensor:
    """Map [0, 1] through a rising curve. levels: (B, K), its values at K even steps, rising."""
    last = levels.shape[1] - 1
    position = images.flatten(1) * last
    index = position.long().clamp_(max=last - 1)
    slope = levels.diff(dim=1)
    start = levels[:, :-1] - slope * torch.arange(last, device=levels.device)
    mapped = torch.addcmul(start.gather(1, index), slope.gather(1, index), position)
    return mapped.clamp_(0, 1).view_as(images)


def bias_field(images: Tensor, field: Tensor) -> Tensor:
    """Multiply with a smooth field, as uneven exposure does. field: (B, g, g), the factor's log."""
    log_factor = spread(field[:, None], side=images.shape[-1], mode="bilinear", align_corners=True)
    return log_factor.exp_().mul(images).clamp_(0, 1)


def opacity(images: Tensor, blobs: Tensor) -> Tensor:
    """Veil a round place, as fluid or a consolidation does: brighter, and all under it fainter.

    blobs: (B, 4), of each image the column and row of the centre and the radius, as fractions of
    the side, and how much of what lies there is hidden, in [0, 1].
    """
    side = images.shape[-1]
    centres = (torch.arange(side, dtype=images.dtype, device=images.device) + 0.5) / side
    column, row, radius, hidden = blobs.to(images)[:, :, None].unbind(1)  # (B, 1) each
    across = torch.exp(-(((centres - column) / radius) ** 2))[:, None, None, :]
    down = torch.exp(-(((centres - row) / radius) ** 2))[:, None, :, None]
    veil = across * down * hidden[:, :, None, None]
    return (images + veil * (1 - images)).clamp_(0, 1)


def noise(images: Tensor, std: Amount, *, seed: int) -> Tensor:
    """Add Gaussian noise of a standard deviation in grey, other for another seed or device."""
    generator = torch.Generator(images.device).manual_seed(seed)
    drawn = torch.empty_like(images).normal_(generator=generator)
    return drawn.mul_(std).add_(images).clamp_(0, 1)


class RandIntensityd(Randomizable, MapTransform):
    """Vary exposure, tone, sharpness and noise as detectors and workstations do.

    In this order, each with its own probability for each image: a tone curve, gamma, contrast,
    brightness, uneven exposure, blur or sharpening, noise, an opacity.

    Args:
        keys: preprocessed images (B, C, S, S) in [0, 1]. They become plain tensors.
        prob: of each single change.
        gamma: largest; 1.5 is from 1/1.5 to 1.5.
        tone: largest departure of the tone curve's points, in grey; flat stretches from 0.1 on.
        contrast: largest relative change.
        brightness: largest relative change.
        bias: largest log factor of uneven exposure.
        sharpness: largest blend; 0.8 is from nearly blurred (0.2) to sharpened (1.8).
        noise: largest standard deviation of Gaussian noise, in grey.
        opacity: how much a veil may hide, in [0, 1], so that masks go on under fluid; not for
            cases whose label it would make wrong.
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
        opacity: float = 0.0,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys=True)
        self.prob = prob
        self.gamma, self.tone, self.contrast, self.brightness = gamma, tone, contrast, brightness
        self.bias, self.sharpness, self.noise, self.opacity = bias, sharpness, noise, opacity
        self.amounts: dict[str, np.ndarray] = {}
        self.taken: dict[str, np.ndarray] = {}
        self.noise_seed = 0

    def randomize(self, data: int) -> None:
        """Draw every change's amount for each of `data` images, and who takes it."""
        gamma, contrast, brightness, sharpness = self.R.uniform(-1, 1, size=(4, data, 1, 1, 1))
        self.amounts = {
            "shift_histogram": self._levels(data),
            "gamma": self.gamma**gamma,
            "contrast": 1 + self.contrast * contrast,
            "brightness": 1 + self.brightness * brightness,
            "bias_field": self.R.uniform(-self.bias, self.bias, (data, BIAS_POINTS, BIAS_POINTS)),
            "sharpness": 1 + self.sharpness * sharpness,
            "noise": self.R.uniform(0, self.noise, size=(data, 1, 1, 1)),
        }
        if self.opacity:
            self.amounts["opacity"] = self.R.uniform(
                (0.1, 0.2, 0.1, 0.3 * self.opacity), (0.9, 0.9, 0.4, self.opacity), size=(data, 4)
            )
        self.taken = {name: self.R.uniform(size=data) < self.prob for name in self.amounts}
        self.noise_seed = int(self.R.randint(2**31))

    def _levels(self, n: int) -> np.ndarray:
        """Tone curves (n, K), rising from 0 to 1."""
        levels = np.tile(np.linspace(0, 1, TONE_POINTS), (n, 1))
        levels[:, 1:-1] += self.R.uniform(-self.tone, self.tone, size=(n, TONE_POINTS - 2))
        return np.maximum.accumulate(levels.clip(0, 1), axis=1)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        planes = {key: as_batch(item[key]).clone() for key in self.key_iterator(item)}
        self.randomize(max(map(len, planes.values()), default=0))
        for images in planes.values():
            for name, amount in self.amounts.items():
                change(images, self.taken[name], self._function(name), amount)
        return {**item, **planes}

    def _function(self, name: str) -> Callable[..., Tensor]:
        return partial(noise, seed=self.noise_seed) if name == "noise" else _CHANGES[name]


_CHANGES: dict[str, Callable[..., Tensor]] = {
    f.__name__: f
    for f in (shift_histogram, gamma, contrast, brightness, bias_field, opacity, sharpness)
}
