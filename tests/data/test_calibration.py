"""The calibration file: what is written is read, and nothing that is of other weights."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from multimix_monai.data.calibration import (
    FILE_NAME,
    Calibration,
    load_calibration,
    read_calibration,
    weights_digest,
    write_calibration,
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    return path


def fitted(weights: Path, **changes: Any) -> Calibration:
    values = {"temperature": 1.7, "threshold_prob": 0.31, "criterion": "Youden's index"}
    values |= {"chosen_on": "the validation part of datalist 4022a828, 539 cases", "cases": 539}
    values |= {"positives": 406, "weights_sha256": weights_digest(weights), "image_size": 128}
    return Calibration(**{**values, **changes})


def test_what_is_written_is_read(tmp_path: Path, weights: Path) -> None:
    path = tmp_path / "new" / "site.json"
    write_calibration(fitted(weights), path)
    assert load_calibration(path, ckpt_path=weights, image_size=128) == fitted(weights)
    assert [p.name for p in path.parent.iterdir()] == ["site.json"]


def test_without_one_probabilities_stay_and_the_threshold_says_that_nobody_chose_it(
    weights: Path,
) -> None:
    none = load_calibration(None, ckpt_path=weights, image_size=128)
    assert (none.temperature, none.threshold_prob) == (1, 0.5)
    assert none.source_of(0.5) == "default 0.5, not chosen on data"
    assert none.source_of(0.4) == "given"


def test_the_source_of_a_chosen_threshold_names_criterion_and_cases(weights: Path) -> None:
    source = fitted(weights).source_of(0.31)
    assert source == "Youden's index on the validation part of datalist 4022a828, 539 cases"
    assert fitted(weights).source_of(0.5) == "given"


def test_the_file_beside_the_weights_is_taken_where_it_is_theirs(
    tmp_path: Path, weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_calibration(fitted(weights), tmp_path / FILE_NAME)
    assert load_calibration(None, ckpt_path=weights, image_size=128).temperature == 1.7
    assert not caplog.records
    weights.write_bytes(b"trained on")
    with caplog.at_level(logging.WARNING):
        assert load_calibration(None, ckpt_path=weights, image_size=128) == Calibration()
    assert "multimix calibrate" in caplog.text


def test_a_file_of_other_weights_or_another_size_is_refused(tmp_path: Path, weights: Path) -> None:
    path, other = tmp_path / "site.json", tmp_path / "other.pt"
    write_calibration(fitted(weights), path)
    other.write_bytes(b"others")
    with pytest.raises(ValueError, match=rf"for weights .* but {other} is .*multimix calibrate"):
        load_calibration(path, ckpt_path=other, image_size=128)
    with pytest.raises(ValueError, match="for image_size 128, not 256"):
        load_calibration(path, ckpt_path=weights, image_size=256)
    with pytest.raises(ValueError, match=r"gone.pt do not exist"):
        load_calibration(path, ckpt_path=tmp_path / "gone.pt", image_size=128)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "temperature is 0; it must be above 0"),
        ({"temperature": -1.5}, "above 0"),
        ({"temperature": float("nan")}, "above 0"),
        ({"temperature": float("inf")}, "finite"),
        ({"temperature": "hot"}, "temperature is 'hot'; expected float"),
        ({"temperature": True}, "expected float"),
        ({"threshold_prob": 1.2}, r"threshold_prob is 1.2; it must lie in \[0, 1\]"),
        ({"positives": 600}, r"positives is 600; it must lie in \[0, 539\]"),
        ({"cases": 2.5}, "expected int"),
        ({"colour": 1}, r"\(colour missing or unknown\)"),
    ],
)
def test_a_file_with_a_wrong_entry_is_refused_by_name(
    tmp_path: Path, weights: Path, change: dict, message: str
) -> None:
    path = tmp_path / "site.json"
    write_calibration(fitted(weights), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message) as caught:
        read_calibration(path)
    assert str(path) in str(caught.value) and "multimix calibrate" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "null"])
def test_what_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "site.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"calibration .*site.json"):
        read_calibration(path)
    with pytest.raises(ValueError, match="does not exist"):
        read_calibration(tmp_path / "gone.json")
