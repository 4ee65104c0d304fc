"""Upright frontal chests pass the check; turned, inverted and other pictures do not."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from multimix_monai.arrays.frontal import MESSAGES
from multimix_monai.arrays.frontal_model import (
    REASONS,
    FrontalModel,
    load_frontal_model,
    save_frontal_model,
)
from multimix_monai.arrays.lung_view import SIDE
from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.keys import Keys
from multimix_monai.data.synthetic import draw_radiograph
from multimix_monai.engines.frontal import FrontalCheck

BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
PARAMETERS, WEIGHTS = BUNDLE / "models" / "frontal_check.json", BUNDLE / "models" / "model.pt"
Judge = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Pictures (H, W) in [0, 1] -> what the shipped network and check say of them."""
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "inference.json"))
    parser.update({"bundle_root": str(BUNDLE), "device": "cpu"})
    network = parser.get_parsed_content("network").eval()
    chain = parser.get_parsed_content("preprocessing")
    check = FrontalCheck(PARAMETERS, ckpt_path=WEIGHTS)

    def call(*pictures: np.ndarray) -> list[dict[str, Any]]:
        cases = [chain({Keys.IMAGE: np.ascontiguousarray(p)}) for p in pictures]
        images = torch.stack([case[Keys.IMAGE].as_tensor() for case in cases])
        with torch.inference_mode():
            found = check(images, network(images), network)
        return [items[Keys.FRONTAL] for items in found]

    return call


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    return draw_radiograph(seed=3, pneumonia=False, size=(256, 224)).pixels


def a_model(**changes: Any) -> FrontalModel:
    """One mode, one measure; one example that has no vote, so that `prior` decides."""
    values: dict[str, Any] = {
        "image_size": 32,
        "weights_sha256": "",
        "threshold_prob": 0.5,
        "measures": ["area"],
        "view_mean": [0.0] * 288,
        "modes": [[1.0] + [0.0] * 287],
        "centre": [0.0] * 4,
        "spread": [1.0] * 4,
        "examples": [[0.0] * 4],
        "likeness": 0.5,
        "example_votes": [0.0],
        "prior": 0.0,
        "slope": 1.0,
        "offset": 0.0,
        "reason_votes": [[0.0] * 8 for _ in REASONS],
        "reason_prior": [0.0] * len(REASONS),
        "fitted_on": {},
    }
    return FrontalModel(**{**values, **changes})


def test_frontal_chests_pass_whatever_their_size_margins_and_exposure(
    judge: Judge, chest: np.ndarray
) -> None:
    other = draw_radiograph(seed=4, pneumonia=True, size=(300, 320)).pixels
    framed = np.pad(chest, ((10, 20), (30, 5)))
    for found in judge(chest, chest[::2, ::2], chest**1.4, 0.3 + 0.5 * chest, framed, other):
        assert found["reason"] is None and found["score"] > 0.5, found


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_chest_is_refused_by_how_it_is_turned(
    judge: Judge, chest: np.ndarray, quarters: int
) -> None:
    (found,) = judge(np.rot90(chest, quarters))
    assert found["reason"] == f"rotated_{90 * quarters}"
    assert found["message"] == MESSAGES[found["reason"]]


def test_a_chest_that_is_inverted_without_saying_so_is_refused_as_such(
    judge: Judge, chest: np.ndarray
) -> None:
    (found,) = judge(1 - chest)
    assert found["reason"] == "inverted" and found["score"] < 0.1


def test_no_chest_is_refused(judge: Judge, chest: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    noise = rng.random((128, 128), dtype=np.float32)
    board = np.indices((128, 128)).sum(axis=0) // 16 % 2
    corner = chest[-110:, -100:]
    for found in judge(noise, board.astype(np.float32), corner):
        assert found["reason"] is not None, found


def test_a_picture_is_judged_alike_alone_and_in_a_batch(judge: Judge, chest: np.ndarray) -> None:
    together = judge(chest, 1 - chest, np.rot90(chest, 2))
    alone = judge(np.rot90(chest, 2))[0]
    assert together[2]["score"] == pytest.approx(alone["score"], abs=1e-4)
    assert [f["reason"] for f in together] == [None, "inverted", "rotated_180"]


def predictions_of(images: Tensor) -> Tensor:
    return torch.cat([4 - 8 * images, images, 0 * images, 0 * images], dim=1)


def test_other_weights_are_not_judged_and_it_is_said_once_in_the_log_and_in_each_case(
    fresh_weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    check = FrontalCheck(PARAMETERS, ckpt_path=fresh_weights)
    images = torch.rand(2, 1, check.model.image_size, check.model.image_size)
    with caplog.at_level(logging.WARNING):
        found = check(images, predictions_of(images), predictions_of)
        check(images, predictions_of(images), predictions_of)
    assert len(caplog.records) == 1
    for items in found:
        verdict = items[Keys.FRONTAL]
        assert verdict["score"] is None and verdict["reason"] is None
        assert "not checked" in verdict["message"] and "frontal_check fit" in verdict["message"]


def test_another_image_size_is_not_judged() -> None:
    check = FrontalCheck(PARAMETERS, ckpt_path=WEIGHTS)
    images = torch.rand(1, 1, 64, 64)
    (items,) = check(images, predictions_of(images), predictions_of)
    assert items[Keys.FRONTAL]["score"] is None
    assert "image_size" in items[Keys.FRONTAL]["message"]


def test_a_copy_of_the_weights_is_the_same_weights(tmp_path: Path) -> None:
    copy = shutil.copyfile(WEIGHTS, tmp_path / "anything.pt")
    check = FrontalCheck(PARAMETERS, ckpt_path=copy)
    images = torch.rand(1, 1, check.model.image_size, check.model.image_size)
    assert check(images, predictions_of(images), predictions_of)[0][Keys.FRONTAL]["score"] > 0


def test_the_threshold_decides_and_the_likeliest_reason_is_given(tmp_path: Path) -> None:
    for threshold_prob, reason in ((0.26, None), (0.28, "rotated_180")):
        model = a_model(
            prior=-0.5,
            slope=2.0,
            threshold_prob=threshold_prob,
            reason_prior=[0, 1, 0, 0, 0.5],
            weights_sha256=weights_digest(WEIGHTS),
        )
        save_frontal_model(model, tmp_path / "p.json")
        check = FrontalCheck(tmp_path / "p.json", ckpt_path=WEIGHTS)
        images = torch.rand(1, 1, 32, 32)
        (items,) = check(images, predictions_of(images), predictions_of)
        assert items[Keys.FRONTAL]["reason"] == reason
        assert items[Keys.FRONTAL]["score"] == pytest.approx(1 / (1 + np.e), abs=1e-6)


def test_the_shipped_parameters_are_fitted_to_the_shipped_weights_and_size() -> None:
    model = load_frontal_model(PARAMETERS)
    config = json.loads((BUNDLE / "configs" / "inference.json").read_text())
    assert model.weights_sha256 == weights_digest(WEIGHTS)
    assert model.image_size == config["image_size"]
    assert len(model.view_mean) == 2 * SIDE * SIDE


@pytest.mark.parametrize("content", ["", "[]", '{"image_size": 1}', "not JSON"])
def test_a_file_that_holds_no_parameters_is_named_with_the_remedy(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"broken\.json.*frontal_check fit"):
        FrontalCheck(path, ckpt_path=WEIGHTS)
    with pytest.raises(ValueError, match=r"gone\.json"):
        FrontalCheck(tmp_path / "gone.json", ckpt_path=WEIGHTS)
