"""Experiments, fourth: each system against the baseline, at the same budget, on the same cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from multimix_monai.experiments.results import Case, Result
from multimix_monai.metrics import Difference, paired_difference, weighted_auc, weighted_mean
from multimix_monai.metrics.paired import Statistic

COMPARED = {"Dice": "masks", "AUC": "labels"}
Key = tuple[str, Any, Any]


class Comparison(NamedTuple):
    """A system less the baseline."""

    system: str
    masks: Any
    labels: Any
    domain: str
    metric: str
    seeds: int
    difference: Difference


def compare(
    groups: dict[Key, list[Result]], *, baseline: str, domains: Sequence[str]
) -> list[Comparison]:
    """All that can be compared: the same budget, task, domain, and at least one common seed.

    A system that learns one task is compared with the baseline of every budget of the other.
    """
    return [
        Comparison(system, budget[0], budget[1], domain, metric, len(pairs), difference)
        for system, budget, pairs in comparable(groups, baseline=baseline)
        for domain in domains
        for metric in COMPARED
        if (difference := difference_of(pairs, metric=metric, domain=domain)) is not None
    ]


def comparable(
    groups: dict[Key, list[Result]], *, baseline: str
) -> Iterator[tuple[str, tuple[Any, Any], list[tuple[Result, Result]]]]:
    """System, the baseline's budget, and their runs of the same seeds."""
    for (system, *ours), results in groups.items():
        for (other, *theirs), references in groups.items():
            if system != baseline and other == baseline and fits(ours, theirs):
                pairs = common_seeds(results, references)
                if pairs:
                    yield system, (theirs[0], theirs[1]), pairs


def fits(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    """Whether budgets agree on every task that both learn."""
    return all(a == b or a is None or b is None for a, b in zip(ours, theirs, strict=True))


def common_seeds(ours: Sequence[Result], theirs: Sequence[Result]) -> list[tuple[Result, Result]]:
    """Pairs of runs with the same seed, and so with the same annotations."""
    seeds = {result.seed: result for result in theirs}
    return [(result, seeds[result.seed]) for result in ours if result.seed in seeds]


def difference_of(
    pairs: Sequence[tuple[Result, Result]], *, metric: str, domain: str
) -> Difference | None:
    """Of Dice or AUC over the cases that all runs have; None where either does not know them."""
    task = COMPARED[metric]
    runs = [run for pair in pairs for run in pair]
    if any(task not in run.record["tasks"] or domain not in run.reports for run in runs):
        return None
    tables = [(ours.cases(domain), theirs.cases(domain)) for ours, theirs in pairs]
    first = tables[0][0]
    keys = [key for key in first if all(key in t for pair in tables for t in pair)]
    keys = [key for key in keys if is_known(first[key], metric)]
    if not keys:
        return None
    statistics = [
        (
            statistic_of([ours[k] for k in keys], metric),
            statistic_of([theirs[k] for k in keys], metric),
        )
        for ours, theirs in tables
    ]
    return paired_difference(statistics, [first[key].patient for key in keys])


def is_known(case: Case, metric: str) -> bool:
    """Whether the truth that the metric needs is known."""
    return case.label is not None if metric == "AUC" else case.dice == case.dice


def statistic_of(cases: Sequence[Case], metric: str) -> Statistic:
    """Of how often each case counts."""
    if metric == "Dice":
        return weighted_mean([case.dice for case in cases])
    return weighted_auc([case.prob for case in cases], [int(case.label or 0) for case in cases])
