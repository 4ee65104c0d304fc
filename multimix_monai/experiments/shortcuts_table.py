"""Experiments: what networks still tell when parts of a radiograph are gone, as estimates."""

from __future__ import annotations

from typing import Any

import numpy as np

from multimix_monai.experiments.audit_answers import Answers
from multimix_monai.experiments.audit_estimates import (
    Bootstrap,
    aucs,
    differences,
    rank_correlations,
)
from multimix_monai.experiments.shortcuts import BACKGROUND, FILLS, LUNGS, OUTSIDE, WHOLE

AREA = "area of the lungs"  # no answer of the classifier, but what the masks alone tell


def shortcut_table(answers: Answers, *, strata: str, bootstrap: Bootstrap) -> dict[str, Any]:
    """AUC by view of the picture, how far each view's answer is the whole picture's, and gaps.

    All views are measured on the same cases, those in which every network found lungs.

    Args:
        answers: of the networks, with views, on cases of one source.
        strata: the entry of the cases' info within which cases are also compared, such as "view".
        bootstrap: makes the intervals.

    Returns:
        `n_cases`, `n_without_lungs`, `kept` (mean share of the picture by region) and estimates by
        name: `auc`; `auc_same_<strata>` where the cases have several; `rank_correlation` with the
        answer to the whole picture; `difference` of AUCs.

    Raises:
        ValueError: no case has lungs, or those that have are of one class.
    """
    known = np.flatnonzero((answers.lung_share > 0).all(axis=0))
    labels = answers.labels[known]
    if len(set(labels)) < 2:
        raise ValueError(
            f"lungs were found in {len(known)} of {len(answers.labels)} cases, and not in both "
            "classes: check the image size and the lung threshold"
        )
    patients = [answers.patients[n] for n in known]
    scores = {view: part[:, known] for view, part in answers.scores.items()}
    by_masks = {AREA: answers.lung_share[:, known]}
    table: dict[str, Any] = {
        "n_cases": len(known),
        "n_without_lungs": len(answers.labels) - len(known),
        "kept": answers.kept,
        "auc": bootstrap(aucs(scores | by_masks, labels), patients),
    }
    kinds = np.array([answers.info[n].get(strata, "") for n in known])
    if len(set(kinds)) > 1:
        within = aucs(scores | by_masks, labels, strata=kinds)
        table[f"auc_same_{strata}"] = bootstrap(within, patients)
    others = {view: part for view, part in scores.items() if view != WHOLE}
    table["rank_correlation"] = bootstrap(rank_correlations(others, scores[WHOLE]), patients)
    table["difference"] = bootstrap(differences(scores, labels, _pairs()), patients)
    return table


def _pairs() -> dict[str, tuple[str, str]]:
    """Views whose AUCs are compared, by the name of the comparison."""
    regions = [(LUNGS, BACKGROUND), (LUNGS, OUTSIDE)]
    named = {
        f"{one} less {other}, {fill}": (f"{one}, {fill}", f"{other}, {fill}")
        for one, other in regions
        for fill in FILLS
    }
    return named | {f"whole less lungs, {fill}": (WHOLE, f"{LUNGS}, {fill}") for fill in FILLS}
