"""Drawing, a tool of all steps: smooth noise and wide blurs, worked out on coarse grids."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from multimix_monai.data.synthetic.patient import Pose


def clouds(rng: np.random.Generator, pose: Pose, scale_cm: float) -> np.ndarray:
    """Smooth noise of mean 0 and spread 1 with structures of scale_cm, float32 (H, W)."""
    factor = max(1, int(scale_cm / pose.cm_in_patient / 2))
    small = tuple(n // factor + 3 for n in pose.size)
    noise = ndimage.gaussian_filter(
        rng.standard_normal(small, dtype=np.float32), scale_cm / pose.cm_in_patient / factor
    )
    noise = (noise - noise.mean()) / (noise.std() + 1e-9)
    if factor > 1:
        noise = ndimage.zoom(noise, factor, order=1, mode="nearest", grid_mode=True)
    return noise[: pose.size[0], : pose.size[1]]


def coarse_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a wide sigma, worked out on a smaller grid."""
    factor = max(1, int(sigma / 2.5))
    rows, cols = (-(-n // factor) * factor for n in image.shape)
    padded = np.pad(image, ((0, rows - image.shape[0]), (0, cols - image.shape[1])), mode="edge")
    small = padded.reshape(rows // factor, factor, cols // factor, factor).mean(axis=(1, 3))
    small = ndimage.gaussian_filter(small, sigma / factor, mode="nearest")
    if factor == 1:
        return small
    wide = ndimage.zoom(small, factor, order=1, mode="nearest", grid_mode=True)
    return wide[: image.shape[0], : image.shape[1]]
