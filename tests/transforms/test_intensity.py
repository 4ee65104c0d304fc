import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageOps

from multimix_monai.transforms import RandIntensityd, intensity


@pytest.fixture
def grey() -> np.ndarray:
    """uint8 (48, 48) with a skewed histogram between 20 and 220."""
    return (20 + 200 * np.random.RandomState(0).beta(2, 4, size=(48, 48))).astype(np.uint8)


def _tensor(grey: np.ndarray | Image.Image) -> torch.Tensor:
    return torch.tensor(np.asarray(grey) / 255, dtype=torch.float32)[None, None]


@pytest.mark.parametrize(
    ("ours", "pillow"),
    [
        (intensity.autocontrast, ImageOps.autocontrast),
        (intensity.equalize, ImageOps.equalize),
        (lambda x: intensity.posterize(x, 5), lambda x: ImageOps.posterize(x, 5)),
        (lambda x: intensity.solarize(x, 0.5), lambda x: ImageOps.solarize(x, 128)),
        (lambda x: intensity.brightness(x, 0.4), lambda x: ImageEnhance.Brightness(x).enhance(0.4)),
        (lambda x: intensity.contrast(x, 0.4), lambda x: ImageEnhance.Contrast(x).enhance(0.4)),
        (lambda x: intensity.contrast(x, 1.8), lambda x: ImageEnhance.Contrast(x).enhance(1.8)),
    ],
)
def test_an_operation_agrees_with_pillows(ours, pillow, grey: np.ndarray) -> None:
    expected = _tensor(pillow(Image.fromarray(grey)))
    assert (ours(_tensor(grey)) - expected).abs().max() < 4 / 255  # Pillow rounds to integers


def test_sharpness_blurs_below_1_and_sharpens_above(grey: np.ndarray) -> None:
    image = _tensor(grey)
    assert torch.allclose(intensity.sharpness(image, 1.0), image, atol=1e-6)
    assert intensity.sharpness(image, 0.1).std() < 0.6 * image.std()
    assert intensity.sharpness(image, 1.5).std() > image.std()


def test_flat_images_pass_every_operation() -> None:
    flat = torch.full((2, 1, 32, 32), 0.3)
    assert torch.equal(intensity.autocontrast(flat), flat)
    assert intensity.equalize(flat).isfinite().all()


def test_blurring_is_the_mean_of_a_window_without_padding() -> None:
    images = torch.rand(2, 1, 256, 256)
    mean = F.avg_pool2d(images, 5, stride=1, padding=2, count_include_pad=False)
    assert torch.allclose(intensity.sharpness(images, 0.0), mean, atol=1e-6)


def test_an_operation_on_a_batch_is_that_on_each_image() -> None:
    images = torch.rand(3, 1, 32, 32) * torch.tensor([1.0, 0.5, 0.2]).view(3, 1, 1, 1)
    amounts = torch.tensor([0.3, 0.6, 0.9]).view(3, 1, 1, 1)
    for name in ("brightness", "gamma", "contrast", "solarize", "sharpness"):
        function = getattr(intensity, name)
        alone = [function(x[None], float(a)) for x, a in zip(images, amounts, strict=True)]
        assert torch.allclose(function(images, amounts), torch.cat(alone), atol=1e-6), name
    for name in ("autocontrast", "equalize"):
        function = getattr(intensity, name)
        assert torch.equal(function(images), torch.cat([function(x[None]) for x in images])), name
    bits = torch.tensor([4.0, 6, 8]).view(3, 1, 1, 1)
    alone = [intensity.posterize(x[None], b) for x, b in zip(images, (4, 6, 8), strict=True)]
    assert torch.allclose(intensity.posterize(images, bits), torch.cat(alone), atol=1e-6)


def test_gamma_is_a_power_and_leaves_black_and_white() -> None:
    images = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    changed = intensity.gamma(images, 0.7)
    assert torch.allclose(changed, images**0.7, atol=1e-6)
    assert (changed[..., 0] == 0).all() and (changed[..., -1] == 1).all()


def test_the_tone_curve_passes_through_its_points() -> None:
    levels = torch.tensor([[0.0, 0.1, 0.7, 1.0], [0.0, 0.5, 0.5, 1.0]])
    images = torch.tensor([0.0, 1 / 3, 0.5, 1.0]).expand(2, 1, 1, 4)
    mapped = intensity.shift_histogram(images, levels)
    expected = torch.tensor([[0.0, 0.1, 0.4, 1.0], [0.0, 0.5, 0.5, 1.0]])
    assert torch.allclose(mapped[:, 0, 0], expected, atol=1e-6)


def test_uneven_exposure_multiplies_by_the_field() -> None:
    images = torch.full((2, 1, 32, 32), 0.5)
    field = torch.tensor([1.2, 0.8]).log().view(2, 1, 1).expand(2, 3, 3)
    changed = intensity.bias_field(images, field)
    assert torch.allclose(changed[0], torch.tensor(0.6))
    assert torch.allclose(changed[1], torch.tensor(0.4))


