import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, KeepLargestConnectedComponentd

from multimix_monai.transforms import UnpackPredictiond, postprocessing, preprocessing
from multimix_monai.transforms.postprocess import CutMaskd


def test_the_packed_output_becomes_mask_saliency_and_probabilities() -> None:
    chain = preprocessing(image_size=64)
    seg_logits = torch.full((1, 64, 64), -2.0)
    seg_logits[:, :, 32:] = 2.0
    others = torch.tensor([3.0, 1.0, 3.0])[:, None, None].expand(3, 64, 64)
    item = chain({"image": torch.rand(48, 64)}) | {"pred": torch.cat([seg_logits, others])}
    result = postprocessing(preprocessing=chain)(item)
    assert result["pred"].shape == (1, 48, 64) and result["pred"].dtype == torch.uint8
    assert result["pred"][0, :, 32:].all() and not result["pred"][0, :, :32].any()
    assert torch.allclose(result["saliency"].as_tensor(), torch.full((1, 48, 64), 3.0))
    assert torch.allclose(result["probs"], torch.tensor([1.0, 3.0]).softmax(0))


def test_the_name_of_the_image_goes_with_its_results() -> None:
    chain = preprocessing(image_size=64)
    given = MetaTensor(torch.rand(30, 20), meta={"filename_or_obj": "case7.png"})
    item = chain({"image": given}) | {"pred": torch.zeros(4, 64, 64)}
    result = postprocessing(preprocessing=chain)(item)
    assert result["pred"].meta["filename_or_obj"] == "case7.png"
    assert result["image"].meta["filename_or_obj"] == "case7.png"


def test_the_threshold_belongs_to_the_mask() -> None:
    for threshold_prob, expected in ((0.5, 1), (0.51, 0)):
        chain = preprocessing(image_size=32)
        item = chain({"image": torch.rand(32, 32)}) | {"pred": torch.zeros(4, 32, 32)}
        post = postprocessing(preprocessing=chain, threshold_prob=threshold_prob)
        assert (post(item)["pred"] == expected).all()


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 64, 64\); expected \(4, H, W\)"):
        image = preprocessing(image_size=64)({"image": torch.rand(48, 64)})["image"]
        UnpackPredictiond()({"image": image, "pred": torch.zeros(5, 64, 64)})


def test_an_image_without_its_record_is_refused() -> None:
    with pytest.raises(TypeError, match="not the MetaTensor that preprocessing made"):
        UnpackPredictiond()({"image": torch.rand(1, 32, 32), "pred": torch.zeros(4, 32, 32)})


def test_both_chains_are_built_from_a_config() -> None:
    parser = ConfigParser(
        {
            "image_size": 32,
            "preprocessing": {
                "_target_": "multimix_monai.transforms.preprocessing",
                "image_size": "@image_size",
                "keys": ["image"],
            },
            "postprocessing": {
                "_target_": "multimix_monai.transforms.postprocessing",
                "preprocessing": "@preprocessing",
            },
        }
    )
    item = parser.get_parsed_content("preprocessing")({"image": torch.rand(50, 41)})
    item["pred"] = torch.zeros(4, 32, 32)
    result = parser.get_parsed_content("postprocessing")(item)
    assert result["pred"].shape == (1, 50, 41)


def results(class_logits: torch.Tensor, temperature: float) -> dict:
    """What becomes of class logits (2,)."""
    chain = preprocessing(image_size=32)
    planes = torch.cat([torch.zeros(2), class_logits])[:, None, None].expand(4, 32, 32)
    item = chain({"image": torch.rand(32, 32)}) | {"pred": planes}
    return postprocessing(preprocessing=chain, temperature=temperature)(item)


def test_temperature_1_leaves_probabilities_bit_for_bit() -> None:
    for _ in range(20):
        class_logits = 10 * torch.randn(2)
        result = results(class_logits, 1.0)
        assert torch.equal(result["probs"], result["raw_probs"])
        assert torch.allclose(result["probs"], class_logits.softmax(0), rtol=1e-6, atol=0)


def test_temperature_2_takes_the_root_of_the_odds_and_keeps_the_raw_probability() -> None:
    result = results(torch.tensor([0.0, 9.0]).log().clamp(min=0), 2.0)  # odds of 9 : 1
    assert torch.allclose(result["probs"], torch.tensor([0.25, 0.75]))
    assert torch.allclose(result["raw_probs"], torch.tensor([0.1, 0.9]))


def test_calibration_keeps_the_ranking() -> None:
    z = torch.linspace(-6, 6, 25)
    for temperature in (0.5, 4.0):
        probs = [float(results(torch.stack([0 * v, v]), temperature)["probs"][1]) for v in z]
        assert probs == sorted(probs) and len(set(probs)) == len(probs)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"temperature is .*; it must be above 0"):
        results(torch.zeros(2), temperature)


@pytest.mark.parametrize("threshold_prob", [0.5, 0.6, 0.1])
@pytest.mark.parametrize("keep_components", [0, 1, 2, 50])
def test_a_mask_is_cut_as_monai_cuts_it(threshold_prob: float, keep_components: int) -> None:
    edge = np.float32(threshold_prob)
    probs = torch.rand(1, 40, 50, generator=torch.Generator().manual_seed(0))
    probs[0, ::3, ::4] = float(edge)
    probs[0, 1::3, ::5] = float(np.nextafter(edge, np.float32(0)))
    probs[0, 1::3, 20:30] = 0.99  # some parts are larger than others
    probs[0, 15:20], probs[0, :, 8] = 0, 0
    ours = CutMaskd(("pred",), threshold_prob=threshold_prob, keep_components=keep_components)
    theirs = [AsDiscreted("pred", threshold=threshold_prob)]
    if keep_components:
        theirs.append(KeepLargestConnectedComponentd("pred", num_components=keep_components))
    mask = ours({"pred": MetaTensor(probs)})["pred"]
    expected = Compose(theirs)({"pred": MetaTensor(probs.clone())})["pred"]
    assert mask.dtype == torch.uint8 and 0 < mask.sum() < mask.numel()
    assert torch.equal(mask.as_tensor(), expected.as_tensor().to(torch.uint8))
