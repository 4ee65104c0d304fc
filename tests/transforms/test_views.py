import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from multimix_monai.transforms import StrongView, TwoViewsd, WeakView, labelled_view
from multimix_monai.transforms.views import GEOMETRIC, PHOTOMETRIC, apply_op


def blob(side: int = 64) -> torch.Tensor:
    """A lopsided thorax-like image (1, side, side) in [0, 1], 0 at its borders."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    body = (1 - (x**4 + y**4)).clamp(0, 1)
    left, right = (torch.exp(-8 * ((x - c) ** 2 + 0.3 * y**2)) for c in (-0.4, 0.5))
    return (body * (1 - 0.7 * left - 0.5 * right)).clamp(0, 1)[None]


def test_the_weak_view_only_flips_and_shifts_whole_pixels() -> None:
    image = torch.rand(1, 64, 64)
    shifts = []
    for seed in range(60):
        view = WeakView().set_random_state(seed=seed)
        out = view(image)
        right, down = (int(part * 64) for part in view.shift)
        source = image.flip(-1) if view.flip else image
        kept = source[:, max(-down, 0) : 64 - max(down, 0), max(-right, 0) : 64 - max(right, 0)]
        moved = out[:, max(down, 0) : 64 + min(down, 0), max(right, 0) : 64 + min(right, 0)]
        assert torch.equal(moved, kept)
        assert out.sum() == pytest.approx(kept.sum().item(), rel=1e-5), "what moves in is 0"
        shifts += [right, down]
    assert max(map(abs, shifts)) in (7, 8)


@pytest.mark.parametrize("geometric", [True, False])
def test_strong_views_stay_plain_in_range_and_draw_from_the_whole_set(geometric: bool) -> None:
    image = MetaTensor(blob())
    names = set()
    view = StrongView(geometric=geometric).set_random_state(seed=0)
    for _ in range(150):
        out = view(image)
        names |= {name for name, _ in view.ops}
        assert type(out) is torch.Tensor and out.shape == (1, 64, 64)
        assert out.min() >= 0 and out.max() <= 1
    assert names == set(PHOTOMETRIC) | (set(GEOMETRIC) if geometric else set())


def test_solarize_is_drawn_only_when_asked_for() -> None:
    assert "solarize" not in StrongView().ranges
    assert "solarize" in StrongView(solarize=True).ranges


def test_the_aligned_strong_view_keeps_the_order_of_grey_and_every_place() -> None:
    image = blob()
    for seed in range(60):
        two = TwoViewsd(strong=StrongView(geometric=False, cutout=0)).set_random_state(seed=seed)
        item = two({"image": image})
        weak, strong = item["image_weak"].numpy(), item["image_strong"].numpy()
        assert np.corrcoef(weak.flatten(), strong.flatten())[0, 1] > 0.6, two.strong.ops


@pytest.mark.parametrize("name", ["translate_x", "translate_y"])
def test_the_strong_view_shifts_farther_than_the_weak_one(name: str) -> None:
    low, high = GEOMETRIC[name]
    assert -low == high > WeakView().translate
    moved = apply_op(blob(), name, magnitude=0.25)
    axis = -1 if name == "translate_x" else -2
    assert torch.allclose(moved, torch.roll(blob(), 16, axis), atol=1e-3) is False
    assert torch.allclose(moved.narrow(axis, 16, 48), blob().narrow(axis, 0, 48), atol=1e-4)
    assert (moved.narrow(axis, 0, 15) == 0).all()


def test_the_strong_view_is_stronger_than_the_weak_one_it_starts_from() -> None:
    image = blob()
    for geometric in (True, False):
        two = TwoViewsd(geometric=geometric).set_random_state(seed=1)
        weak, strong = [], []
        for _ in range(100):
            item = two({"image": image})
            weak.append((item["image_weak"] - image).abs().mean())
            strong.append((item["image_strong"] - image).abs().mean())
        assert sum(strong) > 1.15 * sum(weak)


def test_one_case_gives_both_views_and_keeps_its_other_items() -> None:
    item = TwoViewsd()({"image": blob(), "label": 1, "case": "a"})
    assert set(item) == {"image_weak", "image_strong", "label", "case"}
    with pytest.raises(ValueError, match="exactly one image"):
        TwoViewsd(keys=("image", "mask"))


def _both(seed: int) -> torch.Tensor:
    item = TwoViewsd().set_random_state(seed=seed)({"image": blob()})
    return torch.cat([item["image_weak"], item["image_strong"]])


def _labelled(seed: int) -> torch.Tensor:
    item = {"image": blob(), "mask": (blob() > 0.4).float()}
    item = labelled_view().set_random_state(seed=seed)(item)
    return torch.cat([item["image"], item["mask"]])


@pytest.mark.parametrize("view", [_both, _labelled])
def test_the_same_seed_gives_the_same_views_and_another_seed_others(view) -> None:
    assert torch.equal(view(7), view(7))
    assert not torch.equal(view(7), view(8))


def test_the_views_of_one_seeded_transform_go_on_changing() -> None:
    two = TwoViewsd().set_random_state(seed=0)
    first, second = (two({"image": blob()}) for _ in range(2))
    assert not torch.equal(first["image_weak"], second["image_weak"])
    assert not torch.equal(first["image_strong"], second["image_strong"])


def test_views_are_built_from_a_config() -> None:
    room = "multimix_monai.transforms."
    parser = ConfigParser(
        {
            "two": {
                "_target_": room + "TwoViewsd",
                "strong": {"_target_": room + "StrongView", "geometric": False, "num_ops": 3},
            },
            "labelled": {
                "_target_": room + "labelled_view",
                "spatial": {"_target_": room + "RandSpatiald", "rotate_deg": 5},
            },
        }
    )
    assert parser.get_parsed_content("two").strong.num_ops == 3
    item = parser.get_parsed_content("labelled")({"image": blob(), "label": 0})
    assert type(item["image"]) is torch.Tensor


def test_views_of_real_radiographs_keep_them_readable(shared_data) -> None:
    from multimix_monai.transforms import preprocessing

    path = next((shared_data("montgomery") / "images").glob("*_0.png"))
    image = preprocessing(image_size=128)({"image": path})["image"]
    two = TwoViewsd().set_random_state(seed=0)
    for _ in range(20):
        item = two({"image": image})
        assert item["image_weak"].std() > 0.1
        assert item["image_strong"].std() > 0.01
