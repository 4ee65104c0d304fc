"""The saliency is autograd's gradient, computed without autograd."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from multimix_monai.networks import MultiMix, saliency
from multimix_monai.networks.blocks import instance_norm
from multimix_monai.networks.saliency import norm_gradient


def noise(channels: int = 1, size: int = 64) -> Tensor:
    return torch.rand(3, channels, size, size)


def constant(channels: int = 1, size: int = 64) -> Tensor:
    return torch.full((2, channels, size, size), 0.3)


def black_borders(channels: int = 1, size: int = 64) -> Tensor:
    """As preprocessing pads: whole pooling windows are equal, so that every maximum is a tie."""
    image = torch.zeros(3, channels, size, size)
    image[..., 20:50] = torch.rand(3, channels, size, 30)
    return image


def black_but_for_a_pixel(channels: int = 1, size: int = 64) -> Tensor:
    image = torch.zeros(1, channels, size, size)
    image[..., 31, 17] = 1
    return image


IMAGES = [noise, constant, black_borders, black_but_for_a_pixel]


def by_autograd(network: MultiMix, image: Tensor) -> Tensor:
    """|d max_k z_k / d x| from the graph of the plain forward pass."""
    x = image.clone().requires_grad_(True)
    winning = network.encoder(x).class_logits.amax(dim=1).sum()
    return torch.autograd.grad(winning, x)[0].abs().amax(dim=1, keepdim=True)


def relative_error(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("image", IMAGES)
def test_the_saliency_is_autograds(image: Callable[[], Tensor]) -> None:
    torch.manual_seed(0)
    network = MultiMix().eval()
    x = image()
    reference = by_autograd(network, x)
    assert reference.max() > 0
    assert relative_error(network(x).saliency, reference) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("image", [noise, black_borders])
def test_the_saliency_is_autograds_at_the_published_size(image: Callable[..., Tensor]) -> None:
    torch.manual_seed(1)
    network = MultiMix().eval()
    x = image(size=256)[:1]
    assert relative_error(network(x).saliency, by_autograd(network, x)) <= 1e-5


def test_of_several_channels_the_largest_gradient_counts() -> None:
    torch.manual_seed(0)
    network = MultiMix(in_channels=3, num_classes=5).eval()
    x = black_borders(channels=3)
    out = network(x)
    assert out.saliency.shape == (3, 1, 64, 64)
    assert relative_error(out.saliency, by_autograd(network, x)) <= 1e-5


@pytest.mark.parametrize("image", IMAGES)
def test_the_shared_pass_in_training_is_autograds_with_the_same_dropout(
    image: Callable[[], Tensor],
) -> None:
    torch.manual_seed(0)
    network = MultiMix(saliency_pass="shared").train()
    x = image()
    torch.manual_seed(7)
    given = network(x).saliency
    torch.manual_seed(7)
    reference = by_autograd(network, x)
    assert relative_error(given, reference) <= 1e-5
    torch.manual_seed(8)
    assert relative_error(network(x).saliency, reference) > 0.01


@pytest.mark.parametrize("image", IMAGES)
def test_the_separate_pass_in_training_is_that_of_evaluation(
    image: Callable[[], Tensor],
) -> None:
    torch.manual_seed(0)
    network = MultiMix(saliency_pass="separate")
    x = image()
    in_training = network.train()(x).saliency
    in_evaluation = network.eval()(x).saliency
    assert torch.equal(in_training, in_evaluation)


def test_the_saliency_in_bfloat16_is_autograds_in_bfloat16() -> None:
    """Rounding moves maxima and signs, so it is far from fp32's; both ways to it must agree."""
    torch.manual_seed(0)
    network = MultiMix().eval()
    x = noise()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, reference = network(x).saliency.float(), by_autograd(network, x)
    both = torch.stack([ours.flatten(), reference.flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.999


def test_the_saliency_of_the_first_images_is_that_of_all() -> None:
    torch.manual_seed(0)
    network = MultiMix(widths=(2, 4, 4, 8, 8)).eval()
    encoded = network.encoder.forward_recorded(noise(), keep=2, dropout=False)
    first = saliency(encoded, classifier_weight=network.encoder.classifier.weight)
    assert first.shape == (2, 1, 64, 64)


def test_no_gradient_flows_through_the_saliency() -> None:
    torch.manual_seed(0)
    for saliency_pass in ("shared", "separate"):
        network = MultiMix(widths=(2, 4, 4, 8, 8), saliency_pass=saliency_pass).train()
        out = network(noise().requires_grad_(True))
        assert not out.saliency.requires_grad and out.saliency.grad_fn is None


def test_a_pass_without_a_record_is_refused() -> None:
    network = MultiMix(widths=(2, 4, 4, 8, 8)).eval()
    with pytest.raises(ValueError, match="forward_recorded"):
        saliency(network.encoder(noise()), classifier_weight=network.encoder.classifier.weight)


def test_the_gradient_of_the_norm_is_autograds() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    normed = torch.nn.functional.instance_norm(x, eps=1e-5)
    (reference,) = torch.autograd.grad(normed, x, grad)
    _, inv_std = instance_norm(x, training=True)
    assert torch.allclose(norm_gradient(grad, normed.detach(), inv_std), reference)
