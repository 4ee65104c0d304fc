from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from monai.bundle import verify_metadata

REPOSITORY = Path(__file__).resolve().parents[2]
METADATA = REPOSITORY / "bundle" / "configs" / "metadata.json"
SCHEMA = REPOSITORY.parent / "shared" / "reference" / "meta_schema_20240725.json"


@pytest.fixture(scope="module")
def metadata() -> dict:
    return json.loads(METADATA.read_text(encoding="utf-8"))


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    if not SCHEMA.is_file():
        pytest.skip(f"MONAI's schema is absent: no ../shared/reference/{SCHEMA.name}")
    return Path(shutil.copyfile(SCHEMA, tmp_path / "schema.json"))


def test_metadata_is_valid_against_the_schema_it_names(metadata: dict, schema: Path) -> None:
    assert metadata["schema"].endswith(SCHEMA.name)
    verify_metadata(meta_file=str(METADATA), filepath=str(schema))


def test_the_schema_refuses_metadata_without_a_task(
    metadata: dict, schema: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "metadata.json"
    wrong.write_text(json.dumps({k: v for k, v in metadata.items() if k != "task"}))
    with pytest.raises(ValueError, match="task"):
        verify_metadata(meta_file=str(wrong), filepath=str(schema))


def test_the_version_has_its_line_in_the_changelog(metadata: dict) -> None:
    assert metadata["changelog"][metadata["version"]]


def test_the_first_input_is_image_and_the_first_output_pred(metadata: dict) -> None:
    data_format = metadata["network_data_format"]
    assert next(iter(data_format["inputs"])) == "image"
    assert next(iter(data_format["outputs"])) == "pred"
    for item in (data_format["inputs"]["image"], data_format["outputs"]["pred"]):
        assert len(item["channel_def"]) == item["num_channels"]


def test_supported_apps_and_required_packages_are_objects(metadata: dict) -> None:
    assert isinstance(metadata["supported_apps"], dict)
    assert isinstance(metadata["required_packages_version"], dict)


def test_versions_are_those_that_the_tests_are_run_with(metadata: dict) -> None:
    text = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    pinned: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, flags=re.MULTILINE):
        pinned.setdefault(name, set()).add(version)
    stated = {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
        **metadata["required_packages_version"],
    }
    assert {n: v for n, v in stated.items() if v not in pinned[n]} == {}


def test_required_packages_are_requirements_of_the_package(metadata: dict) -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    declared = set(re.findall(r'^  "([\w-]+)>=', text, flags=re.MULTILINE))
    declared.add("jsonschema")  # python -m monai.bundle verify_metadata
    assert set(metadata["required_packages_version"]) <= declared
