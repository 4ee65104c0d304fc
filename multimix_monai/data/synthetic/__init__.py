"""Before the path of data begins: radiographs drawn from scratch, with exact masks and labels.

For the demo and the tests, so that neither needs a patient's image. The picture is computed as an
X-ray is made: thickness of tissue along each beam, Beer-Lambert, scatter, noise, tone curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multimix_monai.data.synthetic.detector import collimate, develop, expose, mark
from multimix_monai.data.synthetic.noise import clouds
from multimix_monai.data.synthetic.opacities import build_opacity, build_vessels
from multimix_monai.data.synthetic.patient import Pose, draw_patient, draw_pose
from multimix_monai.data.synthetic.skeleton import build_skeleton
from multimix_monai.data.synthetic.thorax import Thorax, build_thorax

__all__ = ["SyntheticRadiograph", "draw_radiograph"]

# Attenuation per cm at about 60 keV: soft tissue, inflated lung, and what bone adds to tissue.
_MU_SOFT, _MU_LUNG, _MU_BONE = 0.195, 0.052, 0.40
_SMALLEST = 64


@dataclass(frozen=True)
class SyntheticRadiograph:
    """A drawn radiograph and the truth about it.

    Attributes:
        pixels: float32 (H, W) in [0, 1], row 0 at the top, bright = dense.
        mask: uint8 (H, W), 1 in both lungs (opacities included), 0 elsewhere.
        label: 0 normal, 1 pneumonia.
        spacing_mm: (row, column) distance of pixel centres.
    """

    pixels: np.ndarray
    mask: np.ndarray
    label: int
    spacing_mm: tuple[float, float]


def draw_radiograph(
    *,
    seed: int,
    pneumonia: bool,
    size: tuple[int, int] = (512, 448),
    patient_seed: int | None = None,
) -> SyntheticRadiograph:
    """Draws one frontal chest radiograph.

    Args:
        seed: fixes everything that differs between two images of a patient: pose, exposure,
            noise, opacities.
        pneumonia: whether one or several opacities are drawn.
        size: rows and columns; the field of view of 43 x 37.6 cm always fits.
        patient_seed: fixes the build of the patient; `seed` when None.

    Returns:
        The image with its mask and label. The same arguments give the same
        image, to the bit with the same versions of numpy and scipy.

    Raises:
        ValueError: size is below 64 or a seed is negative.
    """
    patient_seed = seed if patient_seed is None else patient_seed
    if min(size) < _SMALLEST:
        raise ValueError(
            f"size is {size}; both must be at least {_SMALLEST}: anatomy is lost below"
        )
    if seed < 0 or patient_seed < 0:
        raise ValueError(f"seeds are {seed} and {patient_seed}; both must be 0 or more")
    rng = np.random.default_rng([seed, 2])
    patient, pose = draw_patient(patient_seed), draw_pose(rng, size)
    thorax = build_thorax(patient, pose, rng)
    bones = np.random.default_rng([patient_seed, 3])
    attenuation = _MU_BONE * build_skeleton(patient, pose, bones)
    attenuation += _tissue(thorax, build_vessels(patient, pose, bones), pose, rng)
    if pneumonia:
        filled, bronchi = build_opacity(thorax.lungs, pose, np.random.default_rng([seed, 4]))
        filled = np.minimum(filled, 0.85 * thorax.lung)
        attenuation += (_MU_SOFT - _MU_LUNG) * filled - _MU_SOFT * np.minimum(bronchi, filled)
    pixels = develop(expose(np.clip(attenuation, 0, None), pose, rng), thorax.lungs, pose, rng)
    pixels = mark(collimate(pixels, thorax.lungs, pose, rng), thorax.lungs, pose, rng)
    spacing = 10 * pose.cm_per_pixel
    return SyntheticRadiograph(
        pixels=np.clip(pixels, 0, 1).astype(np.float32),
        mask=thorax.lungs.astype(np.uint8),
        label=int(pneumonia),
        spacing_mm=(spacing, spacing),
    )


def _tissue(
    thorax: Thorax, vessels: np.ndarray, pose: Pose, rng: np.random.Generator
) -> np.ndarray:
    """Attenuation of everything but bone and opacities, float32 (H, W)."""
    blood = np.minimum(vessels, 0.5 * thorax.lung)
    density = _MU_LUNG * (1 + 0.05 * clouds(rng, pose, 0.25) + 0.05 * clouds(rng, pose, 2.0))
    lung = thorax.lung - blood
    soft = thorax.body - lung - np.minimum(thorax.air, thorax.body - lung)
    soft = soft * (1 + 0.012 * clouds(rng, pose, 1.8))
    return (_MU_SOFT * soft + density * lung).astype(np.float32)
