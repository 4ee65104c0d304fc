"""The rivals are what they are said to be, and the counts of work are those of a profiler."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from multimix_monai.networks import MultiMix
from tests.benchmarks.ours import drawn_batch, even, step_on
from tests.benchmarks.published import PublishedMultiMix, PublishedStep, divergence
from tests.benchmarks.rivals import PlainUNet
from tests.benchmarks.work import (
    forward_cost,
    inference_cost,
    published_step_cost,
    saliency_cost,
    step_cost,
)

SIZE = 64


def pair() -> tuple[PublishedMultiMix, MultiMix]:
    """The published network and ours, with the same weights."""
    torch.manual_seed(0)
    published, ours = PublishedMultiMix(), MultiMix()
    state = dict(zip(ours.state_dict(), published.state_dict().values(), strict=True))
    ours.load_state_dict(state)
    return published.eval(), ours.eval()


def images(n: int = 3) -> Tensor:
    return torch.rand(n, 1, SIZE, SIZE)


def multiply_adds(work: Callable[[], object]) -> float:
    """Of the convolutions that ran."""
    with FlopCounterMode(display=False) as counter:
        work()
    kinds = counter.get_flop_counts()["Global"]
    return sum(flops for kind, flops in kinds.items() if "conv" in str(kind)) / 2


def test_both_have_the_published_number_of_parameters() -> None:
    for network in pair():
        assert sum(p.numel() for p in network.parameters()) == 1_965_173


def test_classes_and_saliency_of_both_agree_in_evaluation() -> None:
    """In double precision: rounding moves signs and maxima, and with them whole gradients."""
    published, ours = (network.double() for network in pair())
    x = images().double()
    _, classes, saliency = published(x)
    out = ours(x)
    assert torch.allclose(out.class_logits, classes, atol=1e-9)
    assert (out.saliency - saliency).abs().max() <= 1e-9 * saliency.max()


def test_the_masks_of_both_agree_where_neither_bridge_nor_corners_differ() -> None:
    published, ours = pair()
    published.decoder.up.align_corners = False
    x = images()
    bridge = F.avg_pool2d(torch.cat([x, published.saliency(x)], dim=1), 8)
    features, _ = published.encoder(x)
    assert torch.allclose(ours(x).seg_logits, published.decoder(features, [bridge]), atol=1e-4)


def test_the_published_forward_leaves_no_gradient_and_its_mode() -> None:
    published, _ = pair()
    published.train()(images())
    assert published.encoder.training
    assert all(p.grad is None or not p.grad.any() for p in published.parameters())


def test_the_published_step_teaches_every_weight_that_is_called() -> None:
    torch.manual_seed(0)
    step = PublishedStep()
    before = [p.clone() for p in step.network.parameters()]
    step(drawn_batch(sizes=even(2), size=SIZE))
    for (name, now), then in zip(step.network.named_parameters(), before, strict=True):
        assert torch.equal(now, then) == name.startswith("uncalled_head"), name


def test_the_published_divergence_and_its_gradient_are_0() -> None:
    p, q = torch.randn(2, 3, 1, 8, 8, requires_grad=True).unbind()
    p.retain_grad()
    loss = divergence(p, q)
    loss.backward()
    assert loss == 0 and p.grad is not None and not p.grad.any()


def test_the_plain_unet_has_the_published_widths_and_a_mask() -> None:
    network = PlainUNet()
    published = PublishedMultiMix()
    bridge = 2 * 9 * 128
    unused = [*published.encoder.classifier.parameters(), *published.uncalled_head.parameters()]
    expected = 1_965_173 - bridge - sum(p.numel() for p in unused)
    assert sum(p.numel() for p in network.parameters()) == expected
    assert network(images(2)).shape == (2, 1, SIZE, SIZE)


def head(n: int) -> int:
    """Multiply-adds of the last 1x1 convolution, which the counts leave out."""
    return 16 * SIZE**2 * n


def test_inference_is_counted_as_it_runs() -> None:
    _, ours = pair()
    x = images(1)
    with torch.inference_mode():
        assert multiply_adds(lambda: ours(x)) == pytest.approx(
            inference_cost(SIZE).multiply_adds + head(1)
        )
        assert multiply_adds(lambda: ours.encoder(x)) == forward_cost(SIZE, "encoder").multiply_adds


def test_the_design_counts_alike() -> None:
    assert forward_cost(256, "encoder").multiply_adds == pytest.approx(1.07e9, rel=0.01)
    assert saliency_cost(256).multiply_adds == forward_cost(256, "encoder").multiply_adds
    assert forward_cost(256, "decoder").multiply_adds == pytest.approx(2.42e9, rel=0.01)


@pytest.mark.parametrize("recipe", ["paper", "default"])
def test_a_step_is_counted_as_it_runs(recipe: str) -> None:
    sizes = {"mask_labelled": 2, "mask_unlabelled": 1, "label_labelled": 2, "label_unlabelled": 2}
    step = step_on(drawn_batch(sizes=sizes, size=SIZE), recipe=recipe, amp=False)
    counted = step_cost(SIZE, sizes=sizes, recipe=recipe).multiply_adds
    assert multiply_adds(step) == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize("all_masks", [True, False])
def test_the_published_step_is_counted_as_it_runs(all_masks: bool) -> None:
    step, batch = PublishedStep(all_masks=all_masks), drawn_batch(sizes=even(2), size=SIZE)
    counted = published_step_cost(SIZE, batch=2, all_masks=all_masks).multiply_adds
    assert multiply_adds(lambda: step(batch)) == pytest.approx(counted, rel=0.01)


def test_by_multiplications_alone_a_step_takes_half_of_the_published_one() -> None:
    ours = step_cost(256, sizes=even(10), recipe="paper")
    ratio = published_step_cost(256, batch=10).multiply_adds / ours.multiply_adds
    assert ratio == pytest.approx(2.1, abs=0.05)
