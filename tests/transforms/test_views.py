import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from multimix_monai.transforms import StrongView, TwoViewsd, WeakView, intensity, labelled_view
from multimix_monai.transforms.views import GEOMETRIC, PHOTOMETRIC, apply_ops


def blob(n: int = 1, side: int = 64) -> torch.Tensor:
    """A lopsided thorax-like image, n times (n, 1, side, side), in [0, 1], 0 at its borders."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    body = (1 - (x**4 + y**4)).clamp(0, 1)
    left, right = (torch.exp(-8 * ((x - c) ** 2 + 0.3 * y**2)) for c in (-0.4, 0.5))
    return (body * (1 - 0.7 * left - 0.5 * right)).clamp(0, 1).expand(n, 1, side, side).clone()


@pytest.mark.parametrize("side", [64, 160])
def test_the_weak_view_only_flips_and_shifts_whole_pixels(side: int) -> None:
    images = torch.rand(60, 1, side, side)
    view = WeakView().set_random_state(seed=0)
    views = view(images)
    shifts = np.trunc(view.shift * side).astype(int)
    for image, out, flip, (right, down) in zip(images, views, view.flip, shifts.T, strict=True):
        source = image.flip(-1) if flip else image
        low, high = (max(-down, 0), side - max(down, 0)), (max(down, 0), side + min(down, 0))
        kept = source[:, slice(*low), max(-right, 0) : side - max(right, 0)]
        moved = out[:, slice(*high), max(right, 0) : side + min(right, 0)]
        assert torch.equal(moved, kept)
        assert out.sum() == pytest.approx(kept.sum().item(), rel=1e-5), "what moves in is 0"
    assert abs(shifts).max() in (side // 8 - 1, side // 8)
    assert 0.3 < view.flip.mean() < 0.7


@pytest.mark.parametrize("geometric", [True, False])
def test_strong_views_stay_plain_in_range_and_draw_from_the_whole_set(geometric: bool) -> None:
    view = StrongView(geometric=geometric).set_random_state(seed=0)
    out = view(MetaTensor(blob(150)))
    assert type(out) is torch.Tensor and out.shape == (150, 1, 64, 64)
    assert out.min() >= 0 and out.max() <= 1
    names, counts = np.unique(view.ops, return_counts=True)
    assert set(names) == set(PHOTOMETRIC) | (set(GEOMETRIC) if geometric else set())
    assert view.ops.shape == (2, 150) and counts.min() > 0.5 * counts.mean()


def test_magnitudes_stay_in_their_ranges() -> None:
    view = StrongView(solarize=True).set_random_state(seed=0)
    view.randomize((3000, 64))
    for name, limits in view.ranges.items():
        drawn = view.magnitudes[view.ops == name]
        low, high = limits or (0, 0)
        assert (drawn.min(), drawn.max()) == pytest.approx((low, high), abs=0.02 * (high - low))


def test_solarize_is_drawn_only_when_asked_for() -> None:
    assert "solarize" not in StrongView().ranges
    assert "solarize" in StrongView(solarize=True).ranges


def test_the_aligned_strong_view_keeps_the_order_of_grey_and_every_place() -> None:
    two = TwoViewsd(strong=StrongView(geometric=False, cutout=0)).set_random_state(seed=0)
    item = two({"image": blob(60)})
    pairs = zip(item["image_weak"].numpy(), item["image_strong"].numpy(), strict=True)
    for n, (weak, strong) in enumerate(pairs):
        assert np.corrcoef(weak.flatten(), strong.flatten())[0, 1] > 0.6, two.strong.ops[:, n]


@pytest.mark.parametrize("name", ["translate_x", "translate_y"])
def test_the_strong_view_shifts_farther_than_the_weak_one(name: str) -> None:
    low, high = GEOMETRIC[name]
    assert -low == high > WeakView().translate
    moved = blob(2)
    apply_ops(moved, np.array([name, "identity"]), magnitudes=np.array([0.25, 0]))
    axis = -1 if name == "translate_x" else -2
    assert torch.allclose(moved[:1].narrow(axis, 16, 48), blob().narrow(axis, 0, 48), atol=1e-4)
    assert (moved[:1].narrow(axis, 0, 15) == 0).all()
    assert torch.equal(moved[1:], blob())


def test_each_image_gets_its_own_operation_and_magnitude() -> None:
    names = np.array(["contrast", "equalize", "contrast_gain", "posterize", "rotate_deg"] * 2)
    magnitudes = np.array([0.3, 0, 1.4, 5.4, 20, 0.9, 0, 1.1, 4, -10])
    images = torch.rand(10, 1, 64, 64)
    together, alone = images.clone(), images.clone()
    apply_ops(together, names, magnitudes=magnitudes)
    for n in range(10):
        one = slice(n, n + 1)
        apply_ops(alone[one], names[one], magnitudes=magnitudes[one])
    assert torch.allclose(together, alone, atol=1e-6)
    assert torch.equal(together[3], intensity.posterize(images[3:4], 5)[0])


def test_the_strong_view_is_stronger_than_the_weak_one_it_starts_from() -> None:
    image = blob(100)
    for geometric in (True, False):
        item = TwoViewsd(geometric=geometric).set_random_state(seed=1)({"image": image})
        weak, strong = ((item[key] - image).abs().mean() for key in ("image_weak", "image_strong"))
        assert strong > 1.15 * weak


def test_a_view_does_not_depend_on_what_is_beside_it() -> None:
    images, others = torch.rand(2, 12, 1, 64, 64)
    others[5] = images[5]
    first, second = (TwoViewsd().set_random_state(seed=3)({"image": x}) for x in (images, others))
    for key in ("image_weak", "image_strong"):
        assert torch.equal(first[key][5], second[key][5])
        assert not torch.equal(first[key][4], second[key][4])


def test_one_case_gives_both_views_and_keeps_its_other_items() -> None:
    item = TwoViewsd()({"image": blob(2), "label": [1, 0], "case": ["a", "b"]})
    assert set(item) == {"image_weak", "image_strong", "label", "case"}
    with pytest.raises(ValueError, match="exactly one image"):
        TwoViewsd(keys=("image", "mask"))


def _both(seed: int) -> torch.Tensor:
    item = TwoViewsd().set_random_state(seed=seed)({"image": blob(2)})
    return torch.cat([item["image_weak"], item["image_strong"]])


def _labelled(seed: int) -> torch.Tensor:
    item = {"image": blob(2), "mask": (blob(2) > 0.4).float()}
    item = labelled_view().set_random_state(seed=seed)(item)
    return torch.cat([item["image"], item["mask"]])


@pytest.mark.parametrize("view", [_both, _labelled])
def test_the_same_seed_gives_the_same_views_and_another_seed_others(view) -> None:
    assert torch.equal(view(7), view(7))
    assert not torch.equal(view(7), view(8))


def test_the_views_of_one_seeded_transform_go_on_changing() -> None:
    two = TwoViewsd().set_random_state(seed=0)
    first, second = (two({"image": blob(2)}) for _ in range(2))
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
    item = parser.get_parsed_content("labelled")({"image": blob(2), "label": [0, 1]})
    assert type(item["image"]) is torch.Tensor


def test_views_of_real_radiographs_keep_them_readable(shared_data) -> None:
    from multimix_monai.transforms import preprocessing

    path = next((shared_data("montgomery") / "images").glob("*_0.png"))
    image = preprocessing(image_size=128)({"image": path})["image"]
    item = TwoViewsd().set_random_state(seed=0)({"image": image.expand(20, 1, 128, 128)})
    assert (item["image_weak"].std(dim=(1, 2, 3)) > 0.1).all()
    assert (item["image_strong"].std(dim=(1, 2, 3)) > 0.01).all()
