"""Predictions of a batch without torch are those of the evaluator's checks on tensors."""

import numpy as np
import pytest
import torch

from multimix_monai.arrays.frontal import FrontalJudge
from multimix_monai.arrays.grid import prepared
from multimix_monai.data.images import ImageError
from multimix_monai.engines import FlipCheck
from multimix_monai.engines.portable import PredictCases
from multimix_monai.transforms.portable import PreparedImage

S = 32


def left_only(images: np.ndarray) -> np.ndarray:
    """Sees the left half of what it is given, and pneumonia only there."""
    seen = np.array(images)
    seen[..., S // 2 :] = 0
    plane = np.broadcast_to(seen.sum(axis=(1, 2, 3), keepdims=True) / 100, seen.shape)
    return np.concatenate([20 * (seen - 0.5), seen, 0 * seen, plane], axis=1).astype(np.float32)


def cases(n: int) -> list[dict]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(n):
        plane = rng.random((40, 30), dtype=np.float32)
        pixels, grid = prepared(plane, orientation="", image_size=S, name="a")
        made.append({"case": number, "image": PreparedImage(pixels, grid, {})})
    return made


def predict(network: object = left_only) -> PredictCases:
    judge = FrontalJudge(None, weights_sha256="abc")
    return PredictCases(network, judge, threshold_prob=0.6)  # type: ignore[arg-type]


def test_the_measures_by_a_flip_are_those_of_the_check_on_tensors() -> None:
    given = cases(3)
    images = torch.from_numpy(np.stack([case["image"].pixels for case in given])[:, None])

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(left_only(x.numpy()))

    expected = FlipCheck(threshold_prob=0.6)(images, network(images), network)
    for case, other in zip(predict()(given), expected, strict=True):
        assert case["quality"] == other["quality"]
        assert case["quality"]["measures"]["flip_mask"] > 0.5
        assert case["frontal"]["score"] is None and "no parameters" in case["frontal"]["message"]


def test_cases_keep_their_order_and_those_with_an_error_are_not_predicted() -> None:
    first, second, third = cases(3)
    second["error"] = ImageError("no chest", "lateral")
    found = predict()([first, second, third])
    assert [case["case"] for case in found] == [0, 1, 2]
    assert found[1] is second and ["pred" in case for case in found] == [True, False, True]
    assert np.array_equal(found[2]["pred"], left_only(third["image"].pixels[None, None])[0])


def test_a_case_that_the_network_fails_on_has_an_error_and_the_others_go_on() -> None:
    given = cases(3)

    def fails(images: np.ndarray) -> np.ndarray:
        if any(np.array_equal(image[0], given[1]["image"].pixels) for image in images):
            raise KeyError("Doe^John")
        return left_only(images)

    found = predict(fails)(given)
    assert ["error" in case for case in found] == [False, True, False]
    assert "Doe" not in str(found[1]["error"])


@pytest.mark.parametrize("kept", [[], [{"error": ImageError("a", "b")}]])
def test_nothing_to_predict_asks_nothing_of_the_network(kept: list[dict]) -> None:
    def asked(images: np.ndarray) -> np.ndarray:
        raise AssertionError

    assert predict(asked)(kept) == kept
