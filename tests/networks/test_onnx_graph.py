from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from multimix_monai.networks import PackedMultiMix
from multimix_monai.networks.onnx_graph import mean, onnx_model
from multimix_monai.networks.onnx_nodes import Nodes

WIDTHS = (4, 6, 8, 10, 12)
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def network(**changes: int) -> PackedMultiMix:
    torch.manual_seed(0)
    return PackedMultiMix(**{"widths": WIDTHS, **changes}).eval()  # type: ignore[arg-type]


def run(net: PackedMultiMix, images: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(onnx_model(net).SerializeToString())
    return torch.from_numpy(session.run(["pred"], {"image": images.numpy()})[0])


def exact(net: PackedMultiMix, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return net.double()(images.double()).float()


def assert_alike(got: Tensor, expected: Tensor, *, masks: int = 1) -> None:
    """Logits number by number, saliency at most pixels: it jumps around one that is nearly 0."""
    rest = [*range(masks), *range(masks + 1, expected.shape[1])]
    torch.testing.assert_close(got[:, rest], expected[:, rest], atol=1e-4, rtol=1e-4)
    difference = (got - expected)[:, masks].abs()
    assert difference.median() < 1e-4 * expected[:, masks].mean()


def pictures(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(shape, generator=generator)


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 1, 64, 96), (2, 1, 96, 64)])
def test_onnxruntime_gives_the_networks_prediction_at_any_batch_and_size(
    shape: tuple[int, ...],
) -> None:
    net, images = network(), pictures(*shape)
    assert_alike(run(net, images), exact(net, images))


def test_the_first_maximum_of_a_window_gets_the_gradient_where_several_tie() -> None:
    net, images = network(), pictures(2, 1, 64, 64)
    images[:, :, :20] = 0
    images[:, :, :, 50:] = 1
    assert_alike(run(net, images), exact(net, images))


def test_several_channels_classes_and_masks_are_translated_too() -> None:
    net = network(in_channels=3, num_classes=4, mask_channels=2)
    images = pictures(2, 3, 64, 32)
    packed = run(net, images)
    assert packed.shape == (2, 2 + 1 + 4, 64, 32)
    assert_alike(packed, exact(net, images), masks=2)


def test_the_mean_of_a_large_plane_is_not_rounded_away() -> None:
    op, image = Nodes(), 1 + pictures(1, 1, 1024, 1024)
    op.named(["pred"], "Sub", "image", mean(op, "image"))
    model = op.model("mean", image=("image", 1), pred=("pred", 1))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    centred = torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
    assert centred.double().mean().abs() < 5e-7


def test_the_graphs_dimensions_are_named_and_free() -> None:
    model = onnx_model(network())
    for value, channels in ((model.graph.input[0], 1), (model.graph.output[0], 4)):
        dims = value.type.tensor_type.shape.dim
        assert [d.dim_param for d in dims] == ["batch", "", "height", "width"]
        assert dims[1].dim_value == channels


def test_without_onnx_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"multimix-monai\[onnx\]"):
        onnx_model(network())
