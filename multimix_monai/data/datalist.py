"""Path of data, from parts to the datalist JSON that every run reads.

A datalist is {"description", "seed", "split_seed", "content_hash", "counts", "training",
"validation", "test"}; paths are POSIX and relative to dataset_dir. What a budget withholds stays
as `hidden_mask` and `hidden_label`, which only monitor pseudo-labels.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .case import Case
from .integrity import (
    Item,
    content_hash,
    count_items,
    refuse_image_overlap,
    refuse_missing_files,
    refuse_patient_overlap,
    refuse_repeated_cases,
    refuse_twins,
)
from .items import checked_items
from .json_file import write_json
from .keys import Keys
from .splits import choose_labelled, choose_masked, hold_out, hold_out_named, join_twins

PARTS = ("training", "validation", "test")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """How many cases of a part keep their mask and their label; None keeps all."""

    masks: int | None = None
    labels: int | None = None


def build_datalist(
    cases: Sequence[Case],
    *,
    dataset_dir: str | Path,
    test: Mapping[str, int | float] | None = None,
    develop: Mapping[str, int | float | str] | None = None,
    validation: int | float = 0.1,
    training_budget: Budget = Budget(),
    validation_budget: Budget = Budget(),
    seed: int = 0,
    split_seed: int = 0,
    digests: Mapping[Path, str] | None = None,
) -> dict[str, Any]:
    """Split cases by patient, apply the budgets, count and hash.

    Args:
        cases: of all sources.
        dataset_dir: folder that holds every file.
        test: patients of a source (int, or float as share) to test on, beside official test parts.
        develop: to choose settings without a look at the test: its cases are left out, and these
            of the remaining patients take their place; as `test`, or str, the regular expression
            of the names of some of their images.
        validation: of the remaining patients, how many (int, or float as share) to validate on.
        training_budget: what training may see of masks and labels.
        validation_budget: what validation may see; chosen by split_seed.
        seed: of the training budget alone, so that runs of several seeds share their test.
        split_seed: of the parts.
        digests: hash of the pixels of each image file, if they were read: identical images of a
            source then belong to one patient, and those of two sources to one part.

    Raises:
        ValueError: if a patient or an image is in two parts, a budget exceeds what there is, a
            source of `test` or `develop` is unknown, two cases have the same name, or a file is
            outside dataset_dir.
    """
    known = join_twins(cases, digests) if digests else cases
    parts = _parts(known, test or {}, develop or {}, validation=validation, seed=split_seed)
    if digests:
        refuse_twins(parts, digests)
    root = Path(os.path.abspath(dataset_dir))
    items = {
        part: _items(part, parts, root, budget=budget, seed=choice_seed)
        for part, budget, choice_seed in (
            ("training", training_budget, seed),
            ("validation", validation_budget, split_seed),
            ("test", Budget(), split_seed),
        )
    }
    refuse_repeated_cases(items)
    refuse_patient_overlap(items)
    return {
        "description": f"MultiMix datalist of {', '.join(sorted({c.source for c in cases}))}",
        "seed": seed,
        "split_seed": split_seed,
        "content_hash": content_hash(items, dataset_dir=root),
        "counts": count_items(items),
        **items,
    }


def write_datalist(datalist: Mapping[str, Any], path: str | Path) -> None:
    """Write the JSON, whole or not at all."""
    write_json(datalist, path)


def load_datalist(path: str | Path, *, dataset_dir: str | Path) -> dict[str, list[Item]]:
    """Items of each part with absolute paths; stops on the first thing that is wrong.

    Raises:
        ValueError: if dataset_dir or the JSON does not exist, the JSON is none or has an unknown
            part, an item is wrong as `checked_items` says, a patient or an image is in two parts,
            or files are missing. Each message is one line.
    """
    root = Path(dataset_dir).expanduser()
    if not root.is_dir():
        raise ValueError(
            f"dataset_dir {root} does not exist: set it with --dataset-dir (dataset_dir)"
        )
    stored = _read_json(Path(path))
    parts = {name: value for name, value in stored.items() if isinstance(value, list)}
    unknown = [name for name in parts if name not in PARTS]
    if unknown or not parts:
        raise ValueError(
            f"{path}: has part {unknown[0] if unknown else None!r}; a datalist has "
            f"{', '.join(PARTS)}: write it with `multimix datalist`"
        )
    items = checked_items({name: parts.get(name, []) for name in PARTS}, path)
    refuse_patient_overlap(items)
    resolved = {
        name: [_resolved(item, Path(os.path.abspath(root))) for item in part]
        for name, part in items.items()
    }
    refuse_image_overlap(resolved)
    refuse_missing_files(resolved, path)
    if stored.get("content_hash") not in (None, content_hash(items, dataset_dir=root)):
        _log.warning("%s: files have changed since the datalist was written", path)
    return resolved


def load_part(path: str | Path, part: str, *, dataset_dir: str | Path) -> list[Item]:
    """Items of one part with absolute paths.

    Raises:
        ValueError: if the part is unknown, or as load_datalist.
    """
    if part not in PARTS:
        raise ValueError(f"part is {part!r}; it must be one of {', '.join(PARTS)}")
    return load_datalist(path, dataset_dir=dataset_dir)[part]


def _parts(
    cases: Sequence[Case],
    test: Mapping[str, int | float],
    develop: Mapping[str, int | float | str],
    *,
    validation: int | float,
    seed: int,
) -> dict[str, list[Case]]:
    sources = sorted({case.source for case in cases})
    for name in sorted({*test, *develop} - set(sources)):
        raise ValueError(f"no source {name!r} to test on; there are {', '.join(sources)}")
    official = [case for case in cases if case.part == "test"]
    pool = [case for case in cases if case.part != "test"]
    pool, held = _hold_out(pool, test, seed=seed, name="test")
    tested = official + held
    if develop:
        pool, tested = _hold_out(pool, develop, seed=seed, name="develop")
    try:
        training, validated = hold_out(pool, validation, seed=seed)
    except ValueError as error:
        raise ValueError(f"validation: {error}") from error
    return {"training": training, "validation": validated, "test": tested}


def _hold_out(
    cases: Sequence[Case], amounts: Mapping[str, int | float | str], *, seed: int, name: str
) -> tuple[list[Case], list[Case]]:
    """What is left of all sources, and what is set aside of those that are named."""
    rest, held = list(cases), []
    for source, amount in amounts.items():
        own = [case for case in rest if case.source == source]
        try:
            if isinstance(amount, str):
                kept, some = hold_out_named(own, amount)
            else:
                kept, some = hold_out(own, amount, seed=seed)
        except ValueError as error:
            raise ValueError(f"{name} {source}: {error}") from error
        rest = [case for case in rest if case.source != source] + kept
        held += some
    return rest, held


def _items(
    part: str, parts: Mapping[str, Sequence[Case]], root: Path, *, budget: Budget, seed: int
) -> list[Item]:
    cases = parts[part]
    try:
        masked = choose_masked(cases, budget.masks, seed=seed)
        labelled = choose_labelled(cases, budget.labels, seed=seed)
    except ValueError as error:
        others = "; ".join(_annotations(name, parts[name]) for name in parts if name != part)
        raise ValueError(f"{part}: {error} ({others})") from error
    ordered = sorted(cases, key=lambda case: (case.source, case.case))
    return [_item(case, root, masked=case in masked, labelled=case in labelled) for case in ordered]


def _annotations(part: str, cases: Sequence[Case]) -> str:
    labels = sum(case.label is not None for case in cases)
    return f"{part} has masks: {sum(bool(case.mask) for case in cases)}, labels: {labels}"


def _item(case: Case, root: Path, *, masked: bool, labelled: bool) -> Item:
    item: Item = {
        Keys.CASE: case.case,
        Keys.IMAGE: _relative(case.image, root),
        Keys.SOURCE: case.source,
        Keys.PATIENT: case.patient or case.case,
    }
    if case.mask:
        key = Keys.MASK if masked else Keys.HIDDEN_MASK
        item[key] = [_relative(file, root) for file in case.mask]
    if case.label is not None:
        item[Keys.LABEL if labelled else Keys.HIDDEN_LABEL] = case.label
    return item


def _relative(file: Path, root: Path) -> str:
    absolute = Path(os.path.abspath(file))
    if not absolute.is_relative_to(root):
        raise ValueError(
            f"{file} is not below dataset_dir {root}: choose a dataset_dir that holds all sources"
        )
    return absolute.relative_to(root).as_posix()


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"datalist {path} does not exist: write it with `multimix datalist`")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is no JSON ({error}): write it with `multimix datalist`"
        ) from error
    if not isinstance(stored, dict):
        raise ValueError(f"{path} is no datalist: write it with `multimix datalist`")
    return stored


def _resolved(item: Item, root: Path) -> Item:
    paths: Item = {Keys.IMAGE: os.path.join(root, item[Keys.IMAGE])}
    for key in (Keys.MASK, Keys.HIDDEN_MASK):
        if key in item:
            paths[key] = [os.path.join(root, file) for file in item[key]]
    return item | paths
