"""Path of data, from cases to parts: who trains, who validates, who is tested, who is annotated.

Every choice is a pure function of names and a seed. A case's place does not depend on which other
cases there are, so that a part changes little when a dataset grows, and a budget of 10 is part of
a budget of 20.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from .case import Case


def patient_of(case: Case) -> tuple[str, str]:
    """(source, patient); an image without a patient is its own."""
    return case.source, case.patient or case.case


def stratified_order(
    strata: Mapping[str, Hashable], *, seed: int, cover: bool = False
) -> list[str]:
    """Names in a random order whose every beginning holds the strata in proportion.

    The r-th of n members of a stratum stands at (r + 1/2) / n. Ties and members are ordered by a
    hash of seed and name.

    Args:
        strata: stratum of each name.
        seed: of the order.
        cover: put one of every stratum first, for choices so small that a share would miss one.
    """
    members: dict[Hashable, list[str]] = defaultdict(list)
    for name in sorted(strata, key=lambda name: _shuffle_key(name, seed)):
        members[strata[name]].append(name)
    offset = 0.0 if cover else 0.5
    position = {
        name: (rank + offset) / len(names)
        for names in members.values()
        for rank, name in enumerate(names)
    }
    return sorted(strata, key=lambda name: (position[name], _shuffle_key(name, seed)))


def hold_out(
    cases: Sequence[Case], amount: int | float, *, seed: int
) -> tuple[list[Case], list[Case]]:
    """Set patients aside, stratified by source, labels, finding and having a mask.

    Args:
        cases: in any order.
        amount: number of patients (int) or share of them in [0, 1] (float).
        seed: of the choice.

    Returns:
        (rest, held), each in the given order; all cases of a patient are in one of them.

    Raises:
        ValueError: if there are fewer patients than asked for, or a share is outside [0, 1].
    """
    strata = _patient_strata(cases)
    if isinstance(amount, float) and not 0 <= amount <= 1:
        raise ValueError(f"share is {amount}; it must be from 0 to 1: pass patients as an integer")
    count = math.floor(amount * len(strata) + 0.5) if isinstance(amount, float) else amount
    if not 0 <= count <= len(strata):
        raise ValueError(f"{count} patients asked for, but there are {len(strata)}: ask for fewer")
    return _apart(cases, set(stratified_order(strata, seed=seed)[:count]))


def hold_out_named(cases: Sequence[Case], pattern: str) -> tuple[list[Case], list[Case]]:
    """Set patients aside who have an image whose name a regular expression finds.

    Returns: as of `hold_out`.

    Raises:
        ValueError: the pattern is no regular expression, or finds no name.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    held = {_name(*patient_of(case)) for case in cases if wanted.search(case.case)}
    if not held:
        some = f"; one is {cases[0].case}" if cases else ""
        raise ValueError(f"no image has a name like {pattern!r}{some}")
    return _apart(cases, held)


def choose_masked(cases: Iterable[Case], count: int | None, *, seed: int) -> set[Case]:
    """Cases that keep their mask, stratified by source, label and finding; None keeps all.

    Raises:
        ValueError: if fewer cases have a mask.
    """
    known = {_name(case.source, case.case): case for case in cases if case.mask}
    strata = {
        name: (case.source, case.label, case.info.get("finding")) for name, case in known.items()
    }
    return {known[name] for name in _choose(strata, count, seed=seed, what="masks")}


def choose_labelled(cases: Iterable[Case], count: int | None, *, seed: int) -> set[Case]:
    """Cases that keep their label, stratified by source and label; None keeps all.

    Raises:
        ValueError: if fewer cases have a label.
    """
    known = {_name(case.source, case.case): case for case in cases if case.label is not None}
    strata = {name: (case.source, case.label) for name, case in known.items()}
    return {known[name] for name in _choose(strata, count, seed=seed, what="labels")}


def join_twins(cases: Sequence[Case], digests: Mapping[Path, str]) -> list[Case]:
    """Make one patient of those of a source who share a pixel-identical image.

    Args:
        cases: in any order.
        digests: hash of the pixels of each image file.
    """
    joined: dict[tuple[str, str], tuple[str, str]] = {}

    def representative(patient: tuple[str, str]) -> tuple[str, str]:
        while patient in joined:
            patient = joined[patient]
        return patient

    first: dict[tuple[str, str], tuple[str, str]] = {}
    for case in cases:
        patient = representative(patient_of(case))
        twin = representative(first.setdefault((case.source, digests[case.image]), patient))
        if patient != twin:
            joined[max(patient, twin)] = min(patient, twin)
    return [replace(case, patient=representative(patient_of(case))[1]) for case in cases]


def _choose(
    strata: Mapping[str, Hashable], count: int | None, *, seed: int, what: str
) -> list[str]:
    if count is not None and not 0 <= count <= len(strata):
        raise ValueError(
            f"{count} {what} asked for, but there are {len(strata)}: ask for at most "
            f"{len(strata)}, or 'all'"
        )
    return stratified_order(strata, seed=seed, cover=True)[:count]


def _patient_strata(cases: Iterable[Case]) -> dict[str, Hashable]:
    """Of each patient, the labels and findings of all images, and whether one has a mask."""
    known: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        facts = (f"label {case.label}", f"finding {case.info.get('finding')}")
        mask = ("mask",) if case.mask else ()
        known[_name(*patient_of(case))] |= {f"source {case.source}", *facts, *mask}
    return {patient: frozenset(facts) for patient, facts in known.items()}


def _apart(cases: Sequence[Case], held: Set[str]) -> tuple[list[Case], list[Case]]:
    """Cases of other patients, and those of the patients that are held."""
    return (
        [case for case in cases if _name(*patient_of(case)) not in held],
        [case for case in cases if _name(*patient_of(case)) in held],
    )


def _name(source: str, name: str) -> str:
    return f"{source}/{name}"


def _shuffle_key(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
