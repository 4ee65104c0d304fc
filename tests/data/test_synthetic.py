from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from multimix_monai.data.synthetic import draw_radiograph
from multimix_monai.data.synthetic.patient import Pose
from multimix_monai.data.synthetic.tubes import cylinders

SIZE = (192, 168)


def draw(seed: int, *, pneumonia: bool = False, **options):
    return draw_radiograph(seed=seed, pneumonia=pneumonia, **{"size": SIZE, **options})


def test_an_image_has_the_declared_types_and_ranges() -> None:
    drawn = draw(3, pneumonia=True)
    assert drawn.pixels.shape == drawn.mask.shape == SIZE
    assert drawn.pixels.dtype == np.float32 and drawn.mask.dtype == np.uint8
    assert drawn.pixels.min() >= 0 and drawn.pixels.max() <= 1
    assert set(np.unique(drawn.mask)) == {0, 1}
    assert drawn.label == 1


def test_the_same_seed_gives_the_same_image_and_another_seed_another() -> None:
    first, again, other = draw(5), draw(5), draw(6)
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.mask, other.mask)


def test_pneumonia_brightens_the_lungs_and_leaves_mask_as_it_was() -> None:
    for seed in range(4):
        normal, ill = draw(seed), draw(seed, pneumonia=True)
        assert np.array_equal(normal.mask, ill.mask)
        change = (ill.pixels - normal.pixels)[normal.mask == 1]
        assert np.quantile(change, 0.98) > 0.1


def test_each_mask_is_two_lungs_darker_than_the_rest_of_the_body() -> None:
    for seed in range(6):
        drawn = draw(seed)
        parts, count = ndimage.label(drawn.mask)
        assert count == 2
        right, left = sorted(ndimage.center_of_mass(drawn.mask, parts, [1, 2]), key=lambda c: c[1])
        assert right[1] < SIZE[1] / 2 < left[1]
        body = (drawn.pixels > 0.05) & (drawn.mask == 0)
        assert drawn.pixels[drawn.mask == 1].mean() < drawn.pixels[body].mean()


def test_two_images_of_a_patient_share_the_build_but_not_the_picture() -> None:
    areas = [int(draw(s, patient_seed=1).mask.sum()) for s in (11, 12)]
    others = [int(draw(11, patient_seed=p).mask.sum()) for p in range(2, 6)]
    assert areas[0] != areas[1]
    assert abs(areas[0] - areas[1]) < np.ptp(others)


def test_mean_brightness_does_not_give_the_label_away() -> None:
    small = [draw(s, pneumonia=s % 2 == 1, size=(72, 64)) for s in range(30)]
    normal, ill = ([d.pixels.mean() for d in small if d.label == k] for k in (0, 1))
    auc = np.mean([[a < b for b in ill] for a in normal])
    assert 0.25 < auc < 0.75


def test_spacing_keeps_the_field_of_view_whatever_the_size() -> None:
    for size in ((192, 168), (96, 84)):
        assert size[0] * draw(0, size=size).spacing_mm[0] == pytest.approx(430.0)


def test_pose_maps_points_back_to_the_pixels_they_came_from() -> None:
    pose = Pose(size=(40, 30), angle=0.3, zoom=1.1, shift=(0.5, 2.0))
    rows, cols = pose.to_pixels(*pose.to_patient())
    grid = np.mgrid[:40, :30]
    np.testing.assert_allclose(rows, grid[0], atol=1e-3)
    np.testing.assert_allclose(cols, grid[1], atol=1e-3)


def test_a_tube_keeps_its_volume() -> None:
    pose = Pose(size=(128, 112), angle=0.1, zoom=1.0, shift=(0.0, 0.0))
    start, end = np.array([[-3.0, -2.0]]), np.array([[2.0, 4.0]])
    thickness = cylinders(start, end, np.array([0.7]), pose=pose)
    volume = float(thickness.sum()) * pose.cm_in_patient**2
    assert volume == pytest.approx(np.pi * 0.7**2 * np.hypot(5, 6), rel=1e-4)


def test_bad_arguments_raise() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        draw(0, size=(63, 100))
    with pytest.raises(ValueError, match="0 or more"):
        draw(-1)
