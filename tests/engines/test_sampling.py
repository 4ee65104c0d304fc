"""Which case comes next: unsure ones, typical ones, and never the same picture twice."""

import cProfile
import itertools
import pstats

import numpy as np
import pytest

from multimix_monai.engines.sampling import (
    MEASURES,
    Informativeness,
    herd,
    likeness,
    next_cases,
    uncertainty,
)

SURE = {"mask_doubt": 0.03, "mask_disagreement": 0.03, "class_doubt": 0.2, "class_disagreement": 0}
UNSURE = {**SURE, "mask_doubt": 0.6, "mask_disagreement": 0.6}


def cloud(centre: float, n: int, *, name: str, measures: dict, seed: int = 0) -> dict:
    """n cases around a centre in 16 dimensions, spread 1."""
    features = centre + np.random.default_rng(seed).normal(size=(n, 16))
    return {f"{name}{i:03d}": Informativeness(measures, f) for i, f in enumerate(features)}


def test_unsure_cases_that_are_unlike_the_annotated_ones_come_first() -> None:
    pool = cloud(0, 60, name="plain", measures=SURE)
    pool |= cloud(9, 4, name="odd", measures=UNSURE, seed=1)
    chosen = next_cases(pool, annotated=[f"plain{i:03d}" for i in range(8)], count=3)
    assert chosen[0].startswith("odd")


def test_an_unsure_case_comes_before_its_neighbours() -> None:
    pool = cloud(0, 40, name="plain", measures=SURE)
    pool["plain007"] = pool["plain007"]._replace(uncertainty=dict.fromkeys(SURE, 0.9))
    assert next_cases(pool, annotated=["plain000", "plain001"], count=1) == ["plain007"]


def test_a_picture_that_is_there_twice_is_chosen_once() -> None:
    pool = cloud(0, 10, name="a", measures=SURE)
    shifted = {
        f"b{name[1:]}": case._replace(features=case.features + 1e-4) for name, case in pool.items()
    }
    chosen = next_cases(pool | shifted, count=10)
    assert {name[1:] for name in chosen} == {f"{i:03d}" for i in range(10)}
    later = next_cases(pool | shifted, annotated=[f"a{i:03d}" for i in range(9)], count=1)
    assert later[0][1:] == "009"


def test_the_first_cases_are_typical_of_each_kind_and_not_the_outlier() -> None:
    pool = {}
    for kind in range(5):
        pool |= cloud(12 * kind, 20, name=f"kind{kind}-", measures={}, seed=kind)
    pool |= cloud(500, 1, name="broken", measures={})
    chosen = next_cases(pool, count=5)
    assert {name[:5] for name in chosen} == {f"kind{n}" for n in range(5)}


def test_the_order_of_the_pool_does_not_matter_and_a_choice_begins_like_a_smaller_one() -> None:
    pool = cloud(0, 50, name="a", measures=SURE) | cloud(4, 10, name="b", measures=UNSURE)
    chosen = next_cases(pool, annotated=["a003"], count=6)
    assert next_cases(dict(reversed(pool.items())), annotated=["a003"], count=6) == chosen
    assert len(set(chosen)) == 6 and "a003" not in chosen


def test_numbers_that_went_through_json_choose_the_same() -> None:
    pool = cloud(0, 30, name="a", measures=SURE)
    plain = {n: Informativeness(dict(c.uncertainty), c.features.tolist()) for n, c in pool.items()}
    assert next_cases(plain, count=5) == next_cases(pool, count=5)


def test_greedy_choice_is_near_the_best_of_all_choices() -> None:
    rng = np.random.default_rng(3)
    like = likeness(rng.normal(size=(12, 3)).astype(np.float32), centres=3)
    weights = rng.uniform(0.1, 2, size=12).astype(np.float32)
    nothing = np.zeros(12, dtype=bool)

    def covered(chosen: tuple[int, ...] | list[int]) -> float:
        return float(like[list(chosen)].max(axis=0) @ weights)

    best = max(covered(three) for three in itertools.combinations(range(12), 3))
    greedy = covered(herd(like, weights, is_done=nothing, count=3))
    assert (1 - 1 / np.e) * best < greedy <= best + 1e-5
    single = herd(like, weights, is_done=nothing, count=1)
    assert covered(single) == pytest.approx(max(covered((n,)) for n in range(12)))


