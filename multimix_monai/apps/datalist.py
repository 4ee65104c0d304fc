"""Path of data, where a user begins: any mix of datasets becomes one datalist JSON."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from multimix_monai.data import READERS, Case, read_mask
from multimix_monai.data.datalist import Budget, build_datalist, write_datalist
from multimix_monai.data.integrity import validation_gap

OVERRULED = ", or use --force"  # a prediction's way out, which a datalist has not
_HEADINGS = {
    "images": "images",
    "masks": "masks",
    "label_0": "normal",
    "label_1": "pneumonia",
    "unlabelled": "no label",
    "patients": "patients",
}


def datalist_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="NAME=PATH with NAME one of jsrt, montgomery, shenzhen, kermany, nih, folder, or "
            "the PATH of a plain folder; relative to --dataset-dir, or absolute below it.",
        ),
    ],
    dataset_dir: Annotated[
        Path, typer.Option(help="Folder that holds all sources; paths are stored relative to it.")
    ] = Path(),
    masks: Annotated[
        str, typer.Option(help="Masks that training may see: a number or 'all'.")
    ] = "all",
    labels: Annotated[
        str, typer.Option(help="Labels that training may see: a number or 'all'.")
    ] = "all",
    validation: Annotated[
        str,
        typer.Option(help="Training patients to validate on: 0.1 is a share, 10 a number."),
    ] = "0.1",
    validation_masks: Annotated[
        str, typer.Option(help="Masks that validation may see: a number or 'all'.")
    ] = "all",
    validation_labels: Annotated[
        str, typer.Option(help="Labels that validation may see: a number or 'all'.")
    ] = "all",
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=N",
            help="Hold back N patients of a source for the test; 0.2 is a share, 'all' is all. "
            "Repeatable. Official test parts are always tested on.",
        ),
    ] = None,
    develop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=N",
            help="To choose settings without a look at the test: leave its cases out, and hold "
            "back N of the other patients instead; or SOURCE=PATTERN, those with an image whose "
            "name matches. Repeatable.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Which masks and labels training sees; the parts stay the same.")
    ] = 0,
    split_seed: Annotated[
        int, typer.Option(help="Which patients are in training, validation and test.")
    ] = 0,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Open every file, leave out by name what is no good, and take patients with "
            "pixel-identical images for one.",
        ),
    ] = False,
    output: Annotated[Path, typer.Option(help="Datalist JSON to write.")] = Path("datalist.json"),
) -> None:
    """Write one datalist from datasets: parts by patient, budgets of masks and labels, counts."""
    cases = read_sources(sources, dataset_dir=dataset_dir)
    digests = _check(cases) if check else None
    datalist = build_datalist(
        cases if digests is None else [case for case in cases if case.image in digests],
        dataset_dir=dataset_dir,
        test=dict(_test_amount(text) for text in test or []),
        develop=dict(_develop_amount(text) for text in develop or []),
        validation=_validation_amount(validation),
        training_budget=Budget(_count(masks, "--masks"), _count(labels, "--labels")),
        validation_budget=Budget(
            _count(validation_masks, "--validation-masks"),
            _count(validation_labels, "--validation-labels"),
        ),
        seed=seed,
        split_seed=split_seed,
        digests=digests,
    )
    write_datalist(datalist, output)
    _print_counts(datalist["counts"])
    _note_lone_images(cases)
    if gap := validation_gap(datalist):
        typer.echo(f"warning: {gap}", err=True)
    typer.echo(f"wrote {output}, content hash {datalist['content_hash'][:12]}")


def read_sources(sources: Sequence[str], *, dataset_dir: Path) -> list[Case]:
    """Cases of all sources; a bare path is a plain folder and named after its last part.

    Raises:
        ValueError: if dataset_dir does not exist, a name is no reader's, or two sources have the
            same name, besides what the readers raise.
    """
    if not dataset_dir.is_dir():
        raise ValueError(f"dataset_dir {dataset_dir} does not exist: set it with --dataset-dir")
    cases: dict[str, list[Case]] = {}
    for text in sources:
        reader, path = _reader_and_path(text, dataset_dir)
        name = reader if text.startswith(f"{reader}=") else path.resolve().name
        if name in cases:
            raise ValueError(f"two sources are named {name}: put them into folders of other names")
        cases[name] = [replace(case, source=name) for case in READERS[reader](path)]
    return [case for name in cases for case in cases[name]]


def check_case(case: Case) -> str:
    """Read a case's files as training does; returns a hash of the image's pixels.

    Raises:
        ValueError: if a file is unreadable, constant or says that it is no frontal chest
            radiograph, or the mask is empty, full or of another size.
    """
    from multimix_monai.transforms.load import read_radiograph

    radiograph = read_radiograph(case.image)
    for objection in radiograph.objections:
        raise ValueError(objection.message.removesuffix(OVERRULED))
    pixels = radiograph.pixels
    if case.mask:
        mask = read_mask(case.mask)
        if mask.shape != pixels.shape:
            raise ValueError(
                f"{case.mask[0]}: mask is {mask.shape[0]}x{mask.shape[1]} but the image is "
                f"{pixels.shape[0]}x{pixels.shape[1]} (rows x columns): export both on one grid"
            )
        if mask.min() == mask.max():
            fault = "is lung everywhere" if mask.any() else "has no lung"
            raise ValueError(f"{case.mask[0]}: mask {fault}: draw it, or remove the file")
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _check(cases: Sequence[Case]) -> dict[Path, str]:
    """Hashes of the good images; what is no good is printed."""
    from rich.progress import track

    digests: dict[Path, str] = {}
    problems = []
    for case in track(cases, description="checking"):
        try:
            digests[case.image] = check_case(case)
        except ValueError as error:
            problems.append(str(error))
    for problem in problems:
        typer.echo(f"left out: {problem}", err=True)
    typer.echo(f"checked {len(cases)} cases, left out {len(problems)}")
    if not digests:
        raise ValueError("no case is left after the check: see the reasons above")
    return digests


def _reader_and_path(text: str, dataset_dir: Path) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if separator and name in READERS:
        return name, dataset_dir / path
    if separator and not (dataset_dir / text).exists():
        raise ValueError(f"no reader {name!r} for {text!r}: use one of {', '.join(READERS)}")
    return "folder", dataset_dir / text


def _test_amount(text: str) -> tuple[str, int | float]:
    source, amount = _amount(text)
    if not source or isinstance(amount, str):
        raise ValueError(
            f"--test is {text!r}; use SOURCE=N patients, SOURCE=0.2 as a share, or SOURCE=all"
        )
    return source, amount


def _validation_amount(text: str) -> int | float:
    source, amount = _amount(text)
    if source or isinstance(amount, str):
        raise ValueError(f"--validation is {text!r}; use 10 patients, 0.1 as a share, or all")
    return amount


def _develop_amount(text: str) -> tuple[str, int | float | str]:
    source, amount = _amount(text)
    if not source or not amount:
        raise ValueError(
            f"--develop is {text!r}; use SOURCE=N patients, SOURCE=0.2 as a share, or "
            "SOURCE=PATTERN of images' names"
        )
    return source, amount


def _amount(text: str) -> tuple[str, int | float | str]:
    """Source, and a number of patients, a share of them, or else the text."""
    source, _, amount = text.rpartition("=")
    if amount == "all":
        return source, 1.0
    if re.fullmatch(r"\d+", amount):
        return source, int(amount)
    return source, float(amount) if re.fullmatch(r"\d*\.\d+", amount) else amount


def _count(text: str, option: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise ValueError(f"{option} is {text!r}; use a whole number or 'all'")
    return int(text)


def _note_lone_images(cases: Sequence[Case]) -> None:
    """Say how many images of each source have no patient: the split cannot keep them together."""
    for source in sorted({case.source for case in cases}):
        own = [case for case in cases if case.source == source]
        lone = [case.case for case in own if case.patient is None]
        if lone:
            typer.echo(
                f"note: {source}: {len(lone)} of {len(own)} images tell no patient, such as "
                f"{lone[0]}: each counts as a patient of its own",
                err=True,
            )


def _print_counts(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "source", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in _HEADINGS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for part, sources in counts.items():
        for source, count in sources.items():
            table.add_row(part, source, *(str(count[key]) for key in _HEADINGS))
    Console().print(table)
