"""Drawing, step 4: bones, as thickness of dense bone along the beam."""

from __future__ import annotations

import numpy as np

from multimix_monai.data.synthetic.patient import Patient, Pose
from multimix_monai.data.synthetic.thorax import ellipsoid
from multimix_monai.data.synthetic.tubes import splat

_RIB_TOP = -12.6
_RIB_STEP = 2.35
# How far the front end of ribs 1 to 12 lies below the vertebra, cm.
_RIB_DROP = np.array([4.6, 7.0, 8.6, 9.6, 10.2, 10.5, 10.5, 10.2, 9.6, 8.6, 7.2, 6.0])
# Where their bone ends: angle around the chest, 0 at the spine, 180 at the breast bone, degrees.
_RIB_END = np.array([150.0, 148, 146, 144, 140, 134, 128, 122, 116, 108, 90, 70])


def build_skeleton(patient: Patient, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Thickness of dense bone in cm, float32 (H, W): ribs, clavicles, spine, shoulder blades."""
    x, y = pose.to_patient()
    bone = _ribs(patient, pose, rng) + _clavicles(patient, pose, rng)
    bone += _spine(x, y, patient) + _shoulders(x, y, patient)
    return (bone * patient.bone).astype(np.float32)


def _ribs(patient: Patient, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Twelve pairs of bony shells that wind around the rib cage."""
    total = np.zeros(pose.size, dtype=np.float32)
    steps = int(26.0 / (0.8 * pose.cm_in_patient))
    for side in (-1, 1):
        jitter = rng.normal(0.0, 0.12, 12)
        top = _RIB_TOP * patient.height + _RIB_STEP * patient.height * np.arange(12) + jitter
        drop = _RIB_DROP * patient.rib_slope * patient.height * rng.normal(1.0, 0.02, 12)
        end = np.deg2rad(_RIB_END + rng.normal(0.0, 4.0, 12))
        angle = 0.06 + (end[:, None] - 0.06) * np.linspace(0, 1, steps)
        y = top[:, None] + drop[:, None] * np.sin(angle / 2) ** 2 - 0.5 * np.sin(2 * angle)
        radius = patient.cage(y, side)
        x = patient.spine(y) + side * radius * np.sin(angle) ** 0.7
        z = -patient.depth(y) * np.cos(angle)
        total += _shell(
            x,
            y,
            z,
            patient.rib_height * np.interp(np.arange(12), [0, 3, 11], [1.25, 1.15, 0.95]),
            pose,
            rng,
        )
    return total


def _shell(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    height: np.ndarray,
    pose: Pose,
    rng: np.random.Generator,
) -> np.ndarray:
    """Line integral of flat hollow tubes along courses (N, S): cortex outside, marrow inside."""
    turn = np.linspace(0, 2 * np.pi, 26, endpoint=False)[None, None, :]
    dx, dy, dz = (np.gradient(a, axis=1) for a in (x, y, z))
    length = np.sqrt(dx**2 + dy**2 + dz**2)
    # The flat side follows the chest wall: thin along the radius, tall across the course.
    flat = np.hypot(dx, dz) + 1e-6
    out_x = (-dz / flat)[..., None]
    tall_x, tall_y = (-dx * dy / (flat * length))[..., None], (flat / length)[..., None]
    swell = 1 + 0.05 * np.cumsum(rng.normal(0, 0.05, x.shape), axis=1)
    half = (0.5 * height[:, None] * swell)[..., None]
    px = x[..., None] + half * np.cos(turn) * tall_x + 0.3 * np.sin(turn) * out_x
    py = y[..., None] + half * np.cos(turn) * tall_y
    along = np.linspace(0, 1, x.shape[1])
    # The front ends are softer: bone turns to cartilage.
    fade = np.interp(along, [0, 0.06, 0.6, 0.95, 1], [0.2, 1, 0.9, 0.55, 0])[None, :, None]
    arc = np.sqrt((half * np.sin(turn)) ** 2 + (0.3 * np.cos(turn)) ** 2) * (2 * np.pi / 26)
    volume = 0.11 * arc * length[..., None] * fade
    return splat(px, py, volume, pose=pose)


def _clavicles(patient: Patient, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Two S-shaped round bones from the breast bone to the shoulders."""
    t = np.linspace(0, 1, int(17.0 / (0.7 * pose.cm_in_patient)))
    total = np.zeros(pose.size, dtype=np.float32)
    turn = np.linspace(0, 2 * np.pi, 26, endpoint=False)
    for side in (-1, 1):
        rise = 2.6 - patient.shoulder + rng.normal(0.0, 0.3)
        x = side * (1.9 + 15.0 * patient.width * t)
        y = -9.6 * patient.height - rise * np.sin(1.5 * t) - 0.55 * np.sin(2 * np.pi * t)
        radius = 0.55 + 0.30 * np.abs(t - 0.45) ** 1.5
        length = np.hypot(np.gradient(x), np.gradient(y))
        normal = np.stack([-np.gradient(y), np.gradient(x)]) / length
        across = radius[:, None] * np.cos(turn)
        volume = 0.17 * radius[:, None] * (2 * np.pi / 26) * length[:, None] * np.ones_like(across)
        px, py = x[:, None] + across * normal[0][:, None], y[:, None] + across * normal[1][:, None]
        total += splat(px, py, volume, pose=pose)
    return total


def _spine(x: np.ndarray, y: np.ndarray, patient: Patient) -> np.ndarray:
    """Vertebral bodies with discs between them, pedicles and spinous processes."""
    step = _RIB_STEP * patient.height * (1 + 0.004 * y)
    phase = (y - _RIB_TOP * patient.height) / step
    local = (phase - np.round(phase)) * step
    xs = x - patient.spine(y)
    half = 1.45 + 0.03 * np.clip(y + 14, 0, None)
    waist = half * (0.9 + 0.1 * (2 * local / step) ** 2)
    side = np.clip(1 - (xs / (1.1 * waist)) ** 4, 0, 1)
    gap = np.clip((0.5 * step - 0.22 - np.abs(local)) / 0.25, 0, 1)
    rim = np.exp(-(((0.5 * step - 0.38 - np.abs(local)) / 0.13) ** 2))
    edge = np.exp(-(((np.abs(xs) - waist + 0.15) / 0.14) ** 2))
    bone = side * (0.18 + gap * (0.16 + 0.16 * rim) + 0.14 * edge)
    pedicle = np.hypot((np.abs(xs) - 0.72 * half) / 0.36, (local + 0.25) / 0.5)
    bone += 0.22 * np.exp(-(((pedicle - 0.9) / 0.28) ** 2))
    spinous = np.hypot(xs / 0.28, (local - 0.55) / 0.6)
    bone += 0.25 * np.clip(1.2 - spinous, 0, 1)
    wing = np.clip(1 - ((np.abs(xs) - half - 0.3) / 1.0) ** 2, 0, 1)
    bone += 0.22 * wing * np.exp(-(((local + 0.35 + 0.1 * np.abs(xs)) / 0.4) ** 2))
    return bone


def _shoulders(x: np.ndarray, y: np.ndarray, patient: Patient) -> np.ndarray:
    """Shoulder blades, turned out of the lungs as for a PA view, and the heads of the arms."""
    out = np.abs(x) / patient.width
    lift = y - patient.shoulder
    medial = out - (11.9 + 0.06 * lift)
    lateral = (16.2 + 0.42 * (-7.0 - lift)) - out
    upper = lift + 11.0 - 0.05 * (out - 10)
    inside = np.minimum(np.minimum(medial, lateral), upper)
    plate = 0.12 * np.clip(inside / 0.25, 0, 1)
    border = 0.30 * np.exp(-(((lateral - 0.3) / 0.3) ** 2)) * (inside > 0)
    ridge = np.exp(-(((lift + 9.6 + 0.28 * (out - 12)) / 0.45) ** 2))
    plate += border + 0.3 * ridge * (medial > 0) * np.clip((18.5 - out) / 2, 0, 1)
    head = ellipsoid(out, lift, centre=(18.6, -9.0), radii=(2.5, 2.6), depth=1.0)
    return plate + 0.55 * head
