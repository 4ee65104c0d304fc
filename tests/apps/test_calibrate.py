"""`multimix calibrate` on drawn cases and weights that tell them apart, though not always."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from multimix_monai.apps import cli
from multimix_monai.apps.calibrate import fit, refuse_few, run_network
from multimix_monai.apps.calibration_table import table
from multimix_monai.data.calibration import load_calibration, read_calibration, weights_digest
from multimix_monai.data.datalist import build_datalist, write_datalist
from multimix_monai.data.readers import read_folder
from multimix_monai.metrics import log_odds, patient_bootstrap

SETTINGS = {"image_size": 32, "batch_size": 8, "num_workers": 0}
N_CASES = 26


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("site") / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [folder / f"{n:02d}.png" for n in range(N_CASES)]
    for n, path in enumerate(paths):
        coarse = rng.integers(0, 256, (3 + n % 5, 4)).astype(np.uint8)
        Image.fromarray(coarse).resize((40, 32), Image.Resampling.BICUBIC).save(path)
    return paths


@pytest.fixture(scope="module")
def weights(images: list[Path], fresh_weights: Path) -> Path:
    """Weights whose log odds have a median of 0 and a wide spread on the images."""
    items = [{"image": str(path), "label": 0} for path in images]
    cases, _ = run_network(items, {**SETTINGS, "ckpt_path": str(fresh_weights)})
    z = log_odds(np.stack([case["raw_probs"] for case in cases]))
    state = torch.load(fresh_weights, weights_only=True)
    for name in ("encoder.classifier.weight", "encoder.classifier.bias"):
        state[name] *= 5 / z.std()
    state["encoder.classifier.bias"][1] -= float(np.median(z) * 5 / z.std())
    path = images[0].parents[1] / "model.pt"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def site(images: list[Path], weights: Path) -> Path:
    """Folder whose labels are what the network says, but for four of the least sure."""
    items = [{"image": str(path), "label": 0} for path in images]
    cases, _ = run_network(items, {**SETTINGS, "ckpt_path": str(weights)})
    z = log_odds(np.stack([case["raw_probs"] for case in cases]))
    labels = (z > 0).astype(int)
    labels[np.argsort(np.abs(z))[:4]] ^= 1
    rows = [f"{p.name},{y},p{n // 2}" for n, (p, y) in enumerate(zip(images, labels, strict=True))]
    (images[0].parents[1] / "labels.csv").write_text("\n".join(["image,label,patient", *rows]))
    return images[0].parents[1]


def options_of(weights: Path) -> list[object]:
    """Words of the command line for these weights and settings."""
    words: list[object] = ["--weights", weights]
    return words + [w for key, value in SETTINGS.items() for w in ("--set", f"{key}={value}")]


@pytest.fixture
def run(site: Path, weights: Path, tmp_path: Path) -> Callable[..., object]:
    def call(*words: object):  # type: ignore[no-untyped-def]
        options = ["--output", tmp_path / "new" / "site.json", *options_of(weights)]
        return CliRunner().invoke(cli.app, ["calibrate", *map(str, [*words, *options])])

    return call


@pytest.mark.slow
def test_a_folder_gives_a_file_that_belongs_to_the_weights(
    run: Callable, site: Path, weights: Path, tmp_path: Path
) -> None:
    result = run(site)
    assert result.exit_code == 0, result.output
    path = tmp_path / "new" / "site.json"
    calibration = load_calibration(path, ckpt_path=weights, image_size=32)
    assert (calibration.cases, calibration.weights_sha256) == (N_CASES, weights_digest(weights))
    assert calibration.source_of(calibration.threshold_prob) == (
        f"Youden's index on folder {site.name}, {N_CASES} cases"
    )
    for text in ("negative log-likelihood", "calibration error", "AUC", "sensitivity", "95 %"):
        assert text in result.stdout
    assert "warning: only 15 normal and 11 pneumonia cases" in result.stderr
    assert [p.name for p in path.parent.iterdir()] == ["site.json"]


@pytest.mark.slow
def test_predict_with_the_file_gives_both_probabilities_and_names_the_threshold(
    run: Callable, site: Path, weights: Path, tmp_path: Path
) -> None:
    assert run(site).exit_code == 0
    path = tmp_path / "new" / "site.json"
    words = [site / "images", "--output", tmp_path / "out", "--calibration", path, "--no-dicom"]
    CliRunner().invoke(cli.app, ["predict", *map(str, [*words, *options_of(weights), "--force"])])
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    assert len(rows) == N_CASES
    calibration = read_calibration(path)
    for row in rows:
        raw, prob = float(row["pneumonia_probability_raw"]), float(row["pneumonia_probability"])
        if 0.01 < raw < 0.99:
            odds = (raw / (1 - raw)) ** (1 / calibration.temperature)
            assert prob == pytest.approx(odds / (1 + odds), abs=1e-4)
        assert row["threshold_source"] == f"Youden's index on folder {site.name}, {N_CASES} cases"


@pytest.mark.slow
def test_a_part_of_a_datalist_is_named_by_its_hash(
    run: Callable, site: Path, tmp_path: Path
) -> None:
    datalist = build_datalist(read_folder(site), dataset_dir=site, test={"folder": 1.0})
    write_datalist(datalist, tmp_path / "list.json")
    result = run(tmp_path / "list.json", "--dataset-dir", site, "--part", "test")
    assert result.exit_code == 0, result.output
    stored = json.loads((tmp_path / "new" / "site.json").read_text())
    name = f"the test part of datalist {datalist['content_hash'][:8]}, {N_CASES} cases"
    assert stored["chosen_on"] == name
    result = run(tmp_path / "list.json", "--dataset-dir", site)
    assert result.exit_code == 1
    assert "0 normal and 0 pneumonia cases" in result.stderr and "--part" in result.stderr


@pytest.mark.slow
def test_a_broken_image_is_left_out_and_a_later_refusal_leaves_the_file_before(
    run: Callable, site: Path, tmp_path: Path
) -> None:
    (site / "images" / "cut.png").write_bytes(b"\x89PNG")
    with (site / "labels.csv").open("a") as file:
        file.write("\ncut.png,1,p99")
    try:
        result = run(site)
    finally:
        (site / "images" / "cut.png").unlink()
        text = (site / "labels.csv").read_text()
        (site / "labels.csv").write_text(text.rpartition("\n")[0])
    assert result.exit_code == 0, result.output
    assert "1 cases could not be read" in result.stdout
    before = (tmp_path / "new" / "site.json").read_text()
    assert json.loads(before)["cases"] == N_CASES
    assert run(tmp_path).exit_code == 1
    assert (tmp_path / "new" / "site.json").read_text() == before


@pytest.mark.parametrize(("n_normal", "n_pneumonia"), [(0, 0), (300, 0), (300, 9), (9, 300)])
def test_too_few_of_a_class_are_refused_with_their_number_and_the_remedy(
    n_normal: int, n_pneumonia: int
) -> None:
    message = f"{n_normal} normal and {n_pneumonia} pneumonia .* 10 of each.*labels.csv"
    with pytest.raises(ValueError, match=message):
        refuse_few([0] * n_normal + [1] * n_pneumonia)


def test_the_table_equals_numbers_by_hand_and_intervals_go_by_patient() -> None:
    logits = np.repeat([6.0, 2.0, -2.0, -6.0], 10)
    labels = np.repeat([1, 1, 0, 0], 10)
    labels[[10, 20]] ^= 1  # one of each weak group is wrong
    origin = {"weights_sha256": "ab", "image_size": 32}
    calibration = fit(logits, labels, chosen_on="40 cases", origin=origin)
    patients = [n // 2 for n in range(40)]
    numbers = table(logits, labels, patients, calibration=calibration, n_resamples=50)
    assert calibration.threshold_prob == pytest.approx(0.5)
    assert numbers["sensitivity"][:2] == pytest.approx((19 / 20, 19 / 20))
    assert numbers["specificity"][:2] == pytest.approx((19 / 20, 19 / 20))
    by_hand = np.mean(np.log1p(np.exp(-np.where(labels == 1, logits, -logits))))
    assert numbers["negative_log_likelihood"][0] == pytest.approx(by_hand)
    assert numbers["auc"][0] == numbers["auc"][1]
    called = logits > 0

    def sensitivity(cases: np.ndarray) -> float:
        return float(called[cases][labels[cases] == 1].mean())

    interval = patient_bootstrap(sensitivity, patients, n_resamples=50)
    assert numbers["sensitivity"][2] == pytest.approx(interval)
