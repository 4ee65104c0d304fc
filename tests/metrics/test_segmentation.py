"""Mask metrics against hand-computed tables and independent references."""

import math

import numpy as np
import pytest
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import cdist

from multimix_monai.metrics import mask_metrics

DISTANCES = ("average_hausdorff", "hausdorff", "hausdorff95", "assd")


def square(top: int, left: int, *, side: int = 4, size: int = 16) -> np.ndarray:
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def blobs(seed: int, *, shape: tuple[int, int] = (40, 53)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, dtype=bool)
    for _ in range(4):
        centre, radius = rng.uniform((0, 0), shape), rng.uniform(3, 11)
        mask |= np.hypot(rows - centre[0], columns - centre[1]) < radius
    return mask.astype(np.uint8)


def contour(mask: np.ndarray) -> np.ndarray:
    """Coordinates of foreground pixels of which one of the four neighbours is not foreground."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere((mask == 1) & (inner == 0)).astype(float)


def reference_distances(pred: np.ndarray, truth: np.ndarray, spacing=(1.0, 1.0)) -> list[float]:
    between = cdist(contour(pred) * spacing, contour(truth) * spacing)
    there, back = between.min(axis=1), between.min(axis=0)
    return [
        max(there.mean(), back.mean()),
        max(there.max(), back.max()),
        max(np.percentile(there, 95), np.percentile(back, 95)),
        np.concatenate([there, back]).mean(),
    ]


def test_overlap_of_a_shifted_square_equals_the_table_by_hand():
    # 16 pixels each, shifted by one column: 12 shared, 4 only predicted, 4 only true.
    values = mask_metrics(square(4, 5), square(4, 4))
    assert values["dice"] == pytest.approx(24 / 32)
    assert values["jaccard"] == pytest.approx(12 / 20)
    assert values["precision"] == pytest.approx(12 / 16)
    assert values["recall"] == pytest.approx(12 / 16)


def test_precision_and_recall_are_not_swapped():
    values = mask_metrics(square(4, 4, side=2), square(4, 4, side=4))
    assert (values["precision"], values["recall"]) == (1.0, 0.25)


def test_distances_of_a_shifted_square_equal_the_table_by_hand():
    # Each contour has 12 pixels. Three of the top and three of the bottom row are shared; the four
    # of the outer column and the two between on the inner one lie one pixel off.
    values = mask_metrics(square(4, 5), square(4, 4))
    assert values["hausdorff_px"] == pytest.approx(1.0)
    there = cdist(contour(square(4, 5)), contour(square(4, 4))).min(axis=1)
    assert sorted(there) == [0.0] * 6 + [1.0] * 6
    assert values["assd_px"] == pytest.approx(0.5)
    assert values["average_hausdorff_px"] == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(5))
def test_distances_equal_all_pairs_of_contour_points(seed):
    pred, truth, spacing = blobs(seed), blobs(seed + 100), (0.7, 0.4)
    values = mask_metrics(pred, truth, spacing_mm=spacing)
    assert [values[f"{n}_px"] for n in DISTANCES] == pytest.approx(reference_distances(pred, truth))
    assert [values[f"{n}_mm"] for n in DISTANCES] == pytest.approx(
        reference_distances(pred, truth, spacing)
    )


def test_distances_equal_monai_and_a_distance_transform():
    pred, truth = blobs(1), blobs(2)
    values = mask_metrics(pred, truth)
    batch = (pred[None, None], truth[None, None])
    monai_95 = compute_hausdorff_distance(*batch, include_background=True, percentile=95)
    monai_assd = compute_average_surface_distance(*batch, include_background=True, symmetric=True)
    assert values["hausdorff95_px"] == pytest.approx(float(monai_95))
    assert values["assd_px"] == pytest.approx(float(monai_assd))
    on_truth = np.ones(truth.shape)
    on_truth[tuple(contour(truth).astype(int).T)] = 0
    there = distance_transform_edt(on_truth)[tuple(contour(pred).astype(int).T)]
    assert values["hausdorff_px"] >= there.max() - 1e-5


def test_identical_masks_are_perfect():
    values = mask_metrics(blobs(3), blobs(3), spacing_mm=(0.2, 0.2))
    assert all(values[name] == 1.0 for name in ("dice", "jaccard", "precision", "recall"))
    assert values["ssim"] == pytest.approx(1.0)
    assert all(values[f"{n}_{unit}"] == 0.0 for n in DISTANCES for unit in ("px", "mm"))


def test_a_mask_that_fills_the_image_has_its_contour_at_the_border():
    full = np.ones((12, 12), dtype=np.uint8)
    inner = square(1, 1, side=10, size=12)
    assert mask_metrics(inner, full)["hausdorff_px"] == pytest.approx(math.sqrt(2))


def test_ssim_equals_the_definition_computed_window_by_window():
    pred, truth = blobs(7).astype(float), blobs(8).astype(float)
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    scores = []
    for r in range(5, pred.shape[0] - 5):
        for c in range(5, pred.shape[1] - 5):
            x, y = (m[r - 5 : r + 6, c - 5 : c + 6] for m in (pred, truth))
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            cov = (weights * (x - mx) * (y - my)).sum()
            light = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
            scores.append(light * (2 * cov + 9e-4) / (vx + vy + 9e-4))
    assert mask_metrics(pred, truth)["ssim"] == pytest.approx(np.mean(scores), abs=1e-4)


def test_ssim_is_nan_where_its_window_does_not_fit():
    assert math.isnan(mask_metrics(np.ones((8, 40)), np.ones((8, 40)))["ssim"])


@pytest.mark.parametrize(
    ("pred", "truth", "expected"),
    [
        (0, 0, {"dice": math.nan, "jaccard": math.nan, "precision": math.nan, "recall": math.nan}),
        (0, 1, {"dice": 0.0, "jaccard": 0.0, "precision": math.nan, "recall": 0.0}),
        (1, 0, {"dice": 0.0, "jaccard": 0.0, "precision": 0.0, "recall": math.nan}),
    ],
)
def test_empty_masks_give_what_the_docstring_says(pred, truth, expected, recwarn):
    values = mask_metrics(square(3, 3) * pred, square(3, 3) * truth, spacing_mm=(1, 1))
    assert {name: values[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert all(math.isnan(values[f"{n}_{unit}"]) for n in DISTANCES for unit in ("px", "mm"))
    assert not recwarn.list


def test_millimetres_appear_only_with_spacing():
    assert not [name for name in mask_metrics(blobs(1), blobs(2)) if name.endswith("_mm")]


def test_masks_of_unequal_shape_are_refused_by_their_sizes():
    with pytest.raises(ValueError, match="pred is 10x12 and truth is 12x10"):
        mask_metrics(np.ones((10, 12)), np.ones((12, 10)))


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (math.nan, 1.0), (1.0,)])
def test_a_spacing_that_is_none_is_refused(spacing):
    with pytest.raises(ValueError, match="two positive numbers"):
        mask_metrics(square(1, 1), square(1, 1), spacing_mm=spacing)


def test_a_probability_map_or_a_batch_is_refused():
    with pytest.raises(ValueError, match="only 0 and 1"):
        mask_metrics(square(1, 1) * 0.5, square(1, 1))
    with pytest.raises(ValueError, match="2-D"):
        mask_metrics(square(1, 1)[None], square(1, 1))
