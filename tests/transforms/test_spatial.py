import math

import pytest
import torch
from monai.data import MetaTensor

from multimix_monai.transforms import RandSpatiald
from multimix_monai.transforms.spatial import Geometry, warp


def _block(side: int = 64, rows: slice = slice(20, 30), columns: slice = slice(40, 56)):
    image = torch.zeros(1, side, side)
    image[:, rows, columns] = 1
    return image


def _centre(image: torch.Tensor) -> tuple[float, float]:
    """Row and column of the centre of mass, from the middle of the image."""
    places = torch.arange(image.shape[-1]) + 0.5 - image.shape[-1] / 2
    total = image.sum()
    rows = (image[0].sum(1) * places).sum() / total
    return rows.item(), ((image[0].sum(0) * places).sum() / total).item()


def test_no_change_is_the_identity() -> None:
    image = torch.rand(2, 33, 33)
    assert torch.allclose(warp(image, Geometry().matrix()), image, atol=1e-5)


def test_a_shift_goes_right_and_down_by_its_fraction() -> None:
    moved = warp(_block(), Geometry(translate_x=-0.25, translate_y=0.125).matrix())
    expected = _block(rows=slice(28, 38), columns=slice(24, 40))
    assert torch.allclose(moved, expected, atol=1e-4)


def test_a_flip_is_exact_and_comes_before_the_shift() -> None:
    moved = warp(_block(), Geometry(flip=True, translate_x=0.125).matrix())
    expected = torch.roll(_block().flip(-1), 8, dims=-1)
    assert torch.allclose(moved, expected, atol=1e-4)


def test_a_rotation_turns_anticlockwise_by_its_angle() -> None:
    row, column = _centre(_block())
    turned_row, turned_column = _centre(warp(_block(), Geometry(rotate_deg=20).matrix()))
    before, after = math.atan2(-row, column), math.atan2(-turned_row, turned_column)
    assert math.degrees(after - before) == pytest.approx(20, abs=0.1)


def test_zoom_and_aspect_change_the_size_as_they_say() -> None:
    image = _block(128, slice(54, 74), slice(54, 74))
    moved = warp(image, Geometry(zoom=1.5, aspect=1.44).matrix())
    assert moved.sum().item() == pytest.approx(400 * 1.5**2, rel=0.01)
    assert moved[0, 64].sum().item() == pytest.approx(20 * 1.5 * 1.2, rel=0.01)


def test_shears_slant_the_axis_of_their_name() -> None:
    image = _block(64, slice(0, 64), slice(31, 33))
    sheared = warp(image, Geometry(shear_x=0.2).matrix())
    top, bottom = sheared[0, 8].argmax().item(), sheared[0, 56].argmax().item()
    assert abs(top - bottom) == pytest.approx(0.2 * 48, abs=1.5)
    slanted = warp(image.transpose(1, 2), Geometry(shear_y=0.2).matrix())
    assert torch.allclose(slanted.transpose(1, 2), sheared, atol=1e-4)


def test_image_and_mask_move_together_and_the_mask_stays_binary() -> None:
    mask = _block()
    for seed in range(8):
        view = RandSpatiald(elastic_prob=1).set_random_state(seed=seed)
        item = view({"image": mask.clone(), "mask": mask.clone()})
        assert set(item["mask"].unique().tolist()) <= {0, 1}
        assert torch.equal(item["mask"], (item["image"] >= 0.5).float())


def test_metatensors_become_plain_and_what_is_missing_is_passed_over() -> None:
    given = MetaTensor(torch.rand(1, 32, 32))
    item = RandSpatiald()({"image": given, "label": 1})
    assert type(item["image"]) is torch.Tensor
    assert item["image"].dtype == torch.float32
    assert set(item) == {"image", "label"}


def test_the_same_seed_gives_the_same_view_and_another_seed_another() -> None:
    image = torch.rand(1, 48, 48)
    views = [
        RandSpatiald().set_random_state(seed=seed)({"image": image})["image"] for seed in (3, 3, 4)
    ]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_bending_moves_pixels_by_about_its_strength() -> None:
    columns = ((torch.arange(96) + 0.5) / 96).expand(1, 96, 96).clone()
    moved = []
    for seed in range(20):
        view = RandSpatiald(prob=0, flip_prob=0, elastic_prob=1, elastic=0.02)
        bent = view.set_random_state(seed=seed)({"image": columns})["image"]
        moved.append((bent - columns)[0, 24:72, 24:72])
    assert 0.01 < torch.stack(moved).std() < 0.03


def test_with_all_probabilities_0_nothing_changes() -> None:
    image = torch.rand(1, 32, 32)
    view = RandSpatiald(prob=0, flip_prob=0, elastic_prob=0)
    assert torch.equal(view({"image": image})["image"], image)


def test_an_image_that_is_not_preprocessed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 40, 32\): put `preprocessing` before it"):
        RandSpatiald()({"image": torch.rand(1, 40, 32)})
