"""A network is measured beside what needs no network."""

from typing import Any

import numpy as np
import pytest

from multimix_monai.experiments.audit_answers import Answers, pixel_scores
from multimix_monai.experiments.audit_estimates import Bootstrap, auc
from multimix_monai.experiments.external import baselines, external_table, told_apart
from multimix_monai.experiments.shortcuts import WHOLE

FEW = Bootstrap(50)


def answers(
    scores: Any, labels: list[int], info: list[dict[str, str]] | None = None, **pixels: Any
) -> Answers:
    n = len(labels)
    return Answers(
        labels=np.array(labels),
        patients=[str(i) for i in range(n)],
        info=info or [{}] * n,
        pixels={name: np.array(column, dtype=float) for name, column in pixels.items()},
        lung_share=np.full((len(scores), n), 0.3),
        kept={},
        scores={WHOLE: np.array(scores, dtype=float)},
        unreadable=0,
    )


def test_numbers_categories_and_pixels_are_scores_as_they_are() -> None:
    info = [
        {"age": "058Y", "sex": "F", "site": "a", "kind": "x", "part": "p"},
        {"age": "006M", "sex": "M", "site": "b", "kind": "x", "part": "p"},
        {"age": "12", "sex": "M", "site": "c", "kind": "x"},
    ]
    found = baselines(answers([[0, 1, 2]], [0, 1, 1], info, grey=[0.1, 0.2, 0.3], flat=[1, 1, 1]))
    assert found["age"].tolist() == [58, 0.5, 12]
    assert found["sex M"].tolist() == [0, 1, 1]
    assert [found[f"site {s}"].tolist() for s in "abc"] == np.eye(3).tolist()
    assert found["grey"].tolist() == [0.1, 0.2, 0.3]
    assert set(found) == {"age", "sex M", "site a", "site b", "site c", "grey"}


def test_a_column_of_names_is_no_score() -> None:
    info = [{"name": f"n{chr(97 + i)}"} for i in range(8)]
    assert baselines(answers([range(8)], [0, 1] * 4, info)) == {}


def test_a_network_that_tells_the_view_is_found_out() -> None:
    """Eight of ten with pneumonia are PA, two of ten without: the view's own AUC is 0.8."""
    views = ["PA"] * 8 + ["AP"] * 2 + ["PA"] * 2 + ["AP"] * 8
    labels = [1] * 10 + [0] * 10
    by_view = np.array([view == "PA" for view in views], dtype=float)
    given = answers([by_view], labels, [{"view": view} for view in views])
    found = external_table(given, thresholds=[0.6], strata="view", bootstrap=FEW)
    assert list(found) == ["all", "view AP", "view PA", "same view"]
    assert found["all"]["auc"]["network"].value == pytest.approx(0.8)
    assert found["all"]["auc"]["view PA"].value == pytest.approx(0.8)
    assert found["same view"]["auc"]["network"].value == 0.5
    assert (found["view PA"]["n_normal"], found["view PA"]["n_pneumonia"]) == (2, 8)
    apart = told_apart(given, strata="view", bootstrap=FEW)
    assert apart["of"] == "view PA" and apart["normal"].value == apart["pneumonia"].value == 1


def test_calls_stand_beside_always_the_same_answer() -> None:
    labels = [0, 0, 0, 1]
    given = answers([[-1, -1, 1, 1], [-1, -1, -1, -1]], labels)
    calls = external_table(given, thresholds=[0.5, 0.5], strata="view", bootstrap=FEW)["all"][
        "calls"
    ]
    assert calls["accuracy"].each == (0.75, 0.75)
    assert calls["accuracy of always normal"].value == 0.75
    assert calls["accuracy of always pneumonia"].value == 0.25
    assert calls["sensitivity"].each == (1, 0)
    assert calls["specificity"].each == pytest.approx((2 / 3, 1))


def test_each_network_is_called_at_its_own_threshold() -> None:
    given = answers([[0, 0], [0, 0]], [0, 1])  # a probability of 0.5
    calls = external_table(given, thresholds=[0.4, 0.6], strata="view", bootstrap=FEW)["all"][
        "calls"
    ]
    assert calls["sensitivity"].each == (1, 0)


def test_a_stratum_with_one_class_has_no_auc() -> None:
    info = [{"view": v} for v in ("AP", "AP", "PA", "PA")]
    given = answers([range(4)], [0, 1, 1, 1], info)
    found = external_table(given, thresholds=[0.5], strata="view", bootstrap=FEW)
    assert str(found["view PA"]["auc"]["network"]) == "none"
    assert found["view AP"]["auc"]["network"].value == 1


def test_the_pixels_scores_are_those_of_the_picture_alone() -> None:
    found = pixel_scores(np.array([[0, 1], [0, 1], [0, 1]], dtype=np.float32))
    assert found == {"mean grey": 0.5, "spread of grey": 0.5, "height to width": 1.5}


def test_nih_can_be_told_by_more_than_the_disease(shared_data: Any) -> None:
    """The official columns give the AUCs that a count over all pairs gives."""
    from multimix_monai.data.readers import read_nih

    cases = [case for case in read_nih(shared_data("nih_pneumonia")) if case.label is not None]
    labels = np.array([case.label for case in cases])
    found = baselines(answers([range(len(cases))], labels.tolist(), [dict(c.info) for c in cases]))
    names = {"sex M", "age", "view PA", "follow_up", "original_rows", "original_columns"}
    assert set(found) == names
    expected = {"view PA": 0.653, "age": 0.557, "follow_up": 0.671, "original_rows": 0.665}
    values = {name: float(auc(found[name][None], labels)[0]) for name in expected}
    assert values == pytest.approx(expected, abs=5e-4)
