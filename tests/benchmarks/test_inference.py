"""How long a prediction takes: one image, and batches; the saliency's share; the ceilings."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.conftest import Effort
from tests.benchmarks.ours import by_inferer, forward_of, prediction, without_saliency
from tests.benchmarks.published import PublishedMultiMix
from tests.benchmarks.report import keep_figures
from tests.benchmarks.rivals import RIVALS, rival
from tests.benchmarks.timing import Work, race
from tests.benchmarks.work import Ceilings, inference_cost, keep_shares

OURS = "with saliency"
SAME_WAY = "plain U-Net, channels last, run as ours"
AIMS = {"plain U-Net": 1.25, SAME_WAY: 1.25}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def ways(images: torch.Tensor, *, autocast: bool) -> dict[str, Work]:
    """Ours and all that it is compared with, on the same images."""
    forwards = {
        OURS: prediction(autocast=autocast),
        "the same without saliency": without_saliency(autocast=autocast),
    }
    for name in RIVALS:
        forwards[name] = forward_of(rival(name), autocast=autocast)
    last = rival(RIVALS[0]).to(memory_format=torch.channels_last)
    forwards[SAME_WAY] = by_inferer(last, autocast=autocast)
    works: dict[str, Work] = {
        name: (lambda forward=forward: forward(images)) for name, forward in forwards.items()
    }
    published = PublishedMultiMix().eval()

    def as_published() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            published(images)

    return works | {"published": as_published}


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("batch", [1, 8, 32])
def test_a_prediction_against_other_networks(effort: Effort, batch: int, dtype: str) -> None:
    images = torch.rand(batch, 1, effort.size, effort.size)
    name = f"inference {dtype}, batch {batch}, {effort.size} px"
    works = ways(images, autocast=dtype == "bf16")
    results = race(
        name,
        works,
        versus={(OURS, other): AIMS.get(other) for other in works if other != OURS},
        pairs=effort.pairs if batch > 1 else 4 * effort.pairs,
    )
    published = results[OURS, "published"]
    keep_figures(f"images a second, {name}", ours=batch / published.ours_s)
    share = keep_shares(
        name,
        published.ours_s,
        cost=batch * inference_cost(effort.size),
        dtype=DTYPES[dtype],
        ceilings=Ceilings.measured(DTYPES[dtype], quick=effort.quick),
    )
    assert effort.quick or 0 < share < 1
    assert effort.quick or published.ratio < 1
