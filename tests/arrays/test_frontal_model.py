"""A picture's numbers, by hand; that the shipped model tells chests is tests/engines' concern."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimix_monai.arrays.frontal_model import (
    REASONS,
    FrontalModel,
    load_frontal_model,
    project,
    save_frontal_model,
    standard,
)


def a_model(**changes: Any) -> FrontalModel:
    """One mode, one measure; one example that has no vote, so that `prior` decides."""
    values: dict[str, Any] = {
        "image_size": 32,
        "weights_sha256": "",
        "threshold_prob": 0.5,
        "measures": ["area"],
        "view_mean": [0.0] * 288,
        "modes": [[1.0] + [0.0] * 287],
        "centre": [0.0] * 4,
        "spread": [1.0] * 4,
        "examples": [[0.0] * 4],
        "likeness": 0.5,
        "example_votes": [0.0],
        "prior": 0.0,
        "slope": 1.0,
        "offset": 0.0,
        "reason_votes": [[0.0] * 8 for _ in REASONS],
        "reason_prior": [0.0] * len(REASONS),
        "fitted_on": {},
    }
    return FrontalModel(**{**values, **changes})


def test_numbers_are_shares_of_modes_what_is_left_and_measures_in_standard_deviations() -> None:
    views = np.zeros((1, 288), np.float32)
    views[0, 0], views[0, 1], views[0, 144] = 3.0, 12.0, 6.0
    raw = project(views, np.zeros(288), np.eye(288)[:1])
    assert raw[0].tolist() == pytest.approx([3, 1, 0.5])
    numbers = standard(raw, np.array([1.0, 0, 0]), np.array([2.0, 1, 0.05]))
    assert numbers[0].tolist() == pytest.approx([1, 1, 6])
    model = a_model(centre=[1.0, 0, 0, 0.25], spread=[2.0, 1, 1, 0.5])
    numbers = model.numbers(views, {"area": np.array([0.75]), "other": np.array([9.0])})
    assert numbers[0].tolist() == pytest.approx([1, 1, 0.5, 1])


def test_votes_are_the_sum_over_examples_of_likeness_and_reasons_see_squares() -> None:
    model = a_model(examples=[[0.0] * 4, [2.0, 0, 0, 0]], example_votes=[3.0, -1.0], prior=0.5)
    numbers = np.array([[2.0, 0, 0, 0], [0, 1.0, 0, 0]])
    by_hand = [3 * np.exp(-2) - 1 + 0.5, 3 * np.exp(-0.5) - np.exp(-2.5) + 0.5]
    assert model.votes(numbers).tolist() == pytest.approx(by_hand, rel=1e-5)
    assert model.score(numbers).tolist() == pytest.approx(
        [1 / (1 + np.exp(-v)) for v in by_hand], rel=1e-5
    )
    votes = [[0.0] * 8 for _ in REASONS]
    votes[1][0], votes[3][5] = 1.0, 0.5  # of the first number, and of the second's square
    assert a_model(reason_votes=votes).reasons(numbers) == ["rotated_180", "inverted"]


def test_parameters_survive_writing_and_reading(tmp_path: Path) -> None:
    save_frontal_model(a_model(), tmp_path / "p.json")
    assert load_frontal_model(tmp_path / "p.json") == a_model()
