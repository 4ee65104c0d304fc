"""Splits are by patient, seeded, stratified, and stable when cases come and go."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from multimix_monai.data import Case
from multimix_monai.data.splits import (
    choose_labelled,
    choose_masked,
    hold_out,
    join_twins,
    patient_of,
    stratified_order,
)


def made(name: str, **known: object) -> Case:
    return Case(Path(f"{name}.png"), name, **known)  # type: ignore[arg-type]


COHORT = [
    made(f"{i}_{k}", patient=str(i), label=int(i % 4 == 0), mask=(Path("m"),) if i % 2 else ())
    for i in range(100)
    for k in range(1 + i % 3)
]


def test_every_beginning_of_the_order_holds_the_strata_in_proportion() -> None:
    strata = {str(i): "rare" if i < 20 else "common" for i in range(100)}
    order = stratified_order(strata, seed=0)
    assert sorted(order) == sorted(strata)
    for length in (10, 25, 50, 90):
        rare = sum(strata[name] == "rare" for name in order[:length])
        assert abs(rare - 0.2 * length) <= 1


def test_cover_puts_a_rare_stratum_into_a_small_choice() -> None:
    strata = {str(i): i == 0 for i in range(1000)}
    assert "0" in stratified_order(strata, seed=0, cover=True)[:2]
    assert "0" not in stratified_order(strata, seed=0)[:2]


def test_held_patients_take_all_their_cases_along() -> None:
    rest, held = hold_out(COHORT, 10, seed=0)
    assert len({patient_of(case) for case in held}) == 10
    assert not {patient_of(case) for case in rest} & {patient_of(case) for case in held}
    assert Counter(rest + held) == Counter(COHORT)


def test_a_share_keeps_the_proportion_of_labels_and_masks() -> None:
    _, held = hold_out(COHORT, 0.2, seed=3)
    patients = {case.patient: case for case in held}.values()
    assert len(patients) == 20
    assert sum(case.label == 1 for case in patients) == 5
    assert sum(bool(case.mask) for case in patients) == 10


def test_seed_decides_and_order_of_cases_does_not() -> None:
    held = [case.case for case in hold_out(COHORT, 10, seed=0)[1]]
    backwards = [case.case for case in hold_out(COHORT[::-1], 10, seed=0)[1]]
    assert held == backwards[::-1]
    assert held != [case.case for case in hold_out(COHORT, 10, seed=1)[1]]


def test_another_source_does_not_move_the_held_patients_of_the_first() -> None:
    alone = hold_out(COHORT, 0.1, seed=0)[1]
    other = [made(f"x{i}", source="other") for i in range(60)]
    together = hold_out(COHORT + other, 0.1, seed=0)[1]
    assert {case for case in together if case.source == "folder"} == set(alone)


def test_same_patient_key_in_two_sources_means_two_patients() -> None:
    cases = [made("a", patient="1"), made("b", patient="1", source="other")]
    assert len(hold_out(cases, 1, seed=0)[1]) == 1


@pytest.mark.parametrize(("amount", "message"), [(101, "there are 100"), (1.5, "from 0 to 1")])
def test_impossible_amounts_are_refused(amount: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hold_out(COHORT, amount, seed=0)


def test_budgets_are_stratified_nested_and_seeded() -> None:
    ten, twenty = (choose_labelled(COHORT, count, seed=0) for count in (10, 20))
    assert len(ten) == 10 and ten < twenty
    share = sum(case.label == 1 for case in COHORT) / len(COHORT)
    assert abs(sum(case.label == 1 for case in twenty) - 20 * share) <= 1
    assert ten != choose_labelled(COHORT, 10, seed=1)
    assert choose_labelled(COHORT, None, seed=0) == set(COHORT)
    assert choose_masked(COHORT, 0, seed=0) == set()


def test_mask_budget_takes_only_cases_with_a_mask() -> None:
    assert all(case.mask for case in choose_masked(COHORT, 30, seed=0))


def test_budget_beyond_what_exists_says_how_many_there_are() -> None:
    count = sum(bool(case.mask) for case in COHORT)
    with pytest.raises(ValueError, match=f"{count + 1} masks asked for, but there are {count}"):
        choose_masked(COHORT, count + 1, seed=0)


def test_patients_with_identical_images_become_one() -> None:
    cases = [made(name, patient=name) for name in "abcde"]
    pixels = ["x", "y", "x", "z", "y"]
    digests = {case.image: digest for case, digest in zip(cases, pixels, strict=True)}
    assert [case.patient for case in join_twins(cases, digests)] == ["a", "b", "a", "d", "b"]


def test_chains_of_identical_images_join_all_their_patients() -> None:
    cases = [made("a", patient="p"), made("b", patient="q"), made("c", patient="q")]
    cases += [made("d", patient="r"), made("e", patient="r")]
    digests = {case.image: digest for case, digest in zip(cases, "xxyyz", strict=True)}
    assert {case.patient for case in join_twins(cases, digests)} == {"p"}
