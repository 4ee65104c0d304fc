"""No word that a file says of its patient is in any result but DICOM objects, or in any output."""

from __future__ import annotations

import csv
import logging
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from pydicom import Dataset, dcmread
from typer.testing import CliRunner

from multimix_monai.apps import cli
from multimix_monai.apps.bundle import config_files

# Each is unlike anything that a program says by itself.
NAME, BIRTH, IDENTITY, ADDRESS = "Zaphodson^Trillianne", "19420229", "MRN-5550123", "Kakrafoon 77"
SECRETS = (NAME, "Zaphodson", "Trillianne", BIRTH, IDENTITY, "5550123", ADDRESS, "Kakrafoon")
TEXTS = (
    *("OtherPatientIDs", "PatientAddress", "PatientComments", "PatientTelephoneNumbers"),
    *("AdditionalPatientHistory", "EthnicGroup", "Occupation", "MilitaryRank", "AdmissionID"),
    *("ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName", "RequestingPhysician"),
    *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName"),
    *("AccessionNumber", "StudyID", "StudyDescription", "SeriesDescription", "ProtocolName"),
    *("ImageComments", "RequestedProcedureDescription", "DeviceSerialNumber", "IssuerOfPatientID"),
    *("DerivationDescription", "CurrentPatientLocation", "AcquisitionComments", "PatientBirthName"),
)


def fill(dataset: Dataset) -> Dataset:
    """Who it is, wherever a data set may say it."""
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, IDENTITY, BIRTH
    for keyword in TEXTS:
        setattr(dataset, keyword, f"{IDENTITY}" if "ID" in keyword else "Zaphodson")
    dataset.PatientAddress = dataset.PatientComments = ADDRESS
    block = dataset.private_block(0x0009, "Kakrafoon", create=True)
    block.add_new(1, "LO", NAME)
    block.add_new(2, "UN", NAME.encode())
    nested = Dataset()
    nested.PatientName = nested.TextValue = NAME
    dataset.RequestAttributesSequence = [nested]
    return dataset


def variants(source: Path, folder: Path) -> None:
    """Files of every fate, in names and folders that say who it is."""
    folder = folder / NAME
    folder.mkdir(parents=True)
    changes: dict[str, Callable[[Dataset], object]] = {
        "good": lambda d: None,
        "lateral": lambda d: setattr(d, "ViewPosition", "LL"),
        "ct": lambda d: setattr(d, "Modality", "CT"),
        "no_pixels": lambda d: delattr(d, "PixelData"),
        "no_rows": lambda d: delattr(d, "Rows"),
        "short": lambda d: setattr(d, "PixelData", d.PixelData[:-99]),
        "no_study": lambda d: delattr(d, "StudyInstanceUID"),
        "colour": lambda d: setattr(d, "PhotometricInterpretation", "YBR_PARTIAL_420"),
        "frames": lambda d: setattr(d, "NumberOfFrames", "7"),
    }
    for name, change in changes.items():
        dataset = fill(dcmread(source))
        change(dataset)
        dataset.save_as(folder / f"{NAME}_{BIRTH}_{name}.dcm")
    whole = (folder / f"{NAME}_{BIRTH}_good.dcm").read_bytes()
    (folder / f"{NAME} cut.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / f"{NAME} header.dcm").write_bytes(whole[:700])
    (folder / f"{NAME} text.dcm").write_text(f"{NAME} {IDENTITY} {BIRTH} {ADDRESS}" * 99)
    (folder / IDENTITY).write_bytes(whole)
    # Values that no such element may have: libraries quote them when they warn.
    for place, (known, wrong) in enumerate(
        {
            b"WC": (b"\x28\x00\x50\x10DS", b"Zaphodson"),
            b"RI": (b"\x28\x00\x52\x10DS", b"Zaphodson"),
            b"UI": (b"\x08\x00\x18\x00UI", b"Kakrafoon"),
        }.values()
    ):
        start = whole.index(known)
        length = int.from_bytes(whole[start + 6 : start + 8], "little")
        value = wrong + b" " * (len(wrong) % 2)
        spoilt = whole[: start + 6] + len(value).to_bytes(2, "little") + value
        (folder / f"wrong{place}.dcm").write_bytes(spoilt + whole[start + 8 + length :])
    picture(folder / f"{NAME}.png")
    (folder / f"{NAME}_cut.png").write_bytes((folder / f"{NAME}.png").read_bytes()[:-200])
    with zipfile.ZipFile(folder / f"{NAME}.zip", "w") as archive:
        archive.writestr(f"{ADDRESS}/{NAME}.dcm", whole)
        archive.writestr(f"{ADDRESS}/{NAME}.nii", whole)
    (folder / f"{NAME} broken.zip").write_bytes(b"PK" + NAME.encode())
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + NAME.encode())
    (folder / f"{NAME}_gone.dcm").symlink_to(folder / "nowhere")


