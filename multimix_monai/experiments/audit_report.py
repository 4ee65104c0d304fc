"""Experiments: an audit as Markdown, with what it cannot show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LIMITS = """## What this shows, and what it cannot

- Intervals say how far a figure could be off had other patients come; with several weights, that of
  their mean, and ± is the standard deviation over weights. They say nothing of another hospital.
- A baseline below 0.5 tells the classes apart the other way round. Where a baseline does as well as
  the network, the set cannot show that the network sees the disease. "same ..." compares only
  cases of one stratum, so that what tells the strata apart is of no use there.
- An AUC above chance from the background shows that this network's answer is moved by what lies
  outside the lungs, in the direction of the label. It does not show by what (a marker, the
  collimation, the patient's build, a line or a tube; a sick child is also laid down differently),
  nor that the answer to the whole picture hangs on it: see the rank correlation.
- An AUC near chance from the background does not clear the network: pictures without lungs are none
  that it was trained on, and lungs and background may act together. A low AUC from the lungs alone
  can come of the same. Nothing was trained anew on the parts, so what they hold is not measured,
  only what this network makes of them.
- The lungs are the network's own masks, widened. Where a mask misses a consolidated part, that part
  counts as background; "outside the box" and "rim" hold less of it. Where a figure differs between
  the two fills, it hangs on the fill. "shape only" is what the hole itself tells.
- Greys are normalised before anything is removed, as the network is used to: a bright marker still
  shifts the greys of the lungs a little.
- Labels of public sets come from reports, and by machine; some are wrong.
"""


def markdown(result: Mapping[str, Any]) -> str:
    """The report. result: as `audit.main` puts it together."""
    n = len(result["weights_sha256"])
    digests = ", ".join(digest[:12] for digest in result["weights_sha256"])
    cuts = ", ".join(f"{threshold:.3f}" for threshold in result["thresholds"])
    lines = [
        "# Audit",
        "",
        f"{n} weights ({digests}), input {result['image_size']} px, lungs from a probability of "
        f"{result['lung_threshold_prob']} and widened by {result['margin_px']:g} px. Pneumonia "
        f"from a probability of {cuts} ({result['threshold_source']}). In brackets 95 % intervals, "
        f"{result['n_resamples']} resamples of patients.",
        "",
        "![AUC](auc.png)",
    ]
    for name, found in result["sets"].items():
        lines += ["", f"## {name} ({found['role']})", *_external(found)]
        lines += _shortcuts(found["shortcuts"], same=f"same_{result['strata']}")
    return "\n".join([*lines, "", "![Views](views.png)", "", LIMITS])


def _external(found: Mapping[str, Any]) -> Iterator[str]:
    groups = found["groups"]
    if found["n_unreadable"]:
        yield f"\n{found['n_unreadable']} cases could not be read and are left out."
    titles = [
        f"{name}: {g['n_normal']} normal, {g['n_pneumonia']} pneumonia, {g['n_patients']} patients"
        for name, g in groups.items()
    ]
    for title, key in (("AUC", "auc"), ("calls", "calls")):
        # Calls are not compared between cases, so that they have no strata to stay within.
        kept = {n: g for n, g in groups.items() if key == "auc" or not n.startswith("same ")}
        yield from _table(title, titles[: len(kept)], [g[key] for g in kept.values()])
    apart = found["told_apart"]
    if apart:
        yield ""
        yield (
            f"How well the network's answer tells {apart['of']} within one class (0.5 if not at "
            f"all): normal {apart['normal']}, pneumonia {apart['pneumonia']}."
        )


def _shortcuts(found: Mapping[str, Any], *, same: str) -> Iterator[str]:
    columns = {"AUC": found["auc"]}
    if f"auc_{same}" in found:
        columns[f"AUC, {same.replace('_', ' ')}"] = found[f"auc_{same}"]
    columns["rank correlation with whole"] = found["rank_correlation"]
    yield from _table("what the network sees", list(columns), list(columns.values()))
    yield from _table("difference", ["of AUC"], [found["difference"]])
    kept = ", ".join(f"{region} {share:.2f}" for region, share in found["kept"].items())
    yield ""
    yield (
        f"{found['n_cases']} cases; {found['n_without_lungs']} in which no lungs were found are "
        f"left out. Share of the picture that is kept: {kept}."
    )


def _table(
    heading: str, titles: Sequence[str], columns: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """A row a name, a column a title; empty where a column lacks the name."""
    yield ""
    yield f"| {heading} | {' | '.join(titles)} |"
    yield f"|---|{'---|' * len(titles)}"
    for name in dict.fromkeys(name for column in columns for name in column):
        cells = (str(column.get(name, "")) for column in columns)
        yield f"| {name} | {' | '.join(cells)} |"
