from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from multimix_monai.engines import PackingInferer
from multimix_monai.networks import MultiMix


class Witness(nn.Module):
    """Notes how it is called; a batch's threads wait for each other."""

    def __init__(self, together: int = 1) -> None:
        super().__init__()
        self.calls: list[tuple[int, int, bool, bool]] = []
        self.barrier = threading.Barrier(together, timeout=10)

    def forward(self, x: Tensor) -> Tensor:
        self.barrier.wait()
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        self.calls.append((len(x), torch.get_num_threads(), *modes))
        return x.expand(-1, 4, -1, -1)


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_a_new_thread(ask: Callable[[], int]) -> int:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(ask).result()


def test_each_core_takes_the_next_image_of_a_batch() -> None:
    network, x = Witness(together=2), torch.rand(6, 1, 8, 8)
    with torch.inference_mode():
        packed = PackingInferer()(x, network)
    assert network.calls == [(1, 1, False, True)] * 6
    assert torch.equal(packed, x.expand(-1, 4, -1, -1))
    assert torch.get_num_threads() == in_a_new_thread(torch.get_num_threads) == 2


def test_a_single_image_has_all_cores() -> None:
    network = Witness()
    with torch.inference_mode():
        PackingInferer()(torch.rand(1, 1, 8, 8), network)
    assert network.calls == [(1, 2, False, True)]


def test_a_batch_that_is_learnt_from_or_in_bf16_stays_one() -> None:
    network, x = Witness(), torch.rand(3, 1, 8, 8)
    PackingInferer()(x, network)
    with torch.no_grad():  # what compiles may do so here, which threads must not at once
        PackingInferer()(x, network)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        PackingInferer()(x, network)
    assert [call[:2] for call in network.calls] == [(3, 2)] * 3


def test_what_an_image_is_taken_for_does_not_hang_on_its_batch() -> None:
    torch.manual_seed(0)
    network, x = MultiMix(widths=(4, 4, 8, 8, 8)).eval(), torch.rand(5, 1, 64, 64)
    with torch.inference_mode():
        together, pair = (PackingInferer()(part, network) for part in (x, x[1:3]))
        plain = network(x)
    assert torch.equal(together[1:3], pair)
    torch.testing.assert_close(together[:, :1], plain.seg_logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together[:, 2:, 0, 0], plain.class_logits, atol=1e-4, rtol=1e-4)


def test_an_error_of_one_image_is_raised() -> None:
    class Refusing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if float(x.max()) == 7:
                raise ZeroDivisionError
            return x

    x = torch.rand(4, 1, 8, 8)
    x[2] = 7
    with torch.inference_mode(), pytest.raises(ZeroDivisionError):
        PackingInferer()(x, Refusing())
    assert torch.get_num_threads() == in_a_new_thread(torch.get_num_threads) == 2
