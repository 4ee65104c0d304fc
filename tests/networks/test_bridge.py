"""What the decoder sees of the classifier, and what each other bridge withholds."""

import pytest
import torch
from torch import Tensor

from multimix_monai.networks import MultiMix
from multimix_monai.networks.bridge import BRIDGES, bridge, shuffled

TINY = (2, 4, 4, 8, 8)


def images(n: int = 2, *, seed: int = 1, size: int = 64) -> Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(seed))


def tiny(kind: str) -> MultiMix:
    torch.manual_seed(0)
    return MultiMix(widths=TINY, bridge=kind)


def masks_with(network: MultiMix, x: Tensor, saliency: Tensor) -> Tensor:
    features = network.encoder(x).features
    return network.decoder(features, bridge(x, saliency, kind=network.bridge))


def test_it_is_the_mean_over_eight_by_eight_pixels() -> None:
    image, saliency = images(1, size=32), images(1, size=32) * 3
    out = bridge(image, saliency)
    assert out.shape == (1, 2, 4, 4)
    assert torch.allclose(out[0, 0, 1, 2], image[0, 0, 8:16, 16:24].mean())
    assert torch.allclose(out[0, 1, 3, 0], saliency[0, 0, 24:32, 0:8].mean())


def test_shuffled_it_has_the_same_values_in_other_places() -> None:
    saliency = images()
    moved = shuffled(saliency)
    assert torch.equal(moved, shuffled(saliency))
    assert (moved != saliency).float().mean() > 0.9
    assert torch.equal(moved.flatten(1).sort().values, saliency.flatten(1).sort().values)


@pytest.mark.parametrize("kind", ["zero", "none"])
def test_without_it_no_saliency_reaches_the_mask(kind: str) -> None:
    network, x = tiny(kind).eval(), images()
    one, other = masks_with(network, x, images(seed=2)), masks_with(network, x, images(seed=3))
    assert torch.equal(one, other)


@pytest.mark.parametrize("kind", BRIDGES)
def test_every_kind_predicts_masks_and_a_saliency(kind: str) -> None:
    out = tiny(kind).eval()(images())
    assert out.seg_logits.shape == out.saliency.shape == (2, 1, 64, 64)
    assert out.saliency.max() > 0


def test_none_costs_no_weights_for_what_is_not_there() -> None:
    with_it, without = MultiMix(), MultiMix(bridge="none")
    first = without.decoder.blocks[0].conv1.weight
    assert first.shape[1] == 256 + 128
    assert with_it.decoder.blocks[0].conv1.weight.shape[1] == first.shape[1] + 2


def test_a_kind_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="'off': use one of"):
        MultiMix(bridge="off")
