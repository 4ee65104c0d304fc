"""The compiled way computes what the plain way computes, and so do its formulae before that."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from multimix_monai.networks import MultiMix, fuse, fused, kernels

WIDTHS = (4, 6, 8, 10, 12)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels as they are written: the compiler takes seconds for each."""
    monkeypatch.setattr(fused, "compiled", lambda name: getattr(kernels, name))


def twins(**arguments: Any) -> tuple[MultiMix, MultiMix]:
    """Two networks of the same weights, of which the second goes the fast way."""
    torch.manual_seed(0)
    arguments = {"dropout_prob": 0.0, "widths": WIDTHS, **arguments}
    plain, fast = MultiMix(**arguments), MultiMix(**arguments)
    fast.load_state_dict(plain.state_dict())
    fast.to(memory_format=torch.channels_last)
    fast.fused = True
    return plain, fast


def trained(network: MultiMix, images: Tensor, *, decode_first: int) -> list[Tensor]:
    """What a step computes: prediction, then the gradient of every weight."""
    out = network.train()(images, decode_first=decode_first)
    loss = out.class_logits.square().sum()
    if decode_first:
        loss = loss + out.seg_logits.square().sum()
    loss.backward()
    weights = [p for name, p in network.named_parameters() if name.endswith("weight")]
    return [*out, *(p.grad for p in weights if p.grad is not None)]


def assert_alike(ours: list[Tensor], theirs: list[Tensor], *, tolerance: float = 1e-4) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        if b.numel():
            assert (a - b).abs().max() <= tolerance * max(1e-3, float(b.abs().max()))


@pytest.mark.parametrize("decode_first", [0, 2, 3])
@pytest.mark.parametrize("saliency_pass", ["shared", "separate"])
@pytest.mark.usefixtures("uncompiled")
def test_a_fast_step_gives_the_results_and_gradients_of_a_plain_one(
    decode_first: int, saliency_pass: str
) -> None:
    plain, fast = twins(saliency_pass=saliency_pass)
    images = torch.rand(3, 1, 64, 96)
    ours = trained(fast, images, decode_first=decode_first)
    assert_alike(ours, trained(plain, images, decode_first=decode_first))


@pytest.mark.parametrize("bridge", ["shuffled", "zero", "none"])
@pytest.mark.usefixtures("uncompiled")
def test_so_does_one_with_another_bridge(bridge: str) -> None:
    plain, fast = twins(bridge=bridge)
    images = torch.rand(3, 1, 64, 96)
    ours = trained(fast, images, decode_first=2)
    assert_alike(ours, trained(plain, images, decode_first=2))


@pytest.mark.slow
def test_compiled_it_is_still_the_same() -> None:
    plain, fast = twins()
    fuse(fast)
    for images in (torch.rand(3, 1, 64, 96), torch.rand(2, 1, 96, 64)):
        ours = trained(fast, images, decode_first=2)
        # Rounding turns a maximum or a sign over here and there.
        assert_alike(ours, trained(plain, images, decode_first=2), tolerance=3e-3)
        for network in (plain, fast):
            network.zero_grad()


@pytest.mark.usefixtures("uncompiled")
def test_without_a_decoder_the_encoder_learns_the_same() -> None:
    plain, fast = twins()
    images = torch.rand(2, 1, 64, 64)
    for network in (plain, fast):
        network.train()(images).class_logits.square().sum().backward()
    assert_alike(
        [plain.encoder.blocks[0].conv1.weight.grad], [fast.encoder.blocks[0].conv1.weight.grad]
    )


@pytest.mark.usefixtures("uncompiled")
def test_without_a_class_loss_the_encoder_learns_from_the_mask_alone() -> None:
    plain, fast = twins()
    images = torch.rand(2, 1, 64, 64)
    for network in (plain, fast):
        network.train()(images).seg_logits.square().sum().backward()
    assert_alike(
        [plain.encoder.blocks[4].conv2.weight.grad], [fast.encoder.blocks[4].conv2.weight.grad]
    )


@pytest.mark.usefixtures("uncompiled")
def test_in_evaluation_without_a_graph_it_is_the_same() -> None:
    plain, fast = (network.eval() for network in twins(dropout_prob=0.25))
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        assert fast.is_fast()
        assert_alike([*fast(images)], [*plain(images)])
    with torch.inference_mode():
        assert not fast.is_fast()
        assert_alike([*fast(images)], [*plain(images)])


@pytest.mark.usefixtures("uncompiled")
def test_the_fast_saliency_knows_dropout() -> None:
    _, fast = twins(dropout_prob=0.25)
    images = torch.rand(2, 1, 64, 64)
    torch.manual_seed(3)
    ours = fast.train()(images).saliency
    torch.manual_seed(3)
    x = images.clone().requires_grad_()
    reference = torch.autograd.grad(fast(x).class_logits.amax(dim=1).sum(), x)[0].abs()
    assert_alike([ours], [reference])


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("prob", [0.1, 0.25, 0.5])
def test_fast_dropout_hides_its_part_and_keeps_the_mean(prob: float) -> None:
    torch.manual_seed(0)
    y = torch.randn(4, 5, 40, 41)
    noise, cut = fused.dropout_noise(y, prob)
    out = fused.NormActDrop.apply(y, noise, cut)
    reference = F.leaky_relu(F.instance_norm(y), 0.2)
    kept = out != 0
    assert float(kept.float().mean()) == pytest.approx(1 - prob, abs=0.01)
    assert torch.allclose(out[kept], reference[kept] / (1 - float(cut) / 256), atol=1e-4)


def gradient(function: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x), x, grad)[0]


def test_the_gradient_of_upsampling_is_torchs() -> None:
    x, grad = torch.randn(2, 3, 5, 1), torch.randn(2, 3, 10, 2)
    reference = gradient(
        lambda t: F.interpolate(t, scale_factor=2, mode="bilinear", align_corners=False), x, grad
    )
    ours = kernels.upsample_gradient(fused.windows(grad)).movedim(3, 1)
    assert torch.allclose(ours, reference, atol=1e-6)


def test_of_equal_pixels_the_first_is_the_maximum_as_in_torch() -> None:
    x = torch.randint(0, 3, (2, 3, 8, 6)).float()
    pooled, which = kernels.pool(fused.windows(x))
    reference, indices = F.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(pooled.movedim(3, 1), reference)
    grad = torch.randn_like(reference)
    back = kernels.unpool(grad.movedim(1, 3), which).flatten(3, 4).flatten(1, 2).movedim(3, 1)
    assert torch.equal(back, F.max_unpool2d(grad, indices, 2))


def test_without_a_compiler_training_goes_the_plain_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(name: str) -> Any:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(fused, "compiled", refuse)
    network = fuse(MultiMix(widths=WIDTHS))
    assert not network.fused
    assert "No working C++ compiler found" in caplog.text


def test_who_wants_the_plain_way_gets_it() -> None:
    assert not fuse(MultiMix(widths=WIDTHS), wanted=False).fused
