import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.data import MetaTensor

from multimix_monai.transforms import RandSpatiald
from multimix_monai.transforms.spatial import Geometry, places, read_at


def warp(images: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    matrix = torch.as_tensor(geometry.matrix(), dtype=torch.float32).expand(len(images), 2, 3)
    return read_at(images, places(images, matrix))


def _block(side: int = 64, rows: slice = slice(20, 30), columns: slice = slice(40, 56)):
    images = torch.zeros(1, 1, side, side)
    images[..., rows, columns] = 1
    return images


def _centre(images: torch.Tensor) -> tuple[float, float]:
    """Row and column of the first one's centre of mass, from the middle of the image."""
    place = torch.arange(images.shape[-1]) + 0.5 - images.shape[-1] / 2
    plane = images[0, 0]
    total = plane.sum()
    return (plane.sum(1) @ place / total).item(), (plane.sum(0) @ place / total).item()


def test_no_change_is_the_identity() -> None:
    image = torch.rand(2, 1, 33, 33)
    assert torch.allclose(warp(image, Geometry()), image, atol=1e-5)


def test_a_shift_goes_right_and_down_by_its_fraction() -> None:
    moved = warp(_block(), Geometry(translate_x=-0.25, translate_y=0.125))
    expected = _block(rows=slice(28, 38), columns=slice(24, 40))
    assert torch.allclose(moved, expected, atol=1e-4)


def test_a_flip_is_exact_and_comes_before_the_shift() -> None:
    moved = warp(_block(), Geometry(flip=True, translate_x=0.125))
    expected = torch.roll(_block().flip(-1), 8, dims=-1)
    assert torch.allclose(moved, expected, atol=1e-4)


def test_a_rotation_turns_anticlockwise_by_its_angle() -> None:
    row, column = _centre(_block())
    turned_row, turned_column = _centre(warp(_block(), Geometry(rotate_deg=20)))
    before, after = math.atan2(-row, column), math.atan2(-turned_row, turned_column)
    assert math.degrees(after - before) == pytest.approx(20, abs=0.1)


def test_zoom_and_aspect_change_the_size_as_they_say() -> None:
    image = _block(128, slice(54, 74), slice(54, 74))
    moved = warp(image, Geometry(zoom=1.5, aspect=1.44))
    assert moved.sum().item() == pytest.approx(400 * 1.5**2, rel=0.01)
    assert moved[0, 0, 64].sum().item() == pytest.approx(20 * 1.5 * 1.2, rel=0.01)


def test_shears_slant_the_axis_of_their_name() -> None:
    image = _block(64, slice(0, 64), slice(31, 33))
    sheared = warp(image, Geometry(shear_x=0.2))
    top, bottom = (sheared[0, 0, row].argmax().item() for row in (8, 56))
    assert abs(top - bottom) == pytest.approx(0.2 * 48, abs=1.5)
    slanted = warp(image.transpose(2, 3), Geometry(shear_y=0.2))
    assert torch.allclose(slanted.transpose(2, 3), sheared, atol=1e-4)


def test_each_image_has_its_own_geometry() -> None:
    images = _block().repeat(3, 1, 1, 1)
    angles, shifts = np.array([20.0, 0, 0]), np.array([0, 0.25, 0])
    moved = warp(images, Geometry(rotate_deg=angles, translate_x=-shifts))
    for one, angle, shift in zip(moved, angles, shifts, strict=True):
        alone = warp(_block(), Geometry(rotate_deg=float(angle), translate_x=-float(shift)))
        assert torch.allclose(one, alone[0], atol=1e-6)


def test_places_are_those_of_torchs_affine_grid() -> None:
    geometry = Geometry(rotate_deg=np.array([10.0, -5]), zoom=1.2, shear_x=0.1, translate_y=0.2)
    matrix = torch.as_tensor(geometry.matrix(), dtype=torch.float32)
    expected = F.affine_grid(matrix, [2, 1, 30, 30], align_corners=False)
    assert torch.allclose(places(torch.rand(2, 1, 30, 30), matrix), expected, atol=1e-5)


def test_image_and_mask_move_together_and_the_mask_stays_binary() -> None:
    mask = _block().repeat(8, 1, 1, 1)
    view = RandSpatiald(elastic_prob=1).set_random_state(seed=0)
    item = view({"image": mask.clone(), "mask": mask.clone()})
    assert set(item["mask"].unique().tolist()) == {0, 1}
    assert torch.equal(item["mask"], (item["image"] >= 0.5).float())
    centres = {_centre(one[None]) for one in item["mask"]}
    assert len(centres) == 8, "and every case moves on its own"


def test_what_moves_into_the_image_is_grey_or_white_and_no_lung() -> None:
    ones = torch.ones(200, 1, 32, 32)
    settings = {"prob": 1, "flip_prob": 0, "zoom": 0, "translate": 0.2, "elastic_prob": 0}
    view = RandSpatiald(border_prob=0.5, **settings).set_random_state(seed=0)
    item = view({"image": ones * 0.5, "mask": ones})
    outside = item["mask"] == 0
    inside = F.avg_pool2d(item["mask"], 3, 1, 1) == 1
    torch.testing.assert_close(item["image"][inside], torch.full_like(item["image"][inside], 0.5))
    greys = [image[out].median().item() for image, out in zip(item["image"], outside, strict=True)]
    black, white = (np.isclose(greys, grey, atol=1e-6).mean() for grey in (0, 1))
    assert black == pytest.approx(0.5, abs=0.1) and white == pytest.approx(0.25, abs=0.1)
    assert np.unique(np.round(greys, 6)).size > 20


def test_grey_borders_keep_the_range_to_the_last_bit() -> None:
    images = (torch.rand(64, 1, 32, 32) < 0.5).float()  # a root of what is below 0 is none
    view = RandSpatiald(border_prob=1).set_random_state(seed=0)
    moved = view({"image": images})["image"]
    assert moved.min() >= 0 and moved.max() <= 1


def test_metatensors_become_plain_and_what_is_missing_is_passed_over() -> None:
    given = MetaTensor(torch.rand(2, 1, 32, 32))
    item = RandSpatiald()({"image": given, "label": torch.tensor([1, 0])})
    assert type(item["image"]) is torch.Tensor
    assert item["image"].dtype == torch.float32
    assert set(item) == {"image", "label"}


def test_the_same_seed_gives_the_same_view_and_another_seed_another() -> None:
    image = torch.rand(2, 1, 48, 48)
    views = [
        RandSpatiald().set_random_state(seed=seed)({"image": image})["image"] for seed in (3, 3, 4)
    ]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_an_image_moves_the_same_whatever_is_beside_it() -> None:
    images, others = torch.rand(2, 4, 1, 48, 48)
    others[2] = images[2]
    first, second = (
        RandSpatiald(elastic_prob=0.5).set_random_state(seed=0)({"image": batch})["image"]
        for batch in (images, others)
    )
    assert torch.equal(first[2], second[2])
    assert not torch.equal(first[1], second[1])


def test_bending_moves_pixels_by_about_its_strength() -> None:
    columns = ((torch.arange(96) + 0.5) / 96).expand(20, 1, 96, 96).clone()
    view = RandSpatiald(prob=0, flip_prob=0, elastic_prob=1, elastic=0.02)
    bent = view.set_random_state(seed=0)({"image": columns})["image"]
    assert 0.01 < (bent - columns)[..., 24:72, 24:72].std() < 0.03


def test_bending_has_no_kinks() -> None:
    images, stay = torch.rand(8, 1, 96, 96), torch.eye(2, 3).expand(8, 2, 3)
    displacement = np.random.RandomState(0).normal(size=(8, 2, 6, 6))
    moved = places(images, stay, displacement=displacement) - places(images, stay)
    slope, bend = (moved.diff(n, dim=1).abs().max() for n in (1, 2))
    assert bend < 0.2 * slope


def test_each_change_has_the_probability_that_was_asked_for() -> None:
    view = RandSpatiald(prob=0.8, flip_prob=0.4, elastic_prob=0.3).set_random_state(seed=0)
    view.randomize(2000)
    assert np.mean(view.geometry.flip) == pytest.approx(0.4, abs=0.04)
    assert np.mean(view.geometry.rotate_deg != 0) == pytest.approx(0.8, abs=0.04)
    assert view.displacement.any(axis=(1, 2, 3)).mean() == pytest.approx(0.3, abs=0.04)


def test_every_change_stays_within_its_largest() -> None:
    view = RandSpatiald(rotate_deg=10, zoom=0.3, aspect=0.2, shear=0.05, translate=0.15)
    view.set_random_state(seed=0).randomize(2000)
    drawn = view.geometry
    for amounts, largest in (
        (drawn.rotate_deg, 10),
        (np.log(drawn.zoom), np.log(1.3)),
        (np.log(drawn.aspect), np.log(1.2)),
        (drawn.shear_x, 0.05),
        (drawn.shear_y, 0.05),
        (drawn.translate_x, 0.15),
        (drawn.translate_y, 0.15),
    ):
        assert 0.98 * largest < np.abs(amounts).max() <= largest * (1 + 1e-9)


def test_with_all_probabilities_0_nothing_changes() -> None:
    image = torch.rand(2, 1, 32, 32)
    view = RandSpatiald(prob=0, flip_prob=0, elastic_prob=0)
    assert torch.allclose(view({"image": image})["image"], image, atol=1e-5)


def test_an_image_that_is_not_preprocessed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1, 40, 32\): put `preprocessing` before it"):
        RandSpatiald()({"image": torch.rand(2, 1, 40, 32)})
