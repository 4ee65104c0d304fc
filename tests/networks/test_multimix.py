"""The whole network: its size, its modes, what it refuses, and what it exports to."""

import pytest
import torch
from torch import Tensor, nn

from multimix_monai.networks import MultiMix, PackedMultiMix, Prediction, pack
from multimix_monai.networks.bridge import bridge

TINY = (2, 4, 4, 8, 8)


def tiny(**arguments) -> MultiMix:
    torch.manual_seed(0)
    return MultiMix(widths=TINY, **arguments)


def images(n: int = 2, *, channels: int = 1, size: int = 64) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(1))


def test_there_are_1965173_parameters() -> None:
    network = MultiMix()
    assert sum(p.numel() for p in network.parameters()) == 1_965_173
    explicit = MultiMix(
        in_channels=1, num_classes=2, mask_channels=1, widths=(16, 32, 64, 128, 256)
    )
    assert [p.shape for p in explicit.parameters()] == [p.shape for p in network.parameters()]


@pytest.mark.parametrize("training", [True, False])
def test_the_shapes_are_those_of_the_image(training: bool) -> None:
    out = tiny(in_channels=3, num_classes=5, mask_channels=2).train(training)(
        images(3, channels=3)[..., :32]
    )
    assert out.seg_logits.shape == (3, 2, 64, 32)
    assert out.class_logits.shape == (3, 5)
    assert out.saliency.shape == (3, 1, 64, 32)
    assert out.saliency.min() >= 0 and out.saliency.max() > 0


def test_evaluation_gives_the_same_output_for_the_same_input() -> None:
    network, x = MultiMix().eval(), images()
    first, second = network(x), network(x)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    assert not network.encoder.training and not network.decoder.training


def test_training_draws_a_new_dropout_each_time() -> None:
    network, x = tiny().train(), images()
    assert not torch.equal(network(x).seg_logits, network(x).seg_logits)
    assert not torch.equal(network(x).class_logits, network(x).class_logits)


