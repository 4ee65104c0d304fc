"""Quality of a mask, on masks drawn by hand whose measures can be counted."""

import numpy as np
import pytest

from multimix_monai.arrays.parts import parts_by_size
from multimix_monai.arrays.quality import (
    RULES,
    Rule,
    height_to_width,
    judge,
    left_right_ratio,
    mean_entropy,
    measure_mask,
    two_lungs,
    with_bounds,
)

LEFT, RIGHT = np.s_[20:80, 15:40], np.s_[20:80, 60:85]  # 60 x 25 each in 100 x 100


def lungs(*boxes: tuple[slice, slice], shape: tuple[int, int] = (100, 100)) -> np.ndarray:
    """Sure probabilities: 0.99 in the boxes, 0.01 elsewhere."""
    probs = np.full(shape, 0.01)
    for box in boxes:
        probs[box] = 0.99
    return probs


def fired(probs: np.ndarray, *, keep_components: int = 2) -> list[str]:
    measures = measure_mask(probs, threshold_prob=0.5, keep_components=keep_components)
    return judge(measures, RULES)


def test_two_lungs_equal_the_table_by_hand_and_pass() -> None:
    probs = lungs(LEFT, np.s_[20:80, 60:80])
    probs[0, 0] = 0.99  # a crumb, thrown away
    measures = measure_mask(probs, threshold_prob=0.5, keep_components=2)
    entropy = -(0.99 * np.log2(0.99) + 0.01 * np.log2(0.01))
    assert measures == pytest.approx(
        {
            "parts": 2,
            "thrown_away": 1 / (1500 + 1200 + 1),
            "area": 2700 / 10_000,
            "left_right": 1200 / 1500,
            "tallness": 60 / 25,
            "entropy": entropy,
            "border": 0,
        }
    )
    assert fired(probs) == []


def test_without_keeping_parts_nothing_is_thrown_away() -> None:
    probs = lungs(LEFT, RIGHT, np.s_[0:8, 0:8])
    assert measure_mask(probs, threshold_prob=0.5)["thrown_away"] == 0
    assert measure_mask(probs, threshold_prob=0.5)["area"] == pytest.approx(0.3064)


def test_lungs_that_merge_are_halved_at_the_pictures_middle_and_pass() -> None:
    bridge = np.s_[40:45, 40:60]
    assert measure_mask(lungs(LEFT, RIGHT, bridge), threshold_prob=0.5)["left_right"] == 1
    assert fired(lungs(LEFT, RIGHT, bridge)) == []
    thrown_away = lungs(LEFT, RIGHT, bridge, np.s_[0:9, 0:9])
    measures = measure_mask(thrown_away, threshold_prob=0.5, keep_components=1)
    assert measures["left_right"] == 1


@pytest.mark.parametrize(
    ("boxes", "code"),
    [
        ((LEFT,), "left_right_low"),  # one lung
        ((np.s_[20:45, 15:40], np.s_[55:80, 15:40]), "left_right_low"),  # one lung in two pieces
        ((LEFT, np.s_[20:80, 60:64]), "left_right_low"),  # a sliver for a lung
        ((), "area_low"),  # nothing
        ((np.s_[20:45, 15:40], RIGHT), "tallness_low"),  # the base of one is missing
        ((np.s_[20:26, 15:20], np.s_[20:26, 60:65]), "area_low"),  # specks
        ((np.s_[2:98, 2:98],), "area_high"),  # flooded
        ((np.s_[:, :45], np.s_[:, 55:]), "border_high"),  # flooded to the border
        ((LEFT, RIGHT, np.s_[85:100, 0:100]), "thrown_away_high"),  # a third part as large
        ((LEFT, RIGHT, np.s_[0:9, 0:9], np.s_[0:9, 90:], np.s_[90:, 45:54]), "parts_high"),
    ],
)
def test_a_broken_mask_goes_to_review_with_the_rule_that_it_breaks(boxes, code) -> None:
    assert code in fired(lungs(*boxes))


def test_an_unsure_or_random_mask_goes_to_review() -> None:
    unsure = np.where(lungs(LEFT, RIGHT) > 0.5, 0.55, 0.45)
    assert fired(unsure) == ["entropy_high"]
    noise = np.random.default_rng(0).random((100, 100))
    assert "entropy_high" in fired(noise)
    noise = np.where(noise < 0.2, 0.99, 0.01)  # sure of pixels that hang together by chance
    assert "thrown_away_high" in fired(noise)


def test_a_probability_that_is_not_a_number_goes_to_review() -> None:
    probs = lungs(LEFT, RIGHT)
    probs[30, 20] = np.nan
    assert "entropy_high" in fired(probs)
    rules = {"area": Rule(0.1, None, "size"), "border": Rule(None, 0.2, "cut")}
    assert judge(dict.fromkeys(rules, np.nan), rules) == ["area_low", "border_high"]


def test_parts_are_ranked_by_size_and_touch_at_corners() -> None:
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]], dtype=bool)
    expected = [[1, 0, 0, 0], [0, 1, 0, 2], [0, 1, 0, 2], [0, 0, 0, 0]]
    assert parts_by_size(mask).tolist() == expected
    lungs = two_lungs(parts_by_size(mask))
    assert left_right_ratio(lungs) == pytest.approx(2 / 3)
    assert [height_to_width(lung) for lung in lungs] == [3 / 2, 2]


def test_entropy_is_counted_inside_and_near_only() -> None:
    probs = np.full((100, 100), 0.5)
    probs[LEFT] = 1.0
    near = probs > 0.9
    corner = sum(np.hypot(y, x) <= 3 for y in range(1, 4) for x in range(1, 4))
    around = 2 * 3 * (60 + 25) + 4 * corner  # within 3 px: along four sides, and at corners
    assert mean_entropy(probs, near=near) == pytest.approx(around / (60 * 25 + around))


def test_every_rule_states_its_reason_and_has_a_bound() -> None:
    for rule in RULES.values():
        assert rule.reason and (rule.low, rule.high) != (None, None)


def test_ranges_can_be_replaced_opened_and_turned_off() -> None:
    rules = {"area": Rule(0.1, 0.5, "size"), "border": Rule(None, 0.2, "cut")}
    measures = {"area": 0.05, "border": 0.5}
    assert judge(measures, rules) == ["area_low", "border_high"]
    assert judge(measures, with_bounds(rules, {"area": (0.01, 0.5)})) == ["border_high"]
    off = with_bounds(rules, {"area": (None, None), "border": (0.6, None)})
    assert judge(measures, off) == ["border_low"]
    assert judge({"border": 0.5}, rules) == ["border_high"]


@pytest.mark.parametrize("given", [0.5, [0.1], [0.5, 0.1], ["a", 1], [float("nan"), 1], None])
def test_a_range_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"quality_rules: area is .*write \[low, high\]"):
        with_bounds(RULES, {"area": given})  # type: ignore[dict-item]


def test_an_unknown_rule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="has 'size'; there are parts, "):
        with_bounds(RULES, {"size": (0, 1)})
