from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from multimix_monai.apps import bundle_files, cli, doctor
from multimix_monai.apps.doctor import Check


def call(*args: str):
    return CliRunner().invoke(cli.app, ["doctor", *args])


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads(call("--json").stdout)


def test_the_report_names_every_required_package_with_its_version(report) -> None:
    found = {c["name"]: c["detail"] for c in report["checks"] if c["group"] == "package"}
    for name in ("torch", "monai", "pytorch-ignite", "numpy", "pydicom", "nibabel"):
        assert found[name] == metadata.version(name)


def test_the_report_covers_extras_device_transfer_syntaxes_and_weights(report) -> None:
    names = {(c["group"], c["name"]) for c in report["checks"]}
    assert {("extra", extra) for extra in doctor.EXTRAS} <= names
    assert {("dicom", syntax) for syntax in doctor.SYNTAXES.values()} <= names
    assert {("device", "cpu"), ("bundle", "weights")} <= names


def test_uncompressed_dicom_is_decodable_and_an_unknown_syntax_is_not() -> None:
    assert doctor.decodable("1.2.840.10008.1.2.1")
    assert not doctor.decodable("1.2.3.4")


def test_a_version_below_the_lower_bound_is_not_enough() -> None:
    version = metadata.version("numpy")
    assert doctor.installed(Requirement("numpy>=1.26")) == (True, f"numpy {version}")
    assert doctor.installed(Requirement("numpy>=99")) == (False, f"numpy {version}, needs >=99")


def test_a_missing_package_is_named() -> None:
    assert doctor.installed(Requirement("no-such-package")) == (False, "no-such-package missing")


def test_a_required_part_that_is_too_old_fails_with_code_1_and_its_name(monkeypatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy>=99", 'absent; extra == "onnx"'])
    result = call("--json")
    assert result.exit_code == 1
    assert not json.loads(result.stdout)["ok"]
    assert "too old: numpy" in result.stderr


def test_an_absent_extra_alone_is_no_failure(monkeypatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy", 'no-such; extra == "onnx"'])
    checks = {check.name: check for check in doctor.package_checks()}
    assert checks["onnx"] == Check("extra", "onnx", "absent", "no-such missing")
    assert checks["numpy"].status == "ok"
    assert "no-such" not in checks


def test_weights_are_found_in_the_bundle_that_is_named(tmp_path: Path) -> None:
    assert doctor.weights_check(tmp_path).status == "absent"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pt").write_bytes(b"0")
    assert doctor.weights_check(tmp_path).status == "ok"


def test_in_a_self_contained_bundle_its_weights_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in (("configs/metadata.json", "MultiMix"), ("models/model.pt", "weights")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    package = tmp_path / "multimix_monai" / "apps"
    monkeypatch.setattr(bundle_files, "__file__", str(package / "bundle_files.py"))
    (weights,) = (c for c in json.loads(call("--json").stdout)["checks"] if c["name"] == "weights")
    assert weights["status"] == "ok" and weights["detail"].startswith(str(tmp_path))


def test_the_table_shows_every_check(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda _: [Check("dicom", "RLE", "absent", "[why]")])
    output = call().stdout
    assert all(word in output for word in ("dicom", "RLE", "absent", "[why]"))
