"""Drawing, step 1: who stands before the detector, and how. All lengths in cm.

Patient coordinates: x to the right of the image (the patient's left), y downwards, (0, 0) in the
midline at about the sixth thoracic vertebra. The profiles are those of an adult seen from behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

# Field of view of a 35 x 43 cm cassette, with a little room at the sides.
FIELD_CM = (43.0, 37.6)
_LEVELS = np.array([-22.0, -14.0, -11.5, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0, 18.0, 30.0])
_CAGE = np.array([4.5, 5.6, 8.2, 10.4, 12.1, 13.0, 13.6, 13.9, 13.8, 13.3, 13.0])
_DEPTH = np.array([4.4, 4.2, 4.8, 6.2, 7.6, 8.4, 8.9, 9.2, 9.3, 9.3, 9.3])


@dataclass(frozen=True)
class Patient:
    """Build of one patient; two radiographs of a patient share it."""

    width: float
    height: float
    fat: float
    breast: float
    heart: float
    heart_shift: float
    aorta: float
    dome: float
    dome_step: float
    bone: float
    rib_slope: float
    rib_height: float
    shoulder: float
    scoliosis: float
    asymmetry: float
    seed: int

    def cage(self, y: np.ndarray, side: int) -> np.ndarray:
        """Half width of the rib cage at height y on one side (-1: right lung, +1: left lung)."""
        rng = np.random.default_rng([self.seed, 7, side + 1])
        wobble = rng.normal(0.0, 0.16, _LEVELS.size)
        widths = (_CAGE + wobble) * self.width * (1.0 + side * self.asymmetry)
        return PchipInterpolator(_LEVELS * self.height, widths)(y)

    def depth(self, y: np.ndarray) -> np.ndarray:
        """Half depth of the rib cage, front to back, at height y."""
        return np.interp(y, _LEVELS * self.height, _DEPTH * (0.5 + 0.5 * self.width))

    def spine(self, y: np.ndarray) -> np.ndarray:
        """Sideways course of the spine at height y."""
        return self.scoliosis * np.sin(y / 9.0 + self.seed % 6)


def draw_patient(seed: int) -> Patient:
    """Draws the build of a patient. The same seed gives the same patient."""
    rng = np.random.default_rng([seed, 1])
    return Patient(
        width=float(np.clip(rng.normal(1.0, 0.055), 0.87, 1.12)),
        height=float(np.clip(rng.normal(1.0, 0.06), 0.86, 1.14)),
        fat=float(rng.gamma(2.0, 0.55)),
        breast=float(rng.uniform(0.35, 1.0)) if rng.random() < 0.45 else 0.0,
        heart=float(np.clip(rng.normal(1.0, 0.09), 0.8, 1.25)),
        heart_shift=float(rng.normal(0.0, 0.4)),
        aorta=float(rng.uniform(0.75, 1.3)),
        dome=float(np.clip(rng.normal(0.0, 1.1), -2.2, 2.0)),
        dome_step=float(np.clip(rng.normal(1.3, 0.5), 0.2, 2.6)),
        bone=float(rng.uniform(0.8, 1.5)),
        rib_slope=float(rng.normal(1.0, 0.1)),
        rib_height=float(rng.normal(1.0, 0.08)),
        shoulder=float(rng.normal(0.0, 0.9)),
        scoliosis=float(rng.normal(0.0, 0.25)),
        asymmetry=float(rng.normal(0.0, 0.02)),
        seed=seed,
    )


@dataclass(frozen=True)
class Pose:
    """How patient coordinates fall on the detector: rotation (radian), zoom and shift (cm)."""

    size: tuple[int, int]
    angle: float
    zoom: float
    shift: tuple[float, float]

    @property
    def cm_per_pixel(self) -> float:
        """Edge of a pixel on the detector in cm: the whole field of view fits the image."""
        return max(FIELD_CM[0] / self.size[0], FIELD_CM[1] / self.size[1])

    @property
    def cm_in_patient(self) -> float:
        """Edge of a pixel in patient coordinates."""
        return self.cm_per_pixel / self.zoom

    def to_patient(self) -> tuple[np.ndarray, np.ndarray]:
        """Patient coordinates x, y of every pixel: two float32 (H, W)."""
        rows, cols = self.size
        v = (np.arange(rows, dtype=np.float32)[:, None] - (rows - 1) / 2) * self.cm_in_patient
        u = (np.arange(cols, dtype=np.float32)[None, :] - (cols - 1) / 2) * self.cm_in_patient
        c, s = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return c * u - s * v + self.shift[0], s * u + c * v + self.shift[1]

    def to_pixels(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns (fractional) of points in patient coordinates: inverse of to_patient."""
        x, y = x - self.shift[0], y - self.shift[1]
        c, s = np.cos(self.angle), np.sin(self.angle)
        u, v = c * x + s * y, c * y - s * x
        rows, cols = self.size
        return v / self.cm_in_patient + (rows - 1) / 2, u / self.cm_in_patient + (cols - 1) / 2


def draw_pose(rng: np.random.Generator, size: tuple[int, int]) -> Pose:
    """Draws how the patient stands: nearly upright, nearly centred, nearly filling the field."""
    angle = float(np.clip(rng.normal(0.0, 0.022), -0.06, 0.06))
    zoom = float(np.clip(rng.normal(1.04, 0.05), 0.93, 1.15))
    shift = (float(rng.normal(0.0, 0.5)), float(rng.normal(2.6, 0.8)))
    return Pose(size=size, angle=angle, zoom=zoom, shift=shift)
