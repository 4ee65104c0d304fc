"""Drawing, step 3: soft tissue and air, as thickness along the beam, and the mask of the lungs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from multimix_monai.data.synthetic.noise import clouds
from multimix_monai.data.synthetic.patient import Patient, Pose
from multimix_monai.data.synthetic.tubes import cylinders


@dataclass(frozen=True)
class Thorax:
    """Thicknesses along the beam in cm, each float32 (H, W); lungs is the mask, bool (H, W)."""

    body: np.ndarray
    air: np.ndarray
    lung: np.ndarray
    lungs: np.ndarray


def ellipsoid(
    x: np.ndarray,
    y: np.ndarray,
    *,
    centre: tuple[float, float],
    radii: tuple[float, float],
    depth: float,
    angle: float = 0.0,
) -> np.ndarray:
    """Chord of an ellipsoid along the beam: 2 depth sqrt(1 - q) where the form q is below 1."""
    dx, dy = x - centre[0], y - centre[1]
    c, s = np.cos(angle), np.sin(angle)
    q = ((c * dx + s * dy) / radii[0]) ** 2 + ((c * dy - s * dx) / radii[1]) ** 2
    return (2 * depth * np.sqrt(np.clip(1 - q, 0, None))).astype(np.float32)


def build_thorax(patient: Patient, pose: Pose, rng: np.random.Generator) -> Thorax:
    """Builds body, lungs, heart, diaphragm, airways and stomach of a patient in a pose."""
    x, y = pose.to_patient()
    lung = np.zeros_like(x)
    lungs = np.zeros(x.shape, dtype=bool)
    for side in (-1, 1):
        chord, region = _hemithorax(x, y, patient, side)
        lung += chord
        lungs |= _largest(region)
    body = _body(x, y, patient) + _breasts(x, y, patient)
    air = _airways(patient, pose, rng) + _stomach(x, y, patient, pose, rng)
    return Thorax(body=body, air=air, lung=np.minimum(lung, body), lungs=lungs)


def dome_height(x: np.ndarray, patient: Patient, side: int) -> np.ndarray:
    """Height y of the diaphragm's crest on one side; the right dome stands higher."""
    half = float(patient.cage(np.array([10.0]), side)[0])
    crest = (8.9 + patient.dome) * patient.height + (patient.dome_step if side > 0 else 0.0)
    u = (side * x - 0.45 * half) / half
    lateral, medial = np.clip(u, 0, None), np.clip(-u, 0, None)
    return crest + 17.0 * lateral**2.3 + 6.0 * medial**2


