"""Path of data, going back: what was found in one radiograph and by what, before it is DICOM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from multimix_monai import __version__

if TYPE_CHECKING:
    from pydicom.uid import UID

QUALITIES = ("pass", "review")


@dataclass(frozen=True)
class Algorithm:
    """What made a result. All of it enters the UIDs: the same again is the same object again.

    Attributes:
        weights_digest: of the weights' file, in hexadecimal.
        settings: `name=value` for all that changes a result: image_size, temperature, threshold,
            force and so on, of at most 64 characters each. They are written into the objects.
        name: as in Algorithm Name, of at most 64 characters.
        version: of this package.
    """

    weights_digest: str
    settings: tuple[str, ...] = ()
    name: str = "MultiMix"
    version: str = __version__

    def __post_init__(self) -> None:
        if not self.weights_digest:
            raise ValueError("weights_digest is empty: give the digest of the weights' file")
        for text in (self.name, self.version, *self.settings):
            if not 0 < len(text) <= 64:
                raise ValueError(f"{text!r} has {len(text)} characters; 1 to 64 are allowed")
        for setting in self.settings:
            if not setting.partition("=")[0] or "=" not in setting:
                raise ValueError(f"setting {setting!r} is not of the form name=value")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Settings and weights, as Algorithm Parameters (0066,0032)."""
        return (f"weights={self.weights_digest[:16]}", *self.settings)

    def uid(self, kind: str, source_uid: str) -> UID:
        """The UID of an object, or of its series, made from one source: always the same.

        A PACS can be asked for it before anything is computed.

        Args:
            kind: "seg", "sr", "sc_overlay" or "sc_saliency"; other roles get other UIDs.
            source_uid: SOP Instance UID (0008,0018) of the radiograph.

        Source: PS3.5 B.2 (a UID derived from a UUID), of a digest instead of a random number.
        """
        from pydicom.uid import generate_uid

        facts = (self.name, self.version, self.weights_digest, *sorted(self.settings))
        return generate_uid(entropy_srcs=["multimix-monai", kind, source_uid, *facts])


@dataclass(frozen=True)
class Findings:
    """What was found in one radiograph.

    Attributes:
        mask: uint8 (H, W), 1 is lung, on the rows and columns of the source as stored.
        prob: calibrated probability of pneumonia, in [0, 1].
        threshold_prob: probability from which a case is called pneumonia, in [0, 1].
        algorithm: what found it.
        raw_prob: probability before calibration; None, or the same, where there is none.
        threshold_source: where the threshold was chosen.
        quality: "pass" or "review"; None where it was not judged.
        quality_rules: codes of the rules that fired.
        flags: codes of what else a reader should know.
        forced: scored although the radiograph was refused.
        overlay: uint8 (H, W, 3), the contour on the image, any size; None is not stored.
        saliency: uint8 (H, W, 3), where the class hangs on the pixels; None is not stored.
    """

    mask: NDArray[np.uint8]
    prob: float
    threshold_prob: float
    algorithm: Algorithm
    raw_prob: float | None = None
    threshold_source: str = "default"
    quality: str | None = None
    quality_rules: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    forced: bool = False
    overlay: NDArray[np.uint8] | None = field(default=None, repr=False)
    saliency: NDArray[np.uint8] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check_mask(self.mask)
        probs = {
            "prob": self.prob,
            "threshold_prob": self.threshold_prob,
            "raw_prob": 0.0 if self.raw_prob is None else self.raw_prob,
        }
        for name, value in probs.items():
            if not 0 <= value <= 1:  # NaN fails it too
                raise ValueError(f"{name} is {value}; it must lie in [0, 1]")
        if self.quality not in (*QUALITIES, None):
            raise ValueError(f"quality is {self.quality!r}; {' or '.join(QUALITIES)} is allowed")
        for name in ("overlay", "saliency"):
            _check_picture(name, getattr(self, name))

    @property
    def label(self) -> int:
        """1 is pneumonia: the probability reaches the threshold."""
        return int(self.prob >= self.threshold_prob)

    @property
    def is_calibrated(self) -> bool:
        """Whether a calibration changed the probability."""
        return self.raw_prob not in (None, self.prob)


def _check_mask(mask: NDArray[np.uint8]) -> None:
    if mask.ndim != 2 or mask.dtype != np.uint8 or mask.size == 0 or mask.max() > 1:
        raise ValueError(
            f"mask is {mask.dtype} {mask.shape}; uint8 (H, W) of 0 and 1 is needed: one plane, "
            "not scaled to 255"
        )


def _check_picture(name: str, picture: NDArray[np.uint8] | None) -> None:
    if picture is None:
        return
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(f"{name} is {picture.dtype} {picture.shape}; uint8 (H, W, 3) is needed")
