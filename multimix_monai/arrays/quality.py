"""Arrays: how plausible is a lung mask, and which rule does it break?

Measured on the network's grid, where the chest is upright and every picture of like size, and
without the padding there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from multimix_monai.arrays.parts import parts_by_size

MIN_PART = 0.002  # of the frame: smaller parts are crumbs
NEAR = 0.03  # of the longest side: how far from the mask "near" reaches


class Rule(NamedTuple):
    """The range in which a measure is plausible; `None` is no bound."""

    low: float | None
    high: float | None
    reason: str


# Of anatomy: the range of 84 reference masks (Montgomery), widened for children and disease. Of the
# network: about the 99th percentile of the bundle's weights on training pictures. Other weights may
# be surer or less sure: `python -m multimix_monai.experiments.quality` measures what to set.
RULES: dict[str, Rule] = {
    "parts": Rule(1, 4, "two lungs, one part where they meet; gas in the abdomen may add some"),
    "thrown_away": Rule(None, 0.2, "what is not lung should not look like it"),
    "area": Rule(0.08, 0.45, "0.10 to 0.40 in reference masks"),
    "left_right": Rule(0.3, None, "0.68 or more in reference masks; a child's heart hides much"),
    "tallness": Rule(1.15, None, "1.23 or more in reference masks; less is a lung cut short"),
    "entropy": Rule(None, 0.26, "the network does not know where the lungs end"),
    "border": Rule(None, 0.1, "0.06 or less in reference masks; more flows out of the picture"),
    "flip_mask": Rule(None, 0.3, "the network contradicts itself on the lungs"),
    "flip_prob": Rule(None, 0.45, "the network contradicts itself on pneumonia"),
}


def with_bounds(
    rules: Mapping[str, Rule], bounds: Mapping[str, tuple[float | None, float | None]]
) -> dict[str, Rule]:
    """The rules with some ranges replaced; [null, null] turns a rule off.

    Raises:
        ValueError: a name is no rule's, or a range is not [low, high] with low at most high.
    """
    changed = dict(rules)
    for name, given in bounds.items():
        if name not in rules:
            raise ValueError(f"quality_rules has {name!r}; there are {', '.join(rules)}")
        changed[name] = Rule(*_range(name, given), rules[name].reason)
    return changed


def _range(name: str, given: Any) -> tuple[float | None, float | None]:
    numbers = isinstance(given, (list, tuple)) and all(
        bound is None or (isinstance(bound, (int, float)) and bound == bound) for bound in given
    )
    if not numbers or len(given) != 2 or (None not in given and given[0] > given[1]):
        raise ValueError(
            f"quality_rules: {name} is {given!r}; write [low, high], null for no bound"
        )
    return given[0], given[1]


def judge(measures: Mapping[str, float], rules: Mapping[str, Rule]) -> list[str]:
    """Codes of the rules that fire, such as "area_low"; a measure that is absent breaks none.

    A measure that is not a number is out of every range.
    """
    fired = []
    for name, rule in rules.items():
        if name not in measures or (rule.low is None and rule.high is None):
            continue
        if rule.low is not None and not measures[name] >= rule.low:
            fired.append(f"{name}_low")
        elif rule.high is not None and not measures[name] <= rule.high:
            fired.append(f"{name}_high")
    return fired


def judged_mask(
    probs: NDArray[np.floating],
    *,
    threshold_prob: float,
    keep_components: int,
    rules: Mapping[str, Rule],
    other_measures: Mapping[str, float],
) -> dict[str, Any]:
    """{"measures": {name: float}, "fired": [codes]} of a mask; fired is empty on a pass.

    Args:
        probs, threshold_prob, keep_components: as of `measure_mask`.
        rules: of these measures and of the others.
        other_measures: what checks of the network found.
    """
    measures = measure_mask(probs, threshold_prob=threshold_prob, keep_components=keep_components)
    measures |= other_measures
    return {"measures": measures, "fired": judge(measures, rules)}


def measure_mask(
    probs: NDArray[np.floating], *, threshold_prob: float, keep_components: int = 0
) -> dict[str, float]:
    """The measures of a mask, by the names of RULES.

    Args:
        probs: (H, W), lung probability, the chest upright, without padding.
        threshold_prob: a pixel at or above it belongs to the mask.
        keep_components: how many of its parts the mask keeps; 0 keeps all.
    """
    parts = parts_by_size(np.asarray(probs) >= threshold_prob)
    sizes = np.bincount(parts.ravel())[1:]
    kept = (parts > 0) & (parts <= (keep_components or sizes.size))
    lungs = two_lungs(parts * kept)
    return {
        "parts": float((sizes >= MIN_PART * parts.size).sum()),
        "thrown_away": float(1 - kept.sum() / max(sizes.sum(), 1)) if sizes.size else 0.0,
        "area": float(kept.mean()),
        "left_right": left_right_ratio(lungs),
        "tallness": min(map(height_to_width, lungs)),
        "entropy": mean_entropy(probs, near=kept),
        "border": border_share(kept),
    }


def two_lungs(parts: NDArray[np.intp]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two masks (H, W): the two largest parts if they lie side by side, else two halves.

    Lungs that merge, one that is missing or lies in pieces: then all is divided at the picture's
    middle column. Dividing at the mask's own centroid would make a single lung perfectly even.

    Args:
        parts: (H, W), as of `parts_by_size`.
    """
    first, second = parts == 1, parts == 2
    if second.any():
        (y1, x1), (y2, x2) = ndimage.center_of_mass(first), ndimage.center_of_mass(second)
        if abs(x1 - x2) > abs(y1 - y2):
            return first, second
    on_left = np.arange(parts.shape[1]) < parts.shape[1] / 2
    return (parts > 0) & on_left, (parts > 0) & ~on_left


def left_right_ratio(lungs: Sequence[NDArray[np.bool_]]) -> float:
    """Smaller lung to larger lung, 0 (one is missing) to 1 (alike). lungs: two of (H, W)."""
    smaller, larger = sorted(int(lung.sum()) for lung in lungs)
    return smaller / larger if larger else 0.0


def height_to_width(lung: NDArray[np.bool_]) -> float:
    """Rows by columns that a lung extends over, 0 where there is none. lung: (H, W)."""
    rows, columns = (np.flatnonzero(lung.any(axis=axis)) for axis in (1, 0))
    return float(np.ptp(rows) + 1) / float(np.ptp(columns) + 1) if rows.size else 0.0


def mean_entropy(probs: NDArray[np.floating], *, near: NDArray[np.bool_]) -> float:
    """Mean Bernoulli entropy in bits of the pixels inside a mask and near it, of all if empty.

    Args:
        probs: (H, W), in [0, 1].
        near: (H, W), the mask.
    """
    reach = NEAR * max(probs.shape)
    region = ndimage.distance_transform_edt(~near) <= reach if near.any() else ~near
    p = np.asarray(probs, dtype=np.float64)[region]
    q = 1 - p
    nats = -(p * np.log(np.maximum(p, 1e-12)) + q * np.log(np.maximum(q, 1e-12)))
    return float(nats.mean() / np.log(2))


def border_share(mask: NDArray[np.bool_]) -> float:
    """Share of the picture's outermost pixels that belong to the mask. mask: (H, W)."""
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = True
    return float(mask[~inner].mean())