def _hemithorax(
    x: np.ndarray, y: np.ndarray, patient: Patient, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Chord of one lung, and its silhouette between ribs, heart and diaphragm."""
    out = side * (x - patient.spine(y))
    rim = patient.cage(y, side) - 0.45
    chord = 2 * (patient.depth(y) - 0.3) * np.sqrt(np.clip(1 - (out / rim) ** 2, 0, None))
    apex = -12.6 * patient.height + 0.16 * (out - 5.0) ** 2
    chord *= np.sqrt(np.clip((y - apex) / 5.0, 0, 1)) * _step((out - 2.6) / 2.0)
    inner = _heart_border(y, patient, side)
    inside = np.clip(1 - np.clip(out / inner, 0, None) ** 2, 0, None)
    chord -= (1.2 + np.interp(y, [-8.0, 4.0], [6.5, 11.5])) * np.sqrt(inside) + 1.0 * (inside > 0)
    below = y - dome_height(x, patient, side)
    # The diaphragm falls off in front and behind: lung remains there below the crest.
    chord -= 2 * np.sqrt(np.clip(below, 0, None) / 0.045)
    chord *= _step(1 - np.clip(below, 0, None) / 2.5)
    region = (out > inner) & (out < rim) & (y > apex) & (below < 0)
    return np.clip(chord, 0, None).astype(np.float32), region


def _heart_border(y: np.ndarray, patient: Patient, side: int) -> np.ndarray:
    """Distance of the mediastinum's border from the midline at height y.

    Right: great veins, right atrium. Left: aortic arch, pulmonary trunk, left ventricle.
    """
    drop = 0.8 * patient.dome
    if side < 0:
        levels = np.array([-22, -13, -9, -6, -3, -1, 2 + drop, 5 + drop, 8 + drop, 11 + drop, 20])
        upper = np.array([2.0, 2.3, 2.6, 2.9, 2.5, 2.7, 3.0, 3.0, 3.0, 2.8, 2.8])
        bulge = np.array([0, 0, 0, 0, 0, 0.2, 1.0, 1.5, 1.4, 1.0, 0.6])
    else:
        levels = np.array(
            [-22, -13, -9.2, -7.9, -6.6, -5.4, -4.3, -2.8, -1, 1.5, 4, 6.5, 8.6, 10.5, 13, 20]
        )
        levels[10:15] += drop
        arch = patient.aorta
        knob = [2.3 + 0.3 * arch, 2.3 + 1.2 * arch, 2.3 + 0.7 * arch]
        upper = np.array([2.0, 2.4, 2.3, *knob, 2.5, 2.9, 3.2, 3.2, *[3.2] * 6])
        bulge = np.array([0, 0, 0, 0, 0, 0, 0, 0.2, 0.8, 2.4, 4.1, 5.1, 5.5, 5.5, 5.2, 4.0])
    wobble = np.random.default_rng([patient.seed, 8, side + 1]).normal(0.0, 0.12, levels.size)
    wider = 1.0 + 2.2 * (patient.heart - 1.0)
    border = upper * (0.5 + 0.5 * patient.width) + wider * bulge + wobble
    border += side * patient.heart_shift * np.clip(bulge, 0, 1)
    return PchipInterpolator(levels * patient.height, border)(y)


def _body(x: np.ndarray, y: np.ndarray, patient: Patient) -> np.ndarray:
    """Chord of trunk, neck and shoulders."""
    cage = 0.5 * (patient.cage(y, -1) + patient.cage(y, 1))
    half = cage + 1.9 + 0.9 * patient.fat
    depth = patient.depth(y) + 1.6 + 0.5 * patient.fat
    trunk = 2 * depth * np.sqrt(np.clip(1 - (x / half) ** 2, 0, None))
    out = np.abs(x)
    top = -17.0 + patient.shoulder + 0.46 * np.sqrt(1 + np.clip(out - 5.0, 0, None) ** 2)
    low = 2.5 - 0.055 * np.clip(out - 11.0, 0, None) ** 2
    u = (2 * y - top - low) / np.maximum(low - top, 1.0)
    shoulder = (10.0 + 1.2 * patient.fat) * np.clip(1 - u**2, 0, None) ** 0.4
    shoulder = shoulder * _step((out - 9.0) / 5.0)
    # A smooth union leaves no seam between trunk and shoulder.
    return np.cbrt(trunk**3 + shoulder**3).astype(np.float32)


def _breasts(x: np.ndarray, y: np.ndarray, patient: Patient) -> np.ndarray:
    """Chord of the breasts: fading upwards, with a fold below; zero for half of us."""
    if patient.breast == 0:
        return np.zeros_like(x)
    size = 5.2 + 1.6 * patient.breast
    dx = (np.abs(x) - 8.8 * patient.width) / size
    dy = (y - 7.2 * patient.height - patient.breast) / size
    inside = np.clip(1 - dx**2 - np.where(dy > 0, 1.3 * dy, 0.7 * dy) ** 2, 0, None)
    power = np.clip(0.9 - 0.5 * dy, 0.5, 1.6)
    return (4.2 * patient.breast * inside**power).astype(np.float32)


def _airways(patient: Patient, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Thickness of air in trachea and main bronchi."""
    carina = np.array([-0.3 + rng.normal(0, 0.2), -4.6 * patient.height])
    top = np.array([rng.normal(0, 0.2), -24.0])
    right, left = carina + np.array([-3.0, 3.2]), carina + np.array([3.6, 2.8])
    start, end = np.stack([top, carina, carina]), np.stack([carina, right, left])
    return 0.8 * cylinders(start, end, np.array([0.95, 0.7, 0.62]), pose=pose, across=31)


def _stomach(
    x: np.ndarray, y: np.ndarray, patient: Patient, pose: Pose, rng: np.random.Generator
) -> np.ndarray:
    """Air under the left dome: the gastric bubble, often with a fluid level, and the bowel."""
    gas = np.zeros_like(x)
    place = np.array([rng.uniform(4.5, 7.5)])
    top = float(dome_height(place, patient, 1)[0])
    if rng.random() < 0.75:
        radii = (rng.uniform(1.6, 3.2), rng.uniform(1.0, 1.9))
        centre = (float(place[0]), top + radii[1] + 0.8)
        bubble = ellipsoid(x, y, centre=centre, radii=radii, depth=1.6, angle=rng.normal(0, 0.15))
        level = centre[1] + rng.uniform(0.1, 1.0) * radii[1]
        gas += bubble * _step((level - y) / 0.25)
    bowel = np.clip(clouds(rng, pose, 0.9) - rng.uniform(0.9, 2.5), 0, 0.9)
    far = ((x - rng.uniform(5, 9)) / 5.5) ** 2 + ((y - top - 6.5) / 4.0) ** 2
    return gas + bowel * np.clip(1 - far, 0, 1)


def _step(u: np.ndarray) -> np.ndarray:
    """Smooth step from 0 (u <= -1) to 1 (u >= 1)."""
    t = np.clip(0.5 * u + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _largest(region: np.ndarray) -> np.ndarray:
    """Keeps the largest connected part: the heart may cut a sliver off a lung."""
    parts, count = ndimage.label(region)
    if count < 2:
        return region
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts == int(sizes.argmax())
