"""Drawing, step 2: line integrals of small elements, for ribs, clavicles, vessels, bronchi."""

from __future__ import annotations

import numpy as np

from multimix_monai.data.synthetic.patient import Pose


def splat(x: np.ndarray, y: np.ndarray, volume: np.ndarray, *, pose: Pose) -> np.ndarray:
    """Sums volume elements along the beam, shared bilinearly between the four nearest pixels.

    Args:
        x: patient coordinate in cm, any shape.
        y: patient coordinate in cm, same shape.
        volume: volume of each element in cm3 (may be weighted), same shape.
        pose: where the patient stands.

    Returns:
        Thickness in cm along the beam, float32 (H, W). What falls outside the image is lost.
    """
    rows, cols = pose.size
    r, c = pose.to_pixels(x.ravel(), y.ravel())
    inside = (r >= 0) & (r < rows - 1) & (c >= 0) & (c < cols - 1)
    r, c, w = r[inside], c[inside], volume.ravel()[inside] / pose.cm_in_patient**2
    r0, c0 = r.astype(np.int64), c.astype(np.int64)
    fr, fc = r - r0, c - c0
    flat = r0 * cols + c0
    below = w * fr
    above = w - below
    total = np.zeros(rows * cols)
    for offset, share in (
        (0, above * (1 - fc)),
        (1, above * fc),
        (cols, below * (1 - fc)),
        (cols + 1, below * fc),
    ):
        total += np.bincount(flat + offset, share, minlength=rows * cols)
    return total.reshape(rows, cols).astype(np.float32)


def cylinders(
    start: np.ndarray,
    end: np.ndarray,
    radius: np.ndarray,
    *,
    pose: Pose,
    across: int = 7,
) -> np.ndarray:
    """Thickness of straight round tubes that lie in the plane of the image.

    Args:
        start: (N, 2) x, y in cm.
        end: (N, 2) x, y in cm.
        radius: (N,) in cm.
        pose: where the patient stands.
        across: samples across a tube: more for tubes wider than a few pixels.

    Returns:
        Thickness in cm along the beam, float32 (H, W).
    """
    places = np.linspace(-1, 1, across + 2)[1:-1]
    chord = np.sqrt(1 - places**2)
    chord /= chord.sum()
    course = end - start
    length = np.hypot(course[:, 0], course[:, 1]) + 1e-9
    counts = np.ceil(length / (0.7 * pose.cm_in_patient)).astype(int)
    owner = np.repeat(np.arange(counts.size), counts)
    step = (np.arange(owner.size) - np.repeat(np.cumsum(counts) - counts, counts) + 0.5) / counts[
        owner
    ]
    normal = np.stack([-course[:, 1], course[:, 0]], axis=1) / length[:, None]
    centre = start[owner] + step[:, None] * course[owner]
    offset = places[None, :] * radius[owner][:, None]
    x = centre[:, :1] + offset * normal[owner, :1]
    y = centre[:, 1:] + offset * normal[owner, 1:]
    volume = np.pi * radius**2 * length / counts
    return splat(x, y, volume[owner][:, None] * chord, pose=pose)


def branch(
    rng: np.random.Generator,
    roots: np.ndarray,
    angles: np.ndarray,
    radii: np.ndarray,
    *,
    generations: int,
    length: float = 2.4,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grows trees of tubes that fork, thin out and wander, as vessels and bronchi do.

    Args:
        rng: source of the forks.
        roots: (N, 2) where the trees start, cm.
        angles: (N,) direction of each root, radian.
        radii: (N,) radius of each root, cm.
        generations: how often a tube forks.
        length: mean length of the first tubes, cm.

    Returns:
        start (M, 2), end (M, 2), radius (M,) of all tubes.
    """
    starts, ends, widths = [], [], []
    for generation in range(generations):
        for piece in range(3):
            reach = length * 0.9**generation * rng.uniform(0.2, 0.45, angles.size)
            tips = roots + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            starts.append(roots)
            ends.append(tips)
            widths.append(radii * (1 - 0.06 * piece))
            roots, angles = tips, angles + rng.normal(0.0, 0.16, angles.size)
        spread = rng.uniform(0.2, 0.6, angles.size)
        share = rng.uniform(0.5, 0.85, angles.size)
        roots = np.concatenate([roots, roots])
        angles = np.concatenate([angles + spread, angles - spread])
        radii = np.concatenate([radii * share, radii * np.sqrt(1 - share**2)]) * 0.92
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(widths)
