"""How unsure a network is of a case: measures by hand, and on real forwards of a small one."""

import threading

import numpy as np
import pytest
import torch

from multimix_monai.data.synthetic import draw_radiograph
from multimix_monai.engines import appearance, informativeness
from multimix_monai.engines.sampling import MEASURES
from multimix_monai.engines.uncertainty import (
    ZOOM,
    _measures,
    _zoomed,
    entropy,
    expected_dice,
)
from multimix_monai.networks import MultiMix, PackedMultiMix

WIDTHS = (2, 4, 4, 8, 8)


@pytest.fixture
def network() -> MultiMix:
    torch.manual_seed(0)
    return MultiMix(widths=WIDTHS).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Three drawn radiographs, (3, 1, 64, 64)."""
    planes = [draw_radiograph(seed=s, pneumonia=False, size=(64, 64)).pixels for s in range(3)]
    return torch.from_numpy(np.stack(planes))[:, None]


def test_expected_dice_by_hand() -> None:
    probs = np.array([[0.9, 0.6], [0.2, 0.1]])
    assert expected_dice(probs, probs >= 0.5) == pytest.approx(2 * 1.5 / (1.8 + 2))
    assert expected_dice(np.array([1.0, 0.0]), np.array([True, False])) == 1
    assert expected_dice(np.zeros(4), np.zeros(4, dtype=bool)) == 0


def test_expected_dice_is_near_the_mean_dice_of_truths_drawn_by_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    probs = rng.beta(0.5, 0.5, size=(40, 40))
    mask = probs >= 0.5
    truths = rng.uniform(size=(200, 40, 40)) < probs
    dice = 2 * (truths & mask).sum(axis=(1, 2)) / (truths.sum(axis=(1, 2)) + mask.sum())
    assert expected_dice(probs, mask) == pytest.approx(dice.mean(), abs=0.003)


def test_entropy_is_1_for_equal_classes_and_0_for_a_sure_one() -> None:
    assert entropy(np.full(3, 1 / 3)) == pytest.approx(1)
    assert entropy(np.array([1.0, 0.0])) == pytest.approx(0)


def test_views_that_say_the_same_do_not_disagree_and_one_that_does_not_counts() -> None:
    sure = np.zeros((1, 8, 8), dtype=np.float32)
    sure[:, 2:6, 2:6] = 1
    same = _measures(
        np.stack([sure] * 3), np.array([[0.2, 0.8]] * 3, dtype=np.float32), threshold_prob=0.5
    )
    assert same["mask_doubt"] == same["mask_disagreement"] == same["class_disagreement"] == 0
    other = _measures(
        np.stack([sure, sure, np.roll(sure, 4, axis=-1)]),
        np.array([[0.2, 0.8], [0.2, 0.8], [0.7, 0.3]], dtype=np.float32),
        threshold_prob=0.5,
    )
    assert other["mask_disagreement"] == pytest.approx(0.5)  # of 0 and 1, the mean
    assert other["class_disagreement"] == pytest.approx(0.5)


def test_the_smaller_view_is_undone_to_its_place() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 10:30, 20:50] = 1
    back = _zoomed(_zoomed(image, ZOOM), 1 / ZOOM)
    assert float(((back >= 0.5) != (image >= 0.5)).float().mean()) < 0.02
    assert float(_zoomed(image, ZOOM).mean() / image.mean()) == pytest.approx(ZOOM**2, rel=0.02)


def test_of_a_batch_each_case_has_its_own_measures_and_the_classifiers_features(
    network: MultiMix, images: torch.Tensor
) -> None:
    found = informativeness(network, images)
    assert len(found) == 3
    with torch.inference_mode():
        logits = network(images).class_logits
        features = torch.from_numpy(np.stack([case.features for case in found]))
        assert torch.allclose(network.encoder.classifier(features), logits, atol=1e-5)
    for n, case in enumerate(found):
        assert set(case.uncertainty) == {name for names in MEASURES.values() for name in names}
        assert all(type(v) is float and 0 <= v < 1.00001 for v in case.uncertainty.values())
        alone = informativeness(network, images[n : n + 1])[0]
        assert case.uncertainty == pytest.approx(alone.uncertainty, abs=1e-4)


def test_a_packed_network_says_the_same_and_is_left_in_its_mode(
    network: MultiMix, images: torch.Tensor
) -> None:
    packed = PackedMultiMix(widths=WIDTHS)
    packed.load_state_dict(network.state_dict())
    packed.train()
    ours, theirs = informativeness(network, images), informativeness(packed, images)
    assert packed.training and not packed.encoder.classifier._forward_pre_hooks
    for a, b in zip(ours, theirs, strict=True):
        assert a.uncertainty == pytest.approx(b.uncertainty)
        assert np.array_equal(a.features, b.features)


def test_what_another_thread_predicts_meanwhile_is_not_taken_for_ours(
    network: MultiMix, images: torch.Tensor
) -> None:
    expected = informativeness(network, images)[0].features
    other = torch.zeros(1, 1, 32, 32)

    def meddle(*_: object) -> None:
        hook.remove()
        thread = threading.Thread(target=lambda: network(other))
        thread.start()
        thread.join()

    hook = network.encoder.blocks[0].register_forward_pre_hook(meddle)
    assert np.array_equal(informativeness(network, images)[0].features, expected)


def test_a_size_that_five_poolings_cannot_halve_is_refused(network: MultiMix) -> None:
    with pytest.raises(ValueError, match="48x48"):
        informativeness(network, torch.zeros(1, 1, 48, 48))


def test_before_there_is_a_network_a_case_is_its_picture(images: torch.Tensor) -> None:
    found = appearance(images)
    assert len(found) == 3 and not found[0].uncertainty
    assert found[0].features.shape == (256,)
    assert found[0].features[0] == pytest.approx(float(images[0, 0, :4, :4].mean()), abs=1e-6)
