"""Quality of a mask on its way back from the network's grid."""

import numpy as np
import pytest
import torch

from multimix_monai.transforms import postprocessing, preprocessing
from multimix_monai.transforms.quality import frame


def lungs(*boxes: tuple[slice, slice], shape: tuple[int, int]) -> np.ndarray:
    """Sure probabilities: 0.99 in the boxes, 0.01 elsewhere."""
    probs = np.full(shape, 0.01)
    for box in boxes:
        probs[box] = 0.99
    return probs


@pytest.mark.parametrize("shape", [(50, 41), (41, 50), (64, 64)])
def test_the_frame_is_the_picture_without_its_padding(shape: tuple[int, int]) -> None:
    image = preprocessing(image_size=64)({"image": torch.rand(shape) + 0.1})["image"]
    rows, columns = frame(image)
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[rows, columns] = True
    longest = max(shape)
    assert inside.sum() == round(64 * shape[0] / longest) * round(64 * shape[1] / longest)
    assert not image[0][~inside].any()


def packed_item(probs: np.ndarray, picture: torch.Tensor) -> tuple[dict, object]:
    """A case of a tall picture whose network says `probs` (64, 64), and its preprocessing."""
    chain = preprocessing(image_size=64)
    logits = torch.logit(torch.as_tensor(probs, dtype=torch.float32), eps=1e-6)[None]
    return chain({"image": picture}) | {"pred": torch.cat([logits, torch.zeros(3, 64, 64)])}, chain


def test_postprocessing_judges_the_frame_and_joins_what_a_check_measured() -> None:
    probs = lungs(np.s_[10:50, 18:28], np.s_[10:50, 36:46], shape=(64, 64))
    item, chain = packed_item(probs, torch.rand(128, 64))
    item["quality"] = {"measures": {"flip_mask": 0.9}}
    result = postprocessing(preprocessing=chain, keep_components=2, quality_rules={})(item)
    assert result["quality"]["measures"]["area"] == pytest.approx(2 * 40 * 10 / (64 * 32))
    assert result["quality"]["fired"] == ["flip_mask_high"]
    assert result["pred"].shape == (1, 128, 64)
    lenient = {"flip_mask": [None, None]}
    again = postprocessing(preprocessing=chain, keep_components=2, quality_rules=lenient)(item)
    assert again["quality"]["fired"] == []


def test_without_rules_nothing_is_judged_and_the_results_are_the_same() -> None:
    item, chain = packed_item(np.random.default_rng(0).random((64, 64)), torch.rand(80, 64))
    plain = postprocessing(preprocessing=chain)(item)
    judged = postprocessing(preprocessing=chain, quality_rules={})(item)
    assert "quality" not in plain and judged["quality"]["fired"]
    for key in ("pred", "saliency", "probs"):
        assert torch.equal(torch.as_tensor(plain[key]), torch.as_tensor(judged[key]))
