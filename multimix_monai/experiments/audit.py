"""Experiments: what a network is worth elsewhere, what is no network's merit, and shortcuts.

    python -m multimix_monai.experiments.audit WEIGHTS [WEIGHTS of other seeds ...] \
        --datalist datalist.json --dataset-dir DATA --external nih=nih_pneumonia --output DIR

measures weights that are there, trains nothing, and writes audit.json, audit.md and two pictures:

- the AUC on the test part and on sets of other hospitals, beside baselines that need no network;
- the AUC from the lungs alone, and from what is left without them.

Intervals are by bootstrap over patients. What is written holds figures of all cases together, and
pictures without a name.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multimix_monai.data.datalist import load_datalist
from multimix_monai.data.keys import Keys
from multimix_monai.data.readers import READERS
from multimix_monai.experiments.audit_answers import INFO, Item, Panel, read_panel
from multimix_monai.experiments.audit_estimates import Bootstrap, Estimate
from multimix_monai.experiments.audit_pictures import auc_figure, views_figure
from multimix_monai.experiments.audit_report import markdown
from multimix_monai.experiments.external import external_table, told_apart
from multimix_monai.experiments.shortcuts_table import shortcut_table
from multimix_monai.metrics import choose_threshold
from multimix_monai.metrics.summary import CONFIDENCE

FIXED_THRESHOLD = 0.5
IN_DOMAIN, EXTERNAL = "in-domain", "external"


def has_both_classes(items: Sequence[Item]) -> bool:
    """Whether an AUC exists. items: labelled cases."""
    return len({item[Keys.LABEL] for item in items}) == 2


def in_domain_sets(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Labelled cases by source, of sources with both classes.

    Raises:
        ValueError: no source has both.
    """
    known = [item for item in items if item.get(Keys.LABEL) is not None]
    sources = dict.fromkeys(str(item[Keys.SOURCE]) for item in known)
    sets = {s: [item for item in known if item[Keys.SOURCE] == s] for s in sources}
    sets = {source: part for source, part in sets.items() if has_both_classes(part)}
    if not sets:
        raise ValueError(
            "no source of the datalist's test part has normal and pneumonia labels, and an AUC "
            "needs both: give a datalist with such a test part"
        )
    return sets


def external_set(reader: str, folder: Path) -> list[Item]:
    """Labelled cases of a dataset that is no part of the datalist.

    Raises:
        ValueError: the reader is unknown, or one of the classes is missing.
    """
    if reader not in READERS:
        raise ValueError(f"--external: no reader {reader!r}; write one of {', '.join(READERS)}")
    items: list[Item] = [
        {
            Keys.CASE: case.case,
            Keys.IMAGE: os.path.abspath(case.image),
            Keys.SOURCE: case.source,
            Keys.PATIENT: case.patient or case.case,
            Keys.LABEL: case.label,
            INFO: dict(case.info),
        }
        for case in READERS[reader](folder)
        if case.label is not None
    ]
    if not has_both_classes(items):
        ill = sum(item[Keys.LABEL] for item in items)
        raise ValueError(
            f"{folder}: {len(items) - ill} normal and {ill} pneumonia labels; an AUC needs both: "
            "give a set that has both"
        )
    return items


def refuse_seen(items: Sequence[Item], seen: Sequence[Item], *, name: str) -> None:
    """Raise ValueError where an external set shares files with training or validation."""
    shared = {item[Keys.IMAGE] for item in items} & {item[Keys.IMAGE] for item in seen}
    if shared:
        raise ValueError(
            f"--external {name}: {len(shared)} of its images are in the datalist's training or "
            "validation part: what was trained on is not external; give another datalist or set"
        )


def thresholds(panel: Panel, items: Sequence[Item]) -> tuple[list[float], str]:
    """For each network the threshold by Youden's index on validation, and where it is from."""
    known = [item for item in items if item.get(Keys.LABEL) is not None]
    if not has_both_classes(known):
        return [FIXED_THRESHOLD] * len(panel.networks), "fixed: validation lacks one of the classes"
    answers = panel.ask(known, name="validation", with_views=False)
    chosen = [choose_threshold(probs, answers.labels) for probs in answers.probs()]
    return chosen, f"Youden's index on {len(answers.labels)} validation cases"


