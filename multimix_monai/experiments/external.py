"""Experiments: how well a network does on a set, beside what needs no network at all.

An AUC says little where the view, the age or the mean grey tell as much. These are scored as they
are, by nothing learnt: a baseline below 0.5 tells the classes apart the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimix_monai.data.keys import CLASSES
from multimix_monai.experiments.audit_answers import Answers
from multimix_monai.experiments.audit_estimates import (
    Bootstrap,
    Cases,
    Numbers,
    Statistic,
    aucs,
)
from multimix_monai.experiments.shortcuts import WHOLE

Column = NDArray[np.float64]
NETWORK, CHANCE = "network", "chance"
ALL = "all"
MOST_CATEGORIES = 6  # a column with more is a name or a note
YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}  # as DICOM writes ages
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)([YMWD]?)")


def external_table(
    answers: Answers, *, thresholds: Sequence[float], strata: str, bootstrap: Bootstrap
) -> dict[str, Any]:
    """By group of cases its size, the AUC of each score, and what the network's calls are worth.

    Args:
        answers: of the networks, on cases of one source.
        thresholds: (K,), probability from which each network's answer is called pneumonia.
        strata: the entry of the cases' info by which they are looked at apart, such as "view".
        bootstrap: makes the intervals.

    Returns:
        By group `n_normal`, `n_pneumonia`, `n_patients`, `auc` and `calls`, estimates by name.
        Groups are all cases, each stratum, and, where there are several, all cases compared
        within their strata only.
    """
    scores = {NETWORK: answers.scores[WHOLE]}
    scores |= {name: column[None] for name, column in baselines(answers).items()}
    called = answers.probs() >= np.array(thresholds)[:, None]
    kinds = np.array([info.get(strata, "") for info in answers.info])
    groups: dict[str, tuple[NDArray[np.intp], NDArray[Any] | None]]
    groups = {ALL: (np.arange(len(kinds)), None)}
    if len(set(kinds)) > 1:
        named = {kind: f"{strata} {kind}".strip() if kind else f"no {strata}" for kind in kinds}
        groups |= {named[k]: (np.flatnonzero(kinds == k), None) for k in sorted(named)}
        groups[f"same {strata}"] = (np.arange(len(kinds)), kinds)
    return {
        name: _group(answers, scores, called, cases, kinds_of, bootstrap)
        for name, (cases, kinds_of) in groups.items()
    }


def _group(
    answers: Answers,
    scores: Mapping[str, NDArray[np.floating]],
    called: NDArray[np.bool_],
    cases: NDArray[np.intp],
    strata: NDArray[Any] | None,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    labels, patients = answers.labels[cases], [answers.patients[n] for n in cases]
    own = {name: part[:, cases] for name, part in scores.items()}
    found = bootstrap(aucs(own, labels, strata=strata), patients)
    found[CHANCE] = bootstrap.chance(labels, strata)
    return {
        "n_normal": int((labels == 0).sum()),
        "n_pneumonia": int((labels == 1).sum()),
        "n_patients": len(set(patients)),
        "auc": found,
        "calls": bootstrap(_calls(called[:, cases], labels), patients),
    }


def told_apart(answers: Answers, *, strata: str, bootstrap: Bootstrap) -> dict[str, Any]:
    """How well the network's answer tells two strata apart, among cases of one class.

    0.5 where it hangs on the disease alone; a network that has learnt the view tells it here.

    Returns:
        Estimates of the AUC by `normal` and `pneumonia`, and `of`, the stratum that would score
        higher; empty unless there are exactly two strata.
    """
    kinds = np.array([info.get(strata, "") for info in answers.info])
    values = sorted(set(kinds))
    if len(values) != 2:
        return {}
    found: dict[str, Any] = {"of": f"{strata} {values[1]}"}
    for label, name in enumerate(CLASSES):
        own = np.flatnonzero(answers.labels == label)
        statistic = aucs(
            {name: answers.scores[WHOLE][:, own]}, (kinds[own] == values[1]).astype(int)
        )
        found |= bootstrap(statistic, [answers.patients[n] for n in own])
    return found


def _calls(called: NDArray[np.bool_], labels: NDArray[np.int_]) -> Statistic:
    """What calls are worth, and what saying always the same is. called: (K, N), labels: (N,)."""

    def statistic(cases: Cases) -> dict[str, Numbers]:
        ill, calls = labels[cases] == 1, called[:, cases]
        return {
            "accuracy": (calls == ill).mean(axis=1),
            "accuracy of always normal": np.array([(~ill).mean()]),
            "accuracy of always pneumonia": np.array([ill.mean()]),
            "sensitivity": _share(calls[:, ill]),
            "specificity": _share(~calls[:, ~ill]),
        }

    return statistic


def _share(right: NDArray[np.bool_]) -> Numbers:
    return right.mean(axis=1) if right.shape[1] else np.full(len(right), np.nan)


def baselines(answers: Answers) -> dict[str, Column]:
    """Scores (N,) that nothing has learnt: what the dataset tells of each case, and its pixels.

    Numbers serve as they are; of two categories the latter by name is 1, of more each in turn.
    What is constant, or is not known of every case, is no score.
    """
    found: dict[str, Column] = {}
    for key in dict.fromkeys(key for info in answers.info for key in info):
        if all(key in info for info in answers.info):
            found |= _columns(key, [info[key] for info in answers.info])
    found |= answers.pixels
    return {name: column for name, column in found.items() if np.ptp(column) > 0}


def _columns(key: str, texts: Sequence[str]) -> dict[str, Column]:
    numbers = [_NUMBER.fullmatch(text.strip()) for text in texts]
    if all(numbers):
        return {key: np.array([float(m[1]) * YEARS[m[2]] for m in numbers if m])}
    values = sorted(set(texts))
    if len(values) > MOST_CATEGORIES:
        return {}
    chosen = values[1:] if len(values) == 2 else values
    return {f"{key} {value}": np.array([float(t == value) for t in texts]) for value in chosen}
