"""The summary by task and source, against tables by hand."""

import math

import numpy as np
import pytest

from multimix_monai.metrics import CaseResult, label_metrics, summarise


def masked(case: str, dice: float, *, source: str = "a", patient: str | None = None, **metrics):
    return CaseResult(case, source, patient=patient, metrics={"dice": dice, **metrics})


def labelled(case: str, prob: float, label: int, *, source: str = "a", patient: str | None = None):
    return CaseResult(case, source, patient=patient, label=label, prob=prob)


def summary_of(results: list[CaseResult]) -> dict:
    return summarise(results, threshold_prob=0.5, n_resamples=200)


def test_masks_have_mean_and_spread_of_their_cases():
    dice = summary_of([masked("1", 0.8), masked("2", 0.9), masked("3", 1.0)])["masks"]["a"]
    entry = dice["metrics"]["dice"]
    assert entry["mean"] == pytest.approx(0.9)
    assert entry["std"] == pytest.approx(0.1)
    assert entry["low"] < 0.9 < entry["high"]
    assert (dice["n_cases"], dice["n_patients"], entry["n_cases"]) == (3, 3, 3)


def test_cases_without_a_distance_are_left_out_counted_and_noted():
    results = [
        masked("1", 0.8, hausdorff_px=4.0),
        masked("2", 0.0, hausdorff_px=math.nan),
        masked("3", 0.9, hausdorff_px=6.0),
    ]
    summary = summary_of(results)
    entry = summary["masks"]["a"]["metrics"]["hausdorff_px"]
    assert (entry["mean"], entry["n_cases"]) == (5.0, 2)
    assert "1 of 3" in " ".join(summary["notes"])


def test_a_metric_that_only_some_cases_have_is_averaged_over_those():
    results = [masked("1", 0.8, assd_mm=1.0), masked("2", 0.9), masked("3", 0.9, assd_mm=2.0)]
    assert summary_of(results)["masks"]["a"]["metrics"]["assd_mm"]["mean"] == 1.5


def test_labels_have_the_metrics_of_all_their_cases():
    probs, labels = [0.1, 0.7, 0.4, 0.9, 0.2, 0.8], [0, 0, 1, 1, 0, 1]
    results = [labelled(str(i), p, y) for i, (p, y) in enumerate(zip(probs, labels, strict=True))]
    summary = summary_of(results)["labels"]["a"]
    expected = label_metrics(probs, labels, threshold_prob=0.5)
    assert {n: e["value"] for n, e in summary["metrics"].items()} == pytest.approx(expected)
    assert (summary["n_normal"], summary["n_pneumonia"]) == (3, 3)
    assert list(summary["confusion"].values()) == [2, 1, 1, 2]  # tn, fp, fn, tp


def test_values_lie_in_their_intervals_and_calibration_error_has_none():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 150)
    probs = np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0, 1)
    results = [
        labelled(str(i), float(p), int(y))
        for i, (p, y) in enumerate(zip(probs, labels, strict=True))
    ]
    metrics = summary_of(results)["labels"]["a"]["metrics"]
    assert math.isnan(metrics.pop("calibration_error")["low"])
    assert all(entry["low"] < entry["value"] < entry["high"] for entry in metrics.values())


def test_tasks_and_sources_are_kept_apart_and_several_sources_have_a_sum():
    results = [masked("1", 0.9), labelled("2", 0.2, 0, source="b"), labelled("3", 0.8, 1)]
    summary = summary_of(results)
    assert list(summary["masks"]) == ["a"]
    assert list(summary["labels"]) == ["all", "b", "a"]
    assert summary["labels"]["all"]["n_cases"] == 2


def test_images_of_one_patient_count_once_and_widen_the_interval():
    dice = np.random.default_rng(1).uniform(0.5, 1, 20).repeat(4)
    one_each = [masked(str(i), d) for i, d in enumerate(dice)]
    four_each = [masked(str(i), d, patient=str(i // 4)) for i, d in enumerate(dice)]
    narrow, wide = (summary_of(r)["masks"]["a"]["metrics"]["dice"] for r in (one_each, four_each))
    assert wide["high"] - wide["low"] > 1.5 * (narrow["high"] - narrow["low"])
    assert (summary_of(one_each)["n_patients"], summary_of(four_each)["n_patients"]) == (80, 20)


def test_the_same_key_in_two_sources_is_two_patients():
    results = [masked("1", 0.9, patient="7"), masked("2", 0.8, source="b", patient="7")]
    assert summary_of(results)["n_patients"] == 2


def test_a_key_that_equals_another_images_name_is_not_its_patient():
    assert summary_of([masked("7", 0.9), masked("8", 0.8, patient="7")])["n_patients"] == 2


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([masked("1", 0.9)], "nothing is said about labels"),
        ([labelled("1", 0.9, 1), labelled("2", 0.2, 0)], "nothing is said about masks"),
        ([labelled("1", 0.9, 1), labelled("2", 0.2, 1)], "All labels are pneumonia"),
        ([CaseResult("1", "a", prob=0.4)], "nothing is said about labels"),
    ],
)
def test_what_is_missing_is_said(results, message):
    assert message in " ".join(summary_of(results)["notes"])


def test_no_results_and_twice_the_same_case_are_refused():
    with pytest.raises(ValueError, match="no results"):
        summary_of([])
    with pytest.raises(ValueError, match="case 1 of source a occurs twice"):
        summary_of([masked("1", 0.9), masked("1", 0.8)])