def picture(path: Path) -> None:
    words = PngImagePlugin.PngInfo()
    words.add_text("Comment", NAME)
    grey = np.random.default_rng(0).integers(0, 256, (90, 80)).astype(np.uint8)
    Image.fromarray(grey).save(path, pnginfo=words)


def outputs_without_input(output: Path) -> bytes:
    """Names and contents of all that was written but DICOM objects and the inputs' own paths."""
    words = [path.relative_to(output).as_posix() for path in output.rglob("*")]
    with (output / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    words += [str({k: v for k, v in row.items() if k != "input"}) for row in table]
    lines = (output / "results.jsonl").read_text().splitlines()
    assert len(lines) == len(table)
    words += [line.split('"status"', 1)[1] for line in lines]  # input comes first
    words.append((output / "run.json").read_text())
    content = "\n".join(words).encode()
    return content + b"".join(path.read_bytes() for path in output.rglob("*.png"))


def assert_silent(text: bytes | str) -> None:
    content = text.encode() if isinstance(text, str) else text
    found = [s for s in SECRETS if s.lower().encode() in content.lower()]
    assert not found, f"{found}: {content[max(0, content.find(found[0].encode()) - 300) :][:600]!r}"


@pytest.fixture
def patients(tiny_dataset: Path, tmp_path: Path) -> Path:
    variants(tiny_dataset / "dicom" / "dx_0001.dcm", tmp_path / "in")
    for n in range(20):  # enough that another process reads
        shutil.copyfile(tiny_dataset / "images" / "case_0001.png", tmp_path / "in" / f"{n}.png")
    return tmp_path / "in"


@pytest.mark.parametrize("options", [("--workers", "0"), ("--workers", "1", "--force")])
def test_a_prediction_says_nothing_of_the_patients(
    patients: Path,
    fresh_weights: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    words = ["predict", patients, "--output", tmp_path / "out", "--weights", fresh_weights]
    words += ["--set", "image_size=64", "--show-bar", *options]
    with caplog.at_level(logging.DEBUG):
        result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == 3, result.output
    assert_silent(result.output + result.stderr + caplog.text)
    assert_silent("".join(capfd.readouterr()))
    assert_silent("\n".join(str(warning.message) for warning in recwarn.list))
    assert_silent(outputs_without_input(tmp_path / "out"))
    results = list((tmp_path / "out").rglob("sr.dcm"))
    assert results and dcmread(results[0]).PatientName == NAME  # there it belongs


def test_the_bundle_says_nothing_of_the_patients(
    patients: Path,
    fresh_weights: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with caplog.at_level(logging.DEBUG):
        monai.bundle.run(
            config_file=config_files("inference.json"),
            logging_file=False,
            dataset_dir=str(patients),
            output_dir=str(tmp_path / "out"),
            ckpt_path=str(fresh_weights),
            image_size=64,
        )
    assert_silent(caplog.text + "".join(capfd.readouterr()))
    assert_silent(outputs_without_input(tmp_path / "out"))
