"""Drawing, step 5: vessels of the lungs, and the opacities of pneumonia."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from multimix_monai.data.synthetic.noise import clouds, coarse_blur
from multimix_monai.data.synthetic.patient import Patient, Pose
from multimix_monai.data.synthetic.tubes import branch, cylinders


def build_vessels(patient: Patient, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Thickness of blood in cm, float32 (H, W): two hila and the trees that leave them."""
    total = np.zeros(pose.size, dtype=np.float32)
    for side in (-1, 1):
        hilum = np.array([side * 3.3, (-2.2 if side < 0 else -3.0) * patient.height])
        angles = np.deg2rad(np.array([-75, -50, -20, 5, 30, 48, 62, 76, 88, -60, 18, 70.0]))
        angles = angles + rng.normal(0.0, 0.12, angles.size)
        radii = rng.uniform(0.36, 0.6, angles.size)
        roots = hilum + rng.normal(0.0, 0.5, (angles.size, 2)) * [0.6, 1.6]
        start, end, radius = branch(rng, roots, angles, radii, generations=6, length=2.9)
        # Grown to the right from the hilum, then mirrored for the right lung.
        start, end = (_mirror(a, hilum[0], side) for a in (start, end))
        total += cylinders(start, end, radius, pose=pose)
    return total


def build_opacity(
    lungs: np.ndarray, pose: Pose, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the consolidations of one pneumonia.

    Args:
        lungs: mask of both lungs, bool (H, W).
        pose: where the patient stands.
        rng: source of place, size, density and texture.

    Returns:
        Thickness of consolidated lung in cm and of air in its bronchi, float32 (H, W) each.
    """
    x, y = pose.to_patient()
    filled, air = np.zeros(pose.size, np.float32), np.zeros(pose.size, np.float32)
    for number in range(int(rng.choice([1, 1, 2, 2, 3, 4]))):
        # The first is never faint; its companions may be.
        floor = 1.0 if number == 0 else 0.5
        blob, centre, radius = _consolidation(x, y, lungs, pose, rng, floor=floor)
        filled += blob
        air += _bronchogram(centre, radius, pose, rng) * np.clip(blob / 2.0, 0, 1)
    soft = ndimage.gaussian_filter(lungs.astype(np.float32), 0.25 / pose.cm_in_patient)
    return filled * soft, air * soft


def _consolidation(
    x: np.ndarray,
    y: np.ndarray,
    lungs: np.ndarray,
    pose: Pose,
    rng: np.random.Generator,
    *,
    floor: float,
) -> tuple[np.ndarray, tuple[float, float], float]:
    """One cloud: an ellipse with a ragged edge and a mottled inside."""
    # Well inside: a cloud on the rim would mostly be cut off, and its label a lie.
    rows, cols = np.nonzero(coarse_blur(lungs.astype(np.float32), 1.5 / pose.cm_in_patient) > 0.8)
    # Lower zones are hit more often.
    odds = np.linspace(0.4, 1.0, rows.size)
    pick = int(rng.choice(rows.size, p=odds / odds.sum()))
    centre = (float(x[rows[pick], cols[pick]]), float(y[rows[pick], cols[pick]]))
    radius, stretch = float(rng.uniform(2.8 * floor, 5.4)), float(rng.uniform(0.7, 1.4))
    turn = float(rng.uniform(0, np.pi))
    dx, dy = x - centre[0], y - centre[1]
    c, s = np.cos(turn), np.sin(turn)
    q = np.hypot((c * dx + s * dy) / stretch, (c * dy - s * dx) * stretch) / radius
    ragged = q + 0.33 * clouds(rng, pose, 1.3) + 0.15 * clouds(rng, pose, 0.45)
    edge = float(rng.uniform(0.35, 0.8))
    body = 1 / (1 + np.exp(np.clip((ragged - 0.8) / (0.32 * edge), -30, 30)))
    mottle = np.clip(1 + 0.2 * clouds(rng, pose, 0.7) + 0.1 * clouds(rng, pose, 0.3), 0.1, 2)
    depth = float(rng.uniform(2.8 * floor, 6.5))
    return (depth * body * mottle).astype(np.float32), centre, radius


def _bronchogram(
    centre: tuple[float, float], radius: float, pose: Pose, rng: np.random.Generator
) -> np.ndarray:
    """Air in the bronchi of a consolidation, seen because the lung around them is filled."""
    side = 1.0 if centre[0] > 0 else -1.0
    hilum = np.array([side * 3.3, -2.0])
    course = np.array(centre) - hilum
    angle = float(np.arctan2(course[1], course[0]))
    start = np.array(centre) - 0.9 * radius * np.array([np.cos(angle), np.sin(angle)])
    roots = start + rng.normal(0.0, 0.3, (2, 2))
    angles = angle + np.array([-0.25, 0.25])
    tubes = branch(rng, roots, angles, np.array([0.22, 0.18]), generations=4, length=0.7 * radius)
    return cylinders(*tubes, pose=pose)


def _mirror(points: np.ndarray, axis_x: float, side: int) -> np.ndarray:
    """Mirrors points at the vertical line x = axis_x when side is -1."""
    return np.stack([axis_x + side * (points[:, 0] - axis_x), points[:, 1]], axis=1)
