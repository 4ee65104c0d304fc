"""The teacher: a mean of past weights, or the network itself."""

import pytest
import torch
from torch import nn

from multimix_monai.engines import Teacher
from multimix_monai.engines.teacher import ema_decay
from multimix_monai.networks import MultiMix


class Scalar(nn.Module):
    """One weight."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))


def tiny() -> MultiMix:
    torch.manual_seed(0)
    return MultiMix(widths=(2, 4, 4, 8, 8))


def test_the_mean_by_hand() -> None:
    live = Scalar(1.0)
    teacher = Teacher(live, decay=0.15)
    expected = 1.0
    for step, value in enumerate([3.0, 5.0, -2.0], start=1):
        live.weight.data.fill_(value)
        teacher.update(step)
        decay = min(0.15, step / (step + 10))
        expected = decay * expected + (1 - decay) * value
        assert float(teacher.network.weight) == pytest.approx(expected)
    assert float(live.weight.detach()) == -2.0


@pytest.mark.parametrize(("step", "expected"), [(1, 1 / 11), (10, 0.5), (990, 0.99), (10**6, 0.99)])
def test_the_start_is_soon_forgotten(step: int, expected: float) -> None:
    assert ema_decay(step, decay=0.99) == pytest.approx(expected)


def test_without_decay_the_teacher_is_the_live_network() -> None:
    network = tiny()
    teacher = Teacher(network)
    assert teacher.network is network
    before = network.encoder.classifier.weight.clone()
    teacher.update(1)
    assert torch.equal(network.encoder.classifier.weight, before)
    assert teacher.state_dict() == {}


def test_the_mean_is_apart_from_the_network_and_learns_nothing() -> None:
    network = tiny()
    teacher = Teacher(network, decay=0.9)
    assert teacher.network is not network
    assert not any(p.requires_grad for p in teacher.network.parameters())
    assert any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("decay", [0.0, 0.9])
@pytest.mark.parametrize("training", [True, False])
def test_a_prediction_has_no_gradient_no_dropout_and_leaves_the_mode(
    decay: float, training: bool
) -> None:
    network = tiny().train(training)
    teacher = Teacher(network, decay=decay)
    x = torch.rand(2, 1, 32, 32)
    first, second = teacher.predict(x), teacher.predict(x)
    assert teacher.network.training == training and network.training == training
    assert teacher.network.encoder.blocks[0].training == training
    assert not first.seg_logits.requires_grad and not first.class_logits.requires_grad
    assert torch.equal(first.seg_logits, second.seg_logits)
    assert torch.equal(first.class_logits, network.eval()(x).class_logits)
    assert all(p.grad is None for p in network.parameters())
    assert teacher.predict(x, decode_first=1).seg_logits.shape[0] == 1


def test_a_mean_goes_on_from_its_state() -> None:
    network = tiny()
    teacher = Teacher(network, decay=0.5)
    for p in teacher.network.parameters():
        p.add_(1.0)
    other = Teacher(tiny(), decay=0.5)
    other.load_state_dict(teacher.state_dict())
    for a, b in zip(other.network.parameters(), teacher.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_mean_that_was_not_saved_begins_with_the_live_weights() -> None:
    network = tiny()
    teacher = Teacher(network, decay=0.5)
    with torch.no_grad():
        network.encoder.classifier.weight.add_(1.0)
    teacher.load_state_dict({})
    assert torch.equal(teacher.network.encoder.classifier.weight, network.encoder.classifier.weight)


def test_a_wrapped_network_is_taken_out_of_its_wrapper() -> None:
    network = tiny()
    assert Teacher(nn.DataParallel(network)).network is network


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=rf"ema_decay is {decay}; it must lie in \[0, 1\)"):
        Teacher(Scalar(1.0), decay=decay)
