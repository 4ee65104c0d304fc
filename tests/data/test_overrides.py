"""Overrides of a config: what would change nothing is refused."""

from __future__ import annotations

import pytest

from multimix_monai.data.overrides import refuse_unknown

CONFIG = {
    "image_size": 160,
    "batch_sizes": {"labelled": 8, "unlabelled": 4},
    "network": {"_target_": "Network", "widths": [16, 32]},
    "rules": {},
    "handlers": [{"_target_": "Log"}],
    "network_def": "@network",
}


@pytest.mark.parametrize(
    "name",
    [
        *("image_size", "batch_sizes#labelled", "batch_sizes::labelled", "network#dropout"),
        *("network#widths#1", "rules#area", "handlers#0#level", "network_def#dropout"),
    ],
)
def test_what_a_config_takes_passes(name: str) -> None:
    refuse_unknown([name], CONFIG, where="a.json")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("imagesize", "image_size"),
        ("batch_sizes#labeled", "batch_sizes#labelled"),
        ("batch_size#labelled", "batch_sizes"),
        *((name, None) for name in ("colour", "handlers#1", "handlers#first#level")),
    ],
)
def test_what_it_does_not_is_refused_with_the_name_most_like_it(
    name: str, meant: str | None
) -> None:
    with pytest.raises(ValueError, match=rf"^a\.json has no key {name}") as caught:
        refuse_unknown(["image_size", name], CONFIG, where="a.json")
    end = f": did you mean {meant}?" if meant else f"has no key {name}"
    assert str(caught.value).endswith(end)