def test_the_pass_of_the_saliency_changes_nothing_in_evaluation() -> None:
    x = images()
    for a, b in zip(
        tiny(saliency_pass="shared").eval()(x),
        tiny(saliency_pass="separate").eval()(x),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_one_images_output_does_not_depend_on_the_others() -> None:
    network, x = tiny().eval(), images(3)
    for together, alone in zip(network(x), network(x[1:2]), strict=True):
        assert torch.allclose(together[1:2], alone, atol=1e-5)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_runs_without_a_graph(context: type) -> None:
    network, x = MultiMix().eval(), images()
    reference = network(x)
    with context():
        out = network(x)
    for a, b in zip(out, reference, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
        assert not a.requires_grad


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("saliency_pass", ["shared", "separate"])
def test_it_runs_in_bfloat16(training: bool, saliency_pass: str) -> None:
    torch.manual_seed(0)
    network, x = MultiMix(saliency_pass=saliency_pass, dropout_prob=0.0), images()
    network.train(training)
    reference = network(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(x)
    assert out.class_logits.dtype == torch.bfloat16
    assert all(torch.isfinite(part).all() for part in out)
    assert (out.seg_logits - reference.seg_logits).abs().mean() < 0.05


@pytest.mark.parametrize("saliency_pass", ["shared", "separate"])
def test_every_parameter_that_is_used_learns_in_bfloat16_as_in_fp32(saliency_pass: str) -> None:
    """Autocast keeps a weight's copy; one that the pass without a graph made would not learn."""
    for enabled in (False, True):
        network = tiny(saliency_pass=saliency_pass).train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            out = network(images())
        (out.seg_logits.float().square().mean() + out.class_logits.float().sum()).backward()
        for name, parameter in network.named_parameters():
            if "unused_head" in name:
                assert parameter.grad is None and not parameter.requires_grad
            else:
                assert parameter.grad is not None, name
                if name.endswith("weight"):
                    assert parameter.grad.abs().sum() > 0, name


def test_no_gradient_reaches_the_encoder_through_the_saliency() -> None:
    """Features are cut off, so that only the saliency's way is open."""
    network = tiny().train()
    x = images()
    encoded, saliency_map = network.encode(x, len(x))
    features = [f.detach() for f in encoded.features]
    network.decoder(features, bridge(x, saliency_map)).sum().backward()
    assert all(p.grad is None for p in network.encoder.parameters())
    assert network.decoder.head.weight.grad is not None


def test_the_mask_depends_on_the_saliency() -> None:
    network, x = tiny().eval(), images()
    encoded, saliency_map = network.encode(x, len(x))
    assert not torch.equal(
        network.decoder(encoded.features, bridge(x, saliency_map)),
        network.decoder(encoded.features, bridge(x, torch.zeros_like(saliency_map))),
    )


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_only_the_first_images_are_decoded(n: int) -> None:
    network, x = tiny().eval(), images(3)
    full, out = network(x), network(x, decode_first=n)
    assert out.seg_logits.shape == (n, 1, 64, 64)
    assert out.saliency.shape == (n, 1, 64, 64)
    assert torch.allclose(out.seg_logits, full.seg_logits[:n], atol=1e-5)
    assert torch.allclose(out.class_logits, full.class_logits, atol=1e-6)
    assert torch.allclose(out.saliency, full.saliency[:n], atol=1e-6)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("saliency_pass", ["shared", "separate"])
def test_classes_learn_where_nothing_is_decoded(n: int, saliency_pass: str) -> None:
    network = tiny(saliency_pass=saliency_pass).train()
    network(images(3), decode_first=n).class_logits[n:].sum().backward()
    assert network.encoder.blocks[0].conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(63, 64), (64, 48), (100, 100), (16, 16)])
def test_sizes_that_cannot_be_halved_five_times_are_refused(shape: tuple[int, int]) -> None:
    network = tiny().eval()
    match = rf"{shape[0]}x{shape[1]}; both must be divisible by 32: .*DivisiblePad\(k=32\)"
    with pytest.raises(ValueError, match=match):
        network(torch.rand(1, 1, *shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (16, 32, 64)}, r"widths is \(16, 32, 64\): five"),
        ({"saliency_pass": "autograd"}, "'autograd': use one of"),
        ({"dropout_prob": 1.0}, r"dropout_prob is 1.0; it must lie in \[0, 1\)"),
        ({"dropout_prob": -0.1}, "dropout_prob is -0.1"),
    ],
)
def test_a_network_that_cannot_be_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiMix(**arguments)


def test_packing_keeps_every_number() -> None:
    prediction = Prediction(torch.rand(2, 3, 4, 5), torch.rand(2, 6), torch.rand(2, 1, 4, 5))
    packed = pack(prediction)
    assert packed.shape == (2, 3 + 1 + 6, 4, 5)
    assert torch.equal(packed[:, :3], prediction.seg_logits)
    assert torch.equal(packed[:, 3:4], prediction.saliency)
    assert torch.equal(packed[:, 4:, 0, 0], prediction.class_logits)
    assert torch.equal(packed[:, 4:].amax(dim=(2, 3)), packed[:, 4:].amin(dim=(2, 3)))


def test_the_packed_network_has_the_same_weights_and_answers() -> None:
    network, packed = tiny().eval(), PackedMultiMix(widths=TINY).eval()
    packed.load_state_dict(network.state_dict())
    assert torch.equal(packed(images()), pack(network(images())))


def tensors(prediction: Prediction | tuple[Tensor, ...] | Tensor) -> list[Tensor]:
    return [prediction] if torch.is_tensor(prediction) else list(prediction)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MultiMix, PackedMultiMix])
def test_a_trace_gives_the_same_answers_for_other_images(kind: type[nn.Module]) -> None:
    network = kind(widths=TINY).eval()
    traced = torch.jit.trace(network, images(2, size=32))
    with torch.inference_mode():
        for x in (images(2, size=32), images(5, size=32)):
            for a, b in zip(tensors(traced(x)), tensors(network(x)), strict=True):
                assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.slow
def test_an_export_takes_batches_of_any_size() -> None:
    network = PackedMultiMix(widths=TINY).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        network, (images(2, size=32),), dynamic_shapes={"x": {0: batch}}, strict=False
    ).module()
    for n in (1, 2, 5):
        x = images(n, size=32)
        assert torch.allclose(program(x), network(x), atol=1e-6)