def test_an_opacity_veils_its_place_and_leaves_the_rest() -> None:
    image = torch.full((1, 1, 100, 100), 0.4)
    image[..., 30, 50], image[..., 90, 50] = 0.2, 0.2  # a rib to lose, and one to keep
    veiled = intensity.opacity(image, torch.tensor([[0.505, 0.305, 0.1, 0.8]]))
    assert veiled[0, 0, 30, 50] == pytest.approx(0.2 + 0.8 * 0.8, abs=1e-4)
    assert veiled[0, 0, 30, 51] - veiled[0, 0, 30, 50] == pytest.approx(0.2 * 0.2, abs=5e-3)
    assert torch.allclose(veiled[0, 0, 90], image[0, 0, 90], atol=1e-6)


def test_no_image_is_veiled_unless_that_was_asked_for() -> None:
    image = torch.rand(40, 1, 32, 32)
    for most in (0.0, 0.9):
        view = RandIntensityd(prob=1.0, opacity=most).set_random_state(seed=0)
        view({"image": image})
        assert ("opacity" in view.amounts) == (most > 0)
    assert view.amounts["opacity"][:, 3].max() <= 0.9


def test_noise_has_the_standard_deviation_that_was_asked_for() -> None:
    images = torch.full((2, 1, 64, 64), 0.5)
    noisy = intensity.noise(images, torch.tensor([0.01, 0.05]).view(2, 1, 1, 1), seed=0)
    assert noisy[0].std() == pytest.approx(0.01, rel=0.05)
    assert noisy[1].std() == pytest.approx(0.05, rel=0.05)


def ramps(n: int) -> torch.Tensor:
    return torch.linspace(0, 1, 64).expand(n, 1, 64, 64).clone()


def test_views_stay_in_range_and_dense_tissue_stays_bright() -> None:
    images = ramps(40)
    views = RandIntensityd(prob=0.6).set_random_state(seed=0)({"image": images})["image"]
    assert views.min() >= 0 and views.max() <= 1
    for view, image in zip(views, images, strict=True):
        assert np.corrcoef(view.flatten(), image.flatten())[0, 1] > 0.7
    assert (views != images).flatten(1).any(1).sum() > 35


def test_each_change_has_the_probability_that_was_asked_for() -> None:
    view = RandIntensityd(prob=0.3).set_random_state(seed=0)
    view.randomize(600)
    assert len(view.taken) == len(view.amounts) == 7
    assert all(0.24 < taken.mean() < 0.36 for taken in view.taken.values())


def test_every_amount_stays_within_its_largest() -> None:
    view = RandIntensityd(gamma=1.5, contrast=0.2, brightness=0.1, sharpness=0.7, noise=0.03)
    view.set_random_state(seed=0).randomize(2000)
    spans = {name: (amount.min(), amount.max()) for name, amount in view.amounts.items()}
    for name, low, high in (
        ("gamma", 1 / 1.5, 1.5),
        ("contrast", 0.8, 1.2),
        ("brightness", 0.9, 1.1),
        ("sharpness", 0.3, 1.7),
        ("noise", 0.0, 0.03),
        ("bias_field", -0.3, 0.3),
        ("shift_histogram", 0.0, 1.0),
    ):
        assert spans[name] == pytest.approx((low, high), abs=0.01 * (high - low)), name
    levels = view.amounts["shift_histogram"]
    assert (np.diff(levels) >= 0).all()
    assert np.abs(levels - np.linspace(0, 1, levels.shape[1])).max() <= 0.08 + 1e-9


NONE = {"gamma": 1.0} | dict.fromkeys(
    ("tone", "contrast", "brightness", "bias", "sharpness", "noise"), 0.0
)


@pytest.mark.parametrize("name", NONE)
def test_a_change_is_as_large_as_its_own_argument_says(name: str) -> None:
    images = torch.rand(4, 1, 32, 32)
    none, some = (
        RandIntensityd(prob=1, **settings).set_random_state(seed=0)({"image": images})["image"]
        for settings in (NONE, NONE | {name: NONE[name] + 0.2})
    )
    assert torch.allclose(none, images, atol=1e-5)
    assert all((some != none).flatten(1).any(1))
    assert not torch.allclose(some, images, atol=1e-3)


def test_noise_is_drawn_anew_every_time() -> None:
    images = torch.full((4, 1, 64, 64), 0.5)
    view = RandIntensityd(prob=1, **(NONE | {"noise": 0.05})).set_random_state(seed=0)
    first, second = (view({"image": images})["image"] for _ in range(2))
    noise = torch.cat([first, second]).flatten(1) - 0.5
    assert noise.corrcoef().fill_diagonal_(0).abs().max() < 0.1


def test_an_image_changes_the_same_whatever_is_beside_it() -> None:
    images, others = torch.rand(2, 6, 1, 32, 32)
    others[2] = images[2]
    first, second = (
        RandIntensityd(prob=0.7).set_random_state(seed=0)({"image": batch})["image"]
        for batch in (images, others)
    )
    assert torch.equal(first[2], second[2])
    assert not torch.equal(first[2], images[2])


def test_the_same_seed_gives_the_same_view_and_the_input_is_left_as_it_was() -> None:
    image = torch.rand(2, 1, 32, 32)
    kept = image.clone()
    views = [
        RandIntensityd(prob=1).set_random_state(seed=seed)({"image": image})["image"]
        for seed in (5, 5, 6)
    ]
    assert torch.equal(views[0], views[1]) and not torch.equal(views[0], views[2])
    assert torch.equal(image, kept)