def audit(
    panel: Panel,
    sets: dict[str, tuple[str, list[Item]]],
    *,
    validation: Sequence[Item],
    strata: str,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """All tables. sets: (role, labelled cases) by name; others as of `external_table`."""
    chosen, source = thresholds(panel, validation)
    result: dict[str, Any] = {"thresholds": chosen, "threshold_source": source, "sets": {}}
    for name, (role, items) in sets.items():
        answers = panel.ask(items, name=name)
        facts: dict[str, Any] = {"thresholds": chosen, "strata": strata, "bootstrap": bootstrap}
        result["sets"][name] = {
            "role": role,
            "n_unreadable": answers.unreadable,
            "groups": external_table(answers, **facts),
            "told_apart": told_apart(answers, strata=strata, bootstrap=bootstrap),
            "shortcuts": shortcut_table(answers, strata=strata, bootstrap=bootstrap),
        }
    return result


def plain(value: Any) -> Any:
    """What JSON knows."""
    if isinstance(value, Estimate):
        return value.as_dict()
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line's arguments."""
    parser = argparse.ArgumentParser(prog="python -m multimix_monai.experiments.audit")
    parser.add_argument("weights", type=Path, nargs="+", help="of one network, one file a seed")
    parser.add_argument("--datalist", type=Path, required=True)
    parser.add_argument("--dataset-dir", type=Path, default=Path())
    parser.add_argument("--external", action="append", default=[], metavar="READER=FOLDER")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, default=Path("bundle"))
    parser.add_argument("--image-size", type=int, help="the bundle's if absent")
    parser.add_argument("--lung-threshold-prob", type=float, help="likewise")
    parser.add_argument("--keep-components", type=int, help="likewise")
    parser.add_argument("--margin", type=float, default=0.025, help="of lungs, in input sides")
    parser.add_argument("--strata", default="view", help="entry of a case's info to look at apart")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> str:
    """Writes the folder; its report as text."""
    given = parse(arguments)
    panel, digests = read_panel(
        given.bundle,
        given.weights,
        image_size=given.image_size,
        lung_threshold_prob=given.lung_threshold_prob,
        keep_components=given.keep_components,
        margin=given.margin,
    )
    parts = load_datalist(given.datalist, dataset_dir=given.dataset_dir)
    sets = {f"{s}, test": (IN_DOMAIN, items) for s, items in in_domain_sets(parts["test"]).items()}
    for text in given.external:
        reader, _, folder = text.partition("=")
        items = external_set(reader, given.dataset_dir / folder)
        refuse_seen(items, [*parts["training"], *parts["validation"]], name=text)
        name = Path(folder).name or reader
        if name in sets:
            raise ValueError(f"--external {text}: there is another {name}: rename one's folder")
        sets[name] = (EXTERNAL, items)
    bootstrap = Bootstrap(given.resamples, given.seed)
    result = {
        "weights_sha256": digests,
        **vars(panel.settings),
        "strata": given.strata,
        "confidence": CONFIDENCE,
        "n_resamples": given.resamples,
        "seed": given.seed,
        **audit(
            panel, sets, validation=parts["validation"], strata=given.strata, bootstrap=bootstrap
        ),
    }
    report = markdown(result)
    given.output.mkdir(parents=True, exist_ok=True)
    stored = json.dumps(plain(result), indent=1, allow_nan=False)
    (given.output / "audit.json").write_text(stored + "\n", encoding="utf-8")
    (given.output / "audit.md").write_text(report, encoding="utf-8")
    pictures = {
        "auc": auc_figure(result),
        "views": views_figure(panel, {n: i for n, (_, i) in sets.items()}, seed=given.seed),
    }
    for name, figure in pictures.items():
        figure.savefig(given.output / f"{name}.png", dpi=130)
    return report


if __name__ == "__main__":
    try:
        sys.stdout.write(main(sys.argv[1:]))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
