"""Metrics over cases of which each may lack a mask, a label or both."""

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from sklearn.metrics import roc_auc_score

from multimix_monai.handlers import KnownAUC, KnownMeanDice, MeanOfMetrics
from multimix_monai.metrics import mask_metrics


def masks(pred: list, truth: list | None) -> dict:
    case = {"pred": torch.tensor([pred], dtype=torch.uint8)}
    return case | ({} if truth is None else {"mask": torch.tensor([truth], dtype=torch.uint8)})


def labels(score: float, label: int | None) -> dict:
    case = {"probs": torch.tensor([1 - score, score])}
    return case | ({} if label is None else {"label": label})


A = masks([[1, 1], [0, 0]], [[1, 0], [0, 0]])  # 2 * 1 / (2 + 1)
B = masks([[1, 1, 1]], [[1, 1, 1]])  # 1, of another size
C = masks([[0, 1, 0, 0]], [[1, 0, 0, 0]])  # 0
D = masks([[0, 1, 0, 0]], None)
FALSE_LUNG = masks([[0, 1, 0, 0]], [[0, 0, 0, 0]])  # 0
NO_LUNG = masks([[0, 0, 0, 0]], [[0, 0, 0, 0]])  # says nothing


def run(metric: KnownMeanDice | KnownAUC, batches: list[list[dict]]) -> float:
    engine = Engine(lambda _, batch: batch)
    metric.attach(engine, "value")
    engine.run(batches)
    return engine.state.metrics["value"]


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([[A]], 2 / 3),
        ([[A, B, C]], 5 / 9),
        ([[A], [B], [C]], 5 / 9),
        ([[D], [A, D], [D]], 2 / 3),
        ([[], [B]], 1.0),
        ([[B, FALSE_LUNG]], 0.5),
        ([[B, NO_LUNG], [NO_LUNG]], 1.0),
    ],
)
def test_the_mean_dice_by_hand(batches: list[list[dict]], expected: float) -> None:
    assert run(KnownMeanDice(), batches) == pytest.approx(expected)


@pytest.mark.parametrize("batches", [[[D]], [[]], [[D], [D]], [[NO_LUNG]]])
def test_without_any_mask_the_dice_is_nan(batches: list[list[dict]]) -> None:
    assert math.isnan(run(KnownMeanDice(), batches))


def test_the_dice_is_that_of_the_report() -> None:
    for case in (A, B, C, FALSE_LUNG, NO_LUNG):
        reported = mask_metrics(case["pred"][0], case["mask"][0])["dice"]
        assert run(KnownMeanDice(), [[case]]) == pytest.approx(reported, nan_ok=True)


def test_a_mask_that_is_still_a_path_does_not_count() -> None:
    assert math.isnan(run(KnownMeanDice(), [[{**D, "mask": ["mask.png"]}]]))


def test_the_auc_is_scikit_learns_over_all_batches() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 2, 40), rng.random(40).round(1)
    cases = [labels(float(s), int(y)) for s, y in zip(scores, truth, strict=True)]
    cases.insert(3, labels(0.99, None))
    given = run(KnownAUC(), [cases[:7], cases[7:8], cases[8:]])
    assert given == pytest.approx(roc_auc_score(truth, scores))


@pytest.mark.parametrize("known", [[], [0, 0], [1]])
def test_without_both_classes_the_auc_is_nan(known: list[int]) -> None:
    cases = [labels(0.5, label) for label in known] + [labels(0.1, None)]
    assert math.isnan(run(KnownAUC(), [cases]))


def test_an_engine_run_again_forgets_the_cases_before() -> None:
    dice, auc = KnownMeanDice(), KnownAUC()
    assert run(dice, [[B]]) == 1 and run(dice, [[A]]) == pytest.approx(2 / 3)
    right = [[labels(0.9, 1), labels(0.1, 0)]]
    wrong = [[labels(0.1, 1), labels(0.9, 0)]]
    assert run(auc, right) == 1 and run(auc, wrong) == 0


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([A | labels(0.9, 1), C | labels(0.2, 0)], (1 / 3 + 1) / 2),
        ([A | labels(0.9, 1), C | labels(0.2, 1)], 1 / 3),  # one class only
        ([D | labels(0.9, 1), D | labels(0.2, 0)], 1.0),
        ([D | labels(0.9, None)], -math.inf),
    ],
)
def test_the_mean_of_metrics_leaves_out_what_is_not_known(
    cases: list[dict], expected: float
) -> None:
    dice, auc = KnownMeanDice(), KnownAUC()
    engine = Engine(lambda _, batch: batch)
    MeanOfMetrics([dice, auc]).attach(engine, "score")
    dice.attach(engine, "dice")
    auc.attach(engine, "auc")
    for _ in range(2):
        engine.run([cases])
        assert engine.state.metrics["score"] == pytest.approx(expected)
