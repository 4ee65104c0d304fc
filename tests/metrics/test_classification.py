"""Label metrics against a table by hand, pair counting and scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score

from multimix_monai.metrics import choose_threshold, label_metrics

PROBS = [0.1, 0.4, 0.35, 0.8, 0.7, 0.2]
LABELS = [0, 0, 1, 1, 1, 0]


def noisy(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return np.round(np.clip(rng.normal(0.35 + 0.25 * labels, 0.2), 0, 1), 2), labels


def test_the_metrics_equal_the_table_by_hand():
    # At 0.5: two of three with pneumonia are called, none of three normal.
    values = label_metrics(PROBS, LABELS, threshold_prob=0.5)
    assert values["sensitivity"] == pytest.approx(2 / 3)
    assert values["specificity"] == 1.0
    assert values["accuracy"] == pytest.approx(5 / 6)
    assert values["balanced_accuracy"] == pytest.approx(5 / 6)
    assert values["f1_pneumonia"] == pytest.approx(4 / 5)
    assert values["f1_normal"] == pytest.approx(6 / 7)
    assert values["auc"] == pytest.approx(8 / 9)  # of 9 pairs, 0.35 ranks below 0.4
    assert values["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    squares = 0.1**2 + 0.4**2 + 0.65**2 + 0.2**2 + 0.3**2 + 0.2**2
    assert values["brier"] == pytest.approx(squares / 6)


def test_auc_is_the_part_of_pairs_in_the_right_order_with_ties_as_half():
    probs, labels = noisy(0)
    gaps = probs[labels == 1][:, None] - probs[labels == 0][None]
    expected = np.mean((gaps > 0) + 0.5 * (gaps == 0))
    assert label_metrics(probs, labels, threshold_prob=0.5)["auc"] == pytest.approx(expected)


def test_the_metrics_equal_scikit_learns():
    probs, labels = noisy(1)
    values = label_metrics(probs, labels, threshold_prob=0.45)
    called = probs >= 0.45
    assert values["average_precision"] == pytest.approx(average_precision_score(labels, probs))
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, called))
    assert values["f1_normal"] == pytest.approx(f1_score(labels, called, pos_label=0))


def test_a_probability_at_the_threshold_is_called_pneumonia():
    assert label_metrics([0.5, 0.2], [1, 0], threshold_prob=0.5)["sensitivity"] == 1.0


@pytest.mark.parametrize(("label", "rate"), [(0, "specificity"), (1, "sensitivity")])
def test_labels_of_one_class_give_nan_where_both_are_needed(label, rate, recwarn):
    values = label_metrics([0.2, 0.6], [label, label], threshold_prob=0.5)
    assert values[rate] == 0.5
    missing = ["auc", "average_precision", "balanced_accuracy"]
    missing.append("sensitivity" if label == 0 else "specificity")
    assert all(math.isnan(values[name]) for name in missing)
    assert values["accuracy"] == 0.5
    assert not recwarn.list


def test_a_class_that_is_neither_there_nor_called_has_no_f1():
    assert math.isnan(label_metrics([0.2], [0], threshold_prob=0.5)["f1_pneumonia"])


def test_a_threshold_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"threshold_prob is 1\.5"):
        label_metrics(PROBS, LABELS, threshold_prob=1.5)


def test_the_threshold_lies_midway_between_classes_that_are_apart():
    assert choose_threshold([0.1, 0.3, 0.8, 0.9], [0, 0, 1, 1]) == pytest.approx(0.55)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_has_a_higher_youden_index(seed):
    probs, labels = noisy(seed)

    def youden(threshold: float) -> float:
        values = label_metrics(probs, labels, threshold_prob=threshold)
        return values["sensitivity"] + values["specificity"] - 1

    chosen = choose_threshold(probs, labels)
    assert youden(chosen) == pytest.approx(max(youden(t) for t in np.linspace(0, 1, 101)))


def test_among_equal_thresholds_the_one_nearest_to_one_half_is_taken():
    assert choose_threshold([0.1, 0.2, 0.5, 0.6], [0, 1, 0, 1]) == pytest.approx(0.55)


def test_a_threshold_needs_both_classes():
    with pytest.raises(ValueError, match="2 normal and 0 pneumonia"):
        choose_threshold([0.1, 0.2], [0, 0])
