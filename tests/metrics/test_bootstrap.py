"""Intervals: their coverage, their dependence on patients, their seed."""

import math
import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from multimix_monai.metrics import patient_bootstrap, patient_bootstrap_all


def test_the_interval_of_a_mean_is_close_to_the_normal_one():
    values = np.random.default_rng(0).normal(5, 2, size=200)
    low, high = patient_bootstrap(lambda i: values[i].mean(), range(200), n_resamples=4000)
    half = 1.96 * values.std() / math.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_the_interval_covers_the_true_mean_about_as_often_as_promised():
    rng, covered = np.random.default_rng(1), 0
    for seed in range(200):
        values = rng.normal(size=40)
        low, high = patient_bootstrap(
            lambda i, v=values: v[i].mean(), range(40), n_resamples=200, seed=seed, confidence=0.9
        )
        covered += low <= 0 <= high
    assert 0.82 <= covered / 200 <= 0.95


def test_images_of_one_patient_do_not_narrow_the_interval():
    values = np.random.default_rng(2).normal(size=50)
    tenfold, patients = np.repeat(values, 10), np.repeat(np.arange(50), 10)
    once = patient_bootstrap(lambda i: values[i].mean(), range(50))
    by_patient = patient_bootstrap(lambda i: tenfold[i].mean(), patients.tolist())
    by_image = patient_bootstrap(lambda i: tenfold[i].mean(), range(500))
    assert by_patient == pytest.approx(once)
    assert by_image.high - by_image.low < 0.5 * (once.high - once.low)


def test_a_drawn_patient_brings_all_its_images():
    patients = ["a", "b", "a", "c", "b", "a"]
    images = {p: [i for i, q in enumerate(patients) if q == p] for p in "abc"}

    def n_images(cases: np.ndarray) -> float:
        times = np.bincount(cases, minlength=6)
        assert all(len(set(times[images[p]])) == 1 for p in "abc")
        assert sum(times[images[p][0]] for p in "abc") == 3
        return float(len(cases))

    low, high = patient_bootstrap(n_images, patients, n_resamples=500, confidence=0.999)
    assert (low, high) == (3, 9)  # three times the patient of one image, or of three


def test_the_seed_decides_the_interval():
    values = np.random.default_rng(3).random(30)

    def interval(seed: int) -> tuple[float, float]:
        return patient_bootstrap(lambda i: values[i].mean(), range(30), seed=seed)

    assert interval(0) == interval(0)
    assert interval(0) != interval(1)


def test_resamples_without_a_value_are_left_out():
    labels = np.array([0, 1, 1, 1])
    low, high = patient_bootstrap(
        lambda i: math.nan if labels[i].all() else labels[i].mean(), range(4)
    )
    assert (low, high) == (0.25, 0.75)  # without the rule a third would be 1
    nothing = patient_bootstrap(lambda i: math.nan, range(4))
    assert all(map(math.isnan, nothing))


def test_one_patient_has_no_interval():
    assert all(map(math.isnan, patient_bootstrap(lambda i: 1.0, ["a", "a", "a"])))


def test_several_numbers_have_the_intervals_that_each_has_alone():
    values = np.random.default_rng(4).random(25)
    both = patient_bootstrap_all(
        lambda i: {"mean": values[i].mean(), "max": values[i].max()}, range(25)
    )
    assert both["mean"] == patient_bootstrap(lambda i: values[i].mean(), range(25))
    assert both["max"] == patient_bootstrap(lambda i: values[i].max(), range(25))


@pytest.mark.slow
def test_the_auc_of_624_cases_takes_seconds():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 624)
    probs = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    start = time.perf_counter()
    low, high = patient_bootstrap(lambda i: roc_auc_score(labels[i], probs[i]), range(624))
    assert time.perf_counter() - start < 10
    assert low < roc_auc_score(labels, probs) < high


@pytest.mark.parametrize(
    ("patients", "options", "message"),
    [
        ([], {}, "patients is empty"),
        (["a"], {"n_resamples": 0}, "n_resamples is 0"),
        (["a"], {"confidence": 95}, "confidence is 95"),
    ],
)
def test_what_cannot_be_resampled_is_refused(patients, options, message):
    with pytest.raises(ValueError, match=message):
        patient_bootstrap(lambda i: 1.0, patients, **options)