def test_likeness_by_hand() -> None:
    # On a line at 0, 1, 3 with two centres: the nearest of each is 1, 1 and 2 away, the median 1.
    like = likeness(np.array([[0.0], [1.0], [3.0]], dtype=np.float32), centres=2)
    expected = np.exp(-np.array([[0, 1, 9], [1, 0, 4], [9, 4, 0]], dtype=float))
    assert np.allclose(like, expected, atol=1e-6)


def test_more_annotations_shorten_the_reach() -> None:
    features = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    sums = [float(likeness(features, centres=n).sum()) for n in (1, 5, 20, 60)]
    assert sums == sorted(sums, reverse=True) and sums[0] > 2 * sums[-1]


def test_each_measure_counts_by_its_ratio_to_the_mean() -> None:
    values = [(0.01, 0.9), (0.03, 0.9)]
    cases = [Informativeness({"mask_doubt": m, "class_doubt": c}, [0.0]) for m, c in values]
    assert uncertainty(cases) == pytest.approx([0.5 + 1, 1.5 + 1])
    assert uncertainty(cases, class_weight=0) == pytest.approx([0.5, 1.5])
    assert uncertainty([Informativeness({}, [0.0])] * 2) == pytest.approx([1, 1])


def test_a_class_that_nobody_annotates_does_not_steer() -> None:
    pool = cloud(0, 30, name="a", measures=SURE)
    unsure_class = {**SURE, "class_doubt": 1.0, "class_disagreement": 0.8}
    pool["a004"] = pool["a004"]._replace(uncertainty=unsure_class)
    pool["a009"] = pool["a009"]._replace(uncertainty=UNSURE)
    assert next_cases(pool, annotated=["a000"], class_weight=0) == ["a009"]
    assert next_cases(pool, annotated=["a000"], class_weight=20) == ["a004"]


def test_all_that_are_left_are_given_and_none_left_is_an_error() -> None:
    pool = cloud(0, 4, name="a", measures=SURE)
    assert sorted(next_cases(pool, annotated=["a001", "elsewhere"], count=9)) == [
        "a000",
        "a002",
        "a003",
    ]
    with pytest.raises(ValueError, match="no case is left to annotate: 4 are known"):
        next_cases(pool, annotated=pool)
    with pytest.raises(ValueError, match="no case is left to annotate: 0 are known"):
        next_cases({})


def test_a_pool_of_equal_pictures_and_one_of_a_single_case_are_no_error() -> None:
    same = {f"a{i}": Informativeness({}, [1.0, 2.0]) for i in range(5)}
    assert next_cases(same, count=2) == ["a0", "a1"]
    assert next_cases(dict(reversed(same.items())), count=2) == ["a0", "a1"]
    assert next_cases({"only": Informativeness(SURE, [1.0])}) == ["only"]


@pytest.mark.parametrize(
    "broken",
    [
        Informativeness(SURE, [float("nan")] * 16),
        Informativeness({"mask_doubt": float("inf")}, [0.0] * 16),
        Informativeness(SURE, [0.0] * 15),
    ],
)
def test_numbers_that_do_not_fit_are_named(broken: Informativeness) -> None:
    pool = cloud(0, 3, name="a", measures=SURE) | {"z": broken}
    with pytest.raises(ValueError, match=r"^z: 1[56] features"):
        next_cases(pool)


def test_counts_and_weights_out_of_range_are_refused() -> None:
    pool = cloud(0, 3, name="a", measures=SURE)
    for wrong in ({"count": 0}, {"class_weight": -1.0}):
        with pytest.raises(ValueError, match="at least 1 and 0 are needed"):
            next_cases(pool, **wrong)  # type: ignore[arg-type]


def test_a_thousand_cases_take_a_few_calls_each_and_one_matrix_product() -> None:
    features = np.random.default_rng(0).normal(size=(1000, 256)).astype(np.float32)
    pool = {f"{i:04d}": Informativeness(SURE, f) for i, f in enumerate(features)}
    profile = cProfile.Profile()
    profile.runcall(next_cases, pool, annotated=["0001"], count=20)
    calls = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    assert calls < 40 * len(pool)  # linear in cases: pairs are left to numpy
    assert set(MEASURES["mask"]) <= set(SURE)
