import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from multimix_monai.transforms import RandIntensityd, intensity


@pytest.fixture
def grey() -> np.ndarray:
    """uint8 (48, 48) with a skewed histogram between 20 and 220."""
    return (20 + 200 * np.random.RandomState(0).beta(2, 4, size=(48, 48))).astype(np.uint8)


def _tensor(grey: np.ndarray | Image.Image) -> torch.Tensor:
    return torch.tensor(np.asarray(grey) / 255, dtype=torch.float32)[None]


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
    flat = torch.full((1, 32, 32), 0.3)
    assert torch.equal(intensity.autocontrast(flat), flat)
    assert intensity.equalize(flat).isfinite().all()


def test_the_tone_curve_passes_through_its_points() -> None:
    levels = torch.tensor([0.0, 0.1, 0.7, 1.0])
    mapped = intensity.shift_histogram(torch.tensor([[[0.0, 1 / 3, 0.5, 1.0]]]), levels)
    assert torch.allclose(mapped, torch.tensor([[[0.0, 0.1, 0.4, 1.0]]]), atol=1e-6)


def test_uneven_exposure_multiplies_by_the_field() -> None:
    image = torch.full((1, 32, 32), 0.5)
    field = torch.full((3, 3), np.log(1.2), dtype=torch.float32)
    assert torch.allclose(intensity.bias_field(image, field), torch.tensor(0.6))


def test_views_stay_in_range_and_dense_tissue_stays_bright() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 64, 64).clone()
    changed = 0
    for seed in range(40):
        view = RandIntensityd(prob=0.6).set_random_state(seed=seed)({"image": ramp})["image"]
        assert view.min() >= 0 and view.max() <= 1
        assert np.corrcoef(view.flatten(), ramp.flatten())[0, 1] > 0.7
        changed += not torch.equal(view, ramp)
    assert changed > 35


def test_each_change_has_the_probability_that_was_asked_for() -> None:
    view = RandIntensityd(prob=0.3).set_random_state(seed=0)
    names: list[str] = []
    for _ in range(600):
        view.randomize()
        names += view.drawn
    counts = [names.count(name) / 600 for name in set(names)]
    assert len(counts) == 7
    assert all(0.24 < count < 0.36 for count in counts)


def test_the_same_seed_gives_the_same_view_and_the_input_is_left_as_it_was() -> None:
    image = torch.rand(1, 32, 32)
    kept = image.clone()
    views = [
        RandIntensityd(prob=1).set_random_state(seed=seed)({"image": image})["image"]
        for seed in (5, 5, 6)
    ]
    assert torch.equal(views[0], views[1]) and not torch.equal(views[0], views[2])
    assert torch.equal(image, kept)
