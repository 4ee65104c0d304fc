"""Apps: validation chooses the threshold, the test cases are measured with it and reported."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multimix_monai.apps.case_results import CaseResults
from multimix_monai.apps.report import summary_table, write_report
from multimix_monai.data.keys import Keys
from multimix_monai.engines.evaluator import MultiMixEvaluator
from multimix_monai.metrics import choose_threshold

FIXED_THRESHOLD = 0.5


def evaluate(
    *,
    validation: MultiMixEvaluator,
    test: MultiMixEvaluator,
    output_dir: str | Path,
    threshold_prob: float | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Run both evaluators and write the report; refused.csv names the cases that were left out.

    Args:
        validation: over the validation part; it runs only if the threshold is to be chosen.
        test: over the part that is measured.
        output_dir: of the report.
        threshold_prob: from which a case is called pneumonia; None chooses it on validation.
        temperature: that both evaluators' postprocessing has, for the report.
        seed: of the bootstrap.

    Returns:
        What metrics.json holds.

    Raises:
        ValueError: the measured part is empty, or no case of it could be read.
    """
    threshold, source = choose(validation) if threshold_prob is None else (threshold_prob, "given")
    collected = CaseResults(keep_pictures=True)
    collected.attach(test)
    test.run()
    write_refused(test.refused, Path(output_dir) / "refused.csv")
    if not collected.results:
        raise ValueError(
            f"none of {len(test.refused)} cases could be measured: see {output_dir}/refused.csv"
            if test.refused
            else "the part to measure has no cases: set --part to another one of the datalist"
        )
    report = write_report(
        collected.results,
        output=Path(output_dir),
        threshold_prob=threshold,
        threshold_source=source,
        temperature=temperature,
        picture=collected.picture,
        seed=seed,
    )
    show(report, Path(output_dir), n_refused=len(test.refused))
    return report


def write_refused(cases: Sequence[dict[str, Any]], path: Path) -> None:
    """A line for each case that has no result, with its error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "source", "message"])
        for case in cases:
            writer.writerow([case[Keys.CASE], case.get(Keys.SOURCE), case[Keys.ERROR]])


def choose(validation: MultiMixEvaluator) -> tuple[float, str]:
    """The threshold by Youden's index on validation, and where it comes from."""
    collected = CaseResults(measure_masks=False)
    collected.attach(validation)
    validation.run()
    known = [
        (r.prob, r.label) for r in collected.results if r.label is not None and r.prob is not None
    ]
    if len({label for _, label in known}) < 2:
        return FIXED_THRESHOLD, "fixed: validation does not have both classes"
    probs, labels = zip(*known, strict=True)
    return choose_threshold(probs, labels), f"validation, Youden's index over {len(known)} cases"


def show(report: dict[str, Any], output_dir: Path, *, n_refused: int = 0) -> None:
    """The table on the console, and where the rest lies."""
    from rich.console import Console

    console = Console()
    console.print(summary_table(report))
    console.print(f"report: {output_dir / 'report.md'}, pictures: {output_dir / 'worst'}")
    if n_refused:
        console.print(f"{n_refused} cases were left out: {output_dir / 'refused.csv'}")
