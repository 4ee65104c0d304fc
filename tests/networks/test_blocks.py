"""A block: its two ways forward agree, and its dropout keeps what it says."""

import pytest
import torch
import torch.nn.functional as F

from multimix_monai.networks.blocks import ConvBlock, dropout_scale, instance_norm


def test_a_block_is_two_normalised_convolutions_with_leaky_relu() -> None:
    torch.manual_seed(0)
    block = ConvBlock(1, 3).eval()
    x = torch.rand(2, 1, 8, 8)
    norm = torch.nn.InstanceNorm2d(3)
    relu = torch.nn.LeakyReLU(0.2)
    reference = relu(norm(block.conv2(relu(norm(block.conv1(x))))))
    assert torch.allclose(block(x), reference, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_the_recorded_way_forward_gives_the_same_output(training: bool) -> None:
    block = ConvBlock(1, 3).train(training)
    x = torch.rand(4, 1, 8, 8)
    torch.manual_seed(3)
    plain = block(x)
    torch.manual_seed(3)
    recorded, record = block.forward_recorded(x, keep=2, dropout=training)
    assert torch.equal(plain, recorded)
    assert record.layers[0].normed.shape == (2, 3, 8, 8)
    assert (record.dropout_scale is not None) == training


def test_the_record_is_of_the_images_kept_alone() -> None:
    block = ConvBlock(1, 3).eval()
    x = torch.rand(4, 1, 8, 8)
    _, record = block.forward_recorded(x, keep=2, dropout=False)
    _, alone = block.forward_recorded(x[:2], keep=2, dropout=False)
    for ours, theirs in zip(record.layers, alone.layers, strict=True):
        assert torch.allclose(ours.normed, theirs.normed, atol=1e-6)
        assert torch.allclose(ours.inv_std, theirs.inv_std, rtol=1e-5)


@pytest.mark.parametrize("prob", [0.1, 0.25, 0.5])
def test_dropout_hides_its_part_and_keeps_the_mean(prob: float) -> None:
    torch.manual_seed(0)
    scale = dropout_scale(torch.zeros(4, 5, 199, 101), prob)  # an odd number of elements
    assert scale.shape == (4, 5, 199, 101)
    assert len(scale.unique()) == 2
    assert float((scale == 0).float().mean()) == pytest.approx(prob, abs=0.004)
    assert float(scale.mean()) == pytest.approx(1, abs=0.01)


def test_dropout_draws_pixel_by_pixel() -> None:
    torch.manual_seed(0)
    scale = dropout_scale(torch.zeros(2, 4, 64, 64), 0.25) > 0
    for shift, dim in ((1, 3), (1, 2), (1, 1), (4, 3)):  # a word of random bits has four pixels
        both = (scale & scale.roll(shift, dim)).float().mean()
        assert float(both) == pytest.approx(0.75**2, abs=0.02)


def test_dropout_follows_torchs_seed_and_the_dtype() -> None:
    x = torch.zeros(3, 7, 5, 5, dtype=torch.bfloat16)
    torch.manual_seed(0)
    first = dropout_scale(x, 0.25)
    second = dropout_scale(x, 0.25)
    torch.manual_seed(0)
    assert torch.equal(dropout_scale(x, 0.25), first)
    assert not torch.equal(first, second)
    assert first.dtype == torch.bfloat16


def test_dropout_of_probability_zero_changes_nothing() -> None:
    block = ConvBlock(1, 2, dropout_prob=0.0)
    x = torch.rand(1, 1, 8, 8)
    assert torch.allclose(block.train()(x), block.eval()(x), atol=1e-6)
    recorded, record = block.train().forward_recorded(x, keep=1, dropout=True)
    assert torch.equal(recorded, block(x)) and record.dropout_scale is None


def test_what_dropout_hides_has_no_gradient() -> None:
    torch.manual_seed(0)
    block = ConvBlock(1, 2).train()
    x = torch.rand(1, 1, 8, 8)
    out, record = block.forward_recorded(x, keep=1, dropout=True)
    (grad,) = torch.autograd.grad(out.sum(), block.conv2.bias)
    # The norm takes away what a bias adds, so whatever is left is rounding.
    assert grad.abs().max() < 1e-4
    assert torch.equal(out == 0, record.dropout_scale == 0)
    assert F.leaky_relu(torch.tensor(-1.0), 0.2) == pytest.approx(-0.2)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_norm_is_torchs_in_any_memory_order_and_tells_its_divisor(
    training: bool, memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    x = (5 * torch.randn(2, 3, 6, 4) + 2).contiguous(memory_format=memory_format)
    normed, inv_std = instance_norm(x, training=training)
    assert torch.allclose(normed, F.instance_norm(x, eps=1e-5), atol=1e-5)
    expected = (x.var(dim=(2, 3), keepdim=True, unbiased=False) + 1e-5).rsqrt()
    assert torch.allclose(inv_std, expected, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_norms_derivative_is_torchs(training: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 4, requires_grad=True)
    grad = torch.randn(2, 3, 6, 4)
    ours = torch.autograd.grad(instance_norm(x, training=training)[0], x, grad)[0]
    assert torch.allclose(ours, torch.autograd.grad(F.instance_norm(x), x, grad)[0], atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_a_mean_of_many_times_the_contrast_is_not_rounded_away(training: bool) -> None:
    torch.manual_seed(0)
    x = 3 + 0.01 * torch.randn(1, 4, 256, 256)
    normed, inv_std = instance_norm(x, training=training)
    reference = F.instance_norm(x.double(), eps=1e-5)
    assert (normed - reference).abs().max() < 1e-4
    expected = (x.double().var(dim=(2, 3), keepdim=True, unbiased=False) + 1e-5).rsqrt()
    assert torch.allclose(inv_std.double(), expected, rtol=1e-5)
