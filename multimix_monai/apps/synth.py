"""Before the path of data begins: `multimix synth` draws a dataset in the plain folder layout."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multimix_monai.data.keys import CLASSES

if TYPE_CHECKING:
    import numpy as np

    from multimix_monai.data.synthetic import SyntheticRadiograph

# One patient in this many comes twice, so that splitting by patient has something to get wrong.
_TWICE_EVERY = 5
_SHEET_COLUMNS, _SHEET_ROWS = 6, 2
# Seeds of one --seed never meet those of another.
_SEEDS_EACH = 1_000_000
_COLUMNS = ("image", "label", "patient")
# What the command writes, and so what must not be there of another run.
_OUTPUTS = ("images", "masks", "dicom", "labels.csv", "dicom_labels.csv", "contact_sheet.png")


@dataclass(frozen=True)
class Plan:
    """One image to draw: its file stem, patient, label and seeds."""

    stem: str
    patient: str
    label: int
    seed: int
    patient_seed: int


def synth_command(
    output: Annotated[Path, typer.Argument(help="Folder to write: new, or without a dataset.")],
    cases: Annotated[int, typer.Option(min=2, max=99_999, help="Images to draw.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Same seed and versions, same bytes.")] = 0,
    size: Annotated[int, typer.Option(min=74, max=4096, help="Rows of an image.")] = 256,
    dicom: Annotated[
        int, typer.Option(min=0, max=99_999, help="Further patients, as DX files in dicom/.")
    ] = 4,
) -> None:
    """Draw synthetic chest radiographs with exact lung masks and pneumonia labels.

    Writes images/, masks/ and labels.csv, and further patients that none of those show as DICOM
    in dicom/ with their labels in dicom_labels.csv; contact_sheet.png shows what was drawn.
    """
    from rich.console import Console

    refuse_other_files(output)
    plans = plan(cases + dicom, seed=seed, folder_images=cases)
    shape = (size, size * 7 // 8)
    sheet = _write_folder(output, _progress(plans[:cases], "images"), shape=shape)
    if dicom:
        _write_dicom(output, _progress(plans[cases:], "DICOM files"), shape=shape)
    _save(output / "contact_sheet.png", sheet)
    normal = sum(item.label == 0 for item in plans[:cases])
    patients = len({item.patient for item in plans[:cases]})
    Console().print(
        f"{cases} images of {patients} patients ({normal} normal, {cases - normal} pneumonia) and "
        f"{dicom} DICOM files in {output}; look at {output / 'contact_sheet.png'}",
        soft_wrap=True,
        highlight=False,
    )


def refuse_other_files(output: Path) -> None:
    """Refuses a folder that holds anything this command would write or mix with.

    Raises:
        ValueError: output is a file, or a folder in which the command's outputs already are.
    """
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; a folder is needed: choose another name")
    there = [name for name in _OUTPUTS if (output / name).exists()]
    if there:
        raise ValueError(
            f"{output} already has {', '.join(there)}: choose another folder, or remove them"
        )


def plan(count: int, *, seed: int, folder_images: int) -> list[Plan]:
    """Who is drawn, and as what: both labels by turns, some patients twice with the same label.

    Args:
        count: images in all.
        seed: of the dataset.
        folder_images: how many of them lie in images/; the rest are new patients, once each.
    """
    plans: list[Plan] = []
    patient = 0
    while len(plans) < count:
        in_folder = len(plans) < folder_images
        twice = patient % _TWICE_EVERY == _TWICE_EVERY - 1 and len(plans) + 1 < folder_images
        for _ in range(2 if twice else 1):
            number = len(plans) + 1
            plans.append(
                Plan(
                    stem=f"case_{number:04d}" if in_folder else f"dx_{number - folder_images:04d}",
                    patient=f"SYN-{patient + 1:04d}",
                    label=patient % 2,
                    seed=seed * _SEEDS_EACH + number,
                    patient_seed=seed * _SEEDS_EACH + patient,
                )
            )
        patient += 1
    return plans


def _write_folder(output: Path, plans: Iterable[Plan], *, shape: tuple[int, int]) -> np.ndarray:
    """Writes images, masks and labels.csv, and gives back the contact sheet."""
    from multimix_monai.handlers.pictures import contact_sheet, overlay

    for name in ("images", "masks"):
        _make(output / name)
    rows: list[tuple[str, int, str]] = []
    pictures: dict[int, list[np.ndarray]] = {0: [], 1: []}
    for item in plans:
        drawn = _draw(item, shape)
        _save(output / "images" / f"{item.stem}.png", _bytes(drawn.pixels))
        _save(output / "masks" / f"{item.stem}.png", 255 * drawn.mask)
        rows.append((f"{item.stem}.png", item.label, item.patient))
        if len(pictures[item.label]) < _SHEET_COLUMNS * _SHEET_ROWS // 2:
            word = CLASSES[item.label]
            pictures[item.label].append(overlay(drawn.pixels, drawn.mask, text=word))
    _write_csv(output / "labels.csv", rows)
    return contact_sheet(pictures[0] + pictures[1], columns=min(_SHEET_COLUMNS, len(pictures[0])))


def _write_dicom(output: Path, plans: Iterable[Plan], *, shape: tuple[int, int]) -> None:
    """Writes DX files of further patients, a third of them MONOCHROME1, and dicom_labels.csv."""
    from multimix_monai.data.images import Radiograph
    from multimix_monai.dicom.dx import write_dx

    _make(output / "dicom")
    rows: list[tuple[str, int, str]] = []
    for number, item in enumerate(plans):
        drawn = _draw(item, shape)
        write_dx(
            output / "dicom" / f"{item.stem}.dcm",
            Radiograph(pixels=drawn.pixels, spacing_mm=drawn.spacing_mm),
            patient_name=f"SYNTHETIC^CASE {item.patient.removeprefix('SYN-')}",
            patient_id=item.patient,
            seed=item.seed,
            photometric="MONOCHROME1" if number % 3 == 2 else "MONOCHROME2",
        )
        rows.append((f"{item.stem}.dcm", item.label, item.patient))
    _write_csv(output / "dicom_labels.csv", rows)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"folder {folder} cannot be made ({error.strerror}): choose another place to write to"
        ) from error


def _draw(item: Plan, shape: tuple[int, int]) -> SyntheticRadiograph:
    from multimix_monai.data.synthetic import draw_radiograph

    return draw_radiograph(
        seed=item.seed, pneumonia=item.label == 1, size=shape, patient_seed=item.patient_seed
    )


def _progress(plans: list[Plan], title: str) -> Iterator[Plan]:
    from rich.progress import track

    yield from track(plans, description=f"Drawing {len(plans)} {title}")


def _bytes(pixels: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8 0 to 255."""
    return (pixels * 255 + 0.5).astype("uint8")


def _save(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path)


def _write_csv(path: Path, rows: list[tuple[str, int, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
