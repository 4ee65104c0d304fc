"""Drawing, step 6: from attenuation to a picture, as a digital detector and its software do."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from multimix_monai.data.synthetic.noise import coarse_blur
from multimix_monai.data.synthetic.patient import Pose

_LETTERS = {
    "R": ("1111.", "1...1", "1...1", "1111.", "1.1..", "1..1.", "1...1"),
    "L": ("1....", "1....", "1....", "1....", "1....", "1....", "11111"),
}


def expose(attenuation: np.ndarray, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Log signal of the detector: Beer-Lambert, scatter, focal blur and photon noise.

    Args:
        attenuation: line integral of the attenuation coefficient, float32 (H, W), no unit.
        pose: gives the size of a pixel.
        rng: source of exposure and noise.

    Returns:
        -log of the intensity relative to the open beam, float32 (H, W): bright = dense.
    """
    primary = np.exp(-attenuation)
    share = rng.uniform(0.05, 0.14)
    intensity = primary + share * _scatter(primary, pose)
    intensity = ndimage.gaussian_filter(intensity, 0.055 / pose.cm_in_patient)
    # A detector of fewer, larger pixels counts more photons in each.
    photons = np.exp(rng.uniform(np.log(1.2e4), np.log(8e4))) * (pose.cm_per_pixel / 0.084) ** 2
    grain = rng.standard_normal(attenuation.shape, dtype=np.float32)
    grain = ndimage.gaussian_filter(grain, 0.5) * 1.7
    noisy = intensity + grain * np.sqrt(intensity / photons)
    return -np.log(np.clip(noisy, 2e-4, None))


def develop(
    signal: np.ndarray, lungs: np.ndarray, pose: Pose, rng: np.random.Generator
) -> np.ndarray:
    """Tone curve of the workstation: window set by the lungs, detail lifted, S-shaped.

    Args:
        signal: log signal, float32 (H, W).
        lungs: mask of the lungs, bool (H, W), by which the software sets its window.
        pose: gives the size of a pixel.
        rng: source of the settings.

    Returns:
        Pixels in [0, 1], float32 (H, W).
    """
    blurred = coarse_blur(signal, 1.4 / pose.cm_in_patient)
    signal = signal + rng.uniform(0.0, 0.55) * (signal - blurred)
    low, high = np.quantile(signal[lungs], 0.02), np.quantile(signal, 0.985)
    low = low - (high - low) * rng.uniform(0.0, 0.3)
    u = (signal - low) / (high - low)
    steep, centre = rng.uniform(2.6, 5.0), rng.uniform(0.38, 0.58)
    ends = 1 / (1 + np.exp(-steep * (np.array([-0.15, 1.05]) - centre)))
    toned = (1 / (1 + np.exp(-steep * (u - centre))) - ends[0]) / (ends[1] - ends[0])
    return np.clip(toned, 0, 1).astype(np.float32)


def collimate(
    pixels: np.ndarray, lungs: np.ndarray, pose: Pose, rng: np.random.Generator
) -> np.ndarray:
    """Blackens what the shutters covered, on one to four sides, never over the lungs."""
    if rng.random() < 0.5:
        return pixels
    rows, cols = np.nonzero(lungs)
    room = (
        rows.min(),
        pixels.shape[0] - 1 - rows.max(),
        cols.min(),
        pixels.shape[1] - 1 - cols.max(),
    )
    most = [0.09 * pixels.shape[0]] * 2 + [0.07 * pixels.shape[1]] * 2
    shut = [
        min(0.7 * r, m) * rng.uniform(0.2, 1) * (rng.random() < 0.55)
        for r, m in zip(room, most, strict=True)
    ]
    v, u = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32)
    tilt = np.tan(rng.normal(0.0, 0.008))
    v, u = v + tilt * (u - u.mean()), u - tilt * (v - v.mean())
    gaps = (
        v - shut[0],
        pixels.shape[0] - 1 - shut[1] - v,
        u - shut[2],
        pixels.shape[1] - 1 - shut[3] - u,
    )
    open_field = np.ones_like(pixels)
    for gap, width in zip(gaps, shut, strict=True):
        if width > 0:
            open_field *= np.clip(gap / 1.5 + 0.5, 0, 1)
    return pixels * open_field + rng.choice([0.0, 0.03]) * (1 - open_field)


def mark(pixels: np.ndarray, lungs: np.ndarray, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Burns in the side marker of lead, R or L, beside the lungs, on most images."""
    if rng.random() < 0.25:
        return pixels
    letter = "R" if rng.random() < 0.6 else "L"
    glyph = np.array([[c == "1" for c in row] for row in _LETTERS[letter]], dtype=np.float32)
    scale = max(1.0, rng.uniform(0.16, 0.3) / pose.cm_per_pixel)
    glyph = ndimage.zoom(np.pad(glyph, 1), scale, order=2)
    glyph = np.clip(3 * ndimage.gaussian_filter(glyph, 0.25 * scale) - 1, 0, 1)
    h, w = glyph.shape
    edge = int(rng.uniform(0.03, 0.07) * pixels.shape[1])
    top = int(rng.uniform(0.05, 0.3) * pixels.shape[0])
    left = edge if letter == "R" else pixels.shape[1] - edge - w
    if top + h > pixels.shape[0] or left < 0 or left + w > pixels.shape[1]:
        return pixels
    place = (slice(top, top + h), slice(left, left + w))
    if lungs[place].any():
        return pixels
    marked = pixels.copy()
    marked[place] = np.maximum(marked[place], rng.uniform(0.85, 1.0) * glyph)
    return marked


def _scatter(primary: np.ndarray, pose: Pose) -> np.ndarray:
    """Scatter that reaches the detector: born where tissue is, spread over centimetres."""
    born = np.clip(primary, 0, 0.5) * (1 - primary)
    return coarse_blur(born, 3.0 / pose.cm_in_patient)
