"""Pictures: the line lies on the contour, the input is untouched, sizes and colours are kept."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multimix_monai.handlers.pictures import (
    PREDICTED_RGB,
    REFERENCE_RGB,
    contact_sheet,
    overlay,
    saliency_map,
)

MONTGOMERY = Path(__file__).parents[3] / "shared" / "data" / "montgomery"


def disc(size: int = 200, *, radius: float = 60, centre: float = 100) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (np.hypot(rows - centre, columns - centre) < radius).astype(np.uint8)


def grey(size: int = 200) -> np.ndarray:
    return np.full((size, size), 0.4, dtype=np.float32)


def coloured(picture: np.ndarray) -> np.ndarray:
    """Pixels that are not grey."""
    return np.ptp(picture.astype(int), axis=-1) > 0


def test_the_line_lies_on_the_masks_edge_and_nowhere_else():
    picture = overlay(grey(), disc())
    rows, columns = np.nonzero(coloured(picture))
    radius = np.hypot(rows - 100, columns - 100)
    assert radius.min() > 57 and radius.max() < 62
    assert picture.shape == (200, 200, 3) and picture.dtype == np.uint8
    assert (picture[100, 100] == 102).all()


def test_the_line_is_anti_aliased():
    shades = {tuple(colour) for colour in overlay(grey(600), disc(600)).reshape(-1, 3)}
    assert PREDICTED_RGB in shades
    assert len(shades) > 3  # the line, the ground and what lies between


@pytest.mark.parametrize("size", [64, 200, 800])
def test_the_lines_width_grows_with_the_image(size):
    half = np.zeros((size, size))
    half[:, size // 2 :] = 1
    width = coloured(overlay(grey(size), half)).sum(axis=1)
    assert (width == width[0]).all()
    assert max(1.5, size / 240) <= width[0] <= max(1.5, size / 240) + 2


def test_a_mask_of_a_single_pixel_is_seen():
    mask = np.zeros((100, 100))
    mask[30, 70] = 1
    rows, columns = np.nonzero(coloured(overlay(grey(100), mask)))
    assert abs(rows.mean() - 30) < 0.5 and abs(columns.mean() - 70) < 0.5


def test_prediction_and_reference_have_their_own_colours():
    picture = overlay(grey(600), disc(600, radius=40), truth=disc(600, radius=70))
    assert (picture[100, 138:142] == PREDICTED_RGB).all(axis=-1).any()
    assert (picture[100, 168:172] == REFERENCE_RGB).all(axis=-1).any()


def test_where_both_agree_the_prediction_has_rims_of_the_reference():
    half = np.zeros((960, 960))
    half[:, 480:] = 1
    across = overlay(grey(960), half, truth=half)[480]
    is_predicted = (across == PREDICTED_RGB).all(axis=-1)
    is_reference = (across == REFERENCE_RGB).all(axis=-1)
    assert is_predicted.any() and is_reference.any()


def test_an_empty_mask_leaves_the_image_as_it_is():
    picture = overlay(grey(), np.zeros((200, 200)))
    assert (picture == 102).all()


@pytest.mark.parametrize("size", [32, 200, 1000])
def test_the_text_stands_in_the_lower_left_corner(size):
    picture = overlay(np.zeros((size, size)), np.zeros((size, size)), text="pneumonia 0.83")
    rows, columns = np.nonzero(picture.max(axis=-1) > 60)
    assert rows.min() > 0.6 * size
    assert columns.max() < size - 1
    assert rows.size > 20


def test_the_text_is_legible_on_white():
    picture = overlay(np.ones((300, 300)), np.zeros((300, 300)), text="normal 0.12")
    corner = picture[-15:, :60]
    assert corner.max() - corner.min() > 150


def test_a_text_leaves_the_rest_of_the_image_as_it_is():
    image = np.linspace(0, 1, 300 * 300).reshape(300, 300)
    with_text = overlay(image, np.zeros(image.shape), text="normal 0.12")
    assert (with_text[:-40] == overlay(image, np.zeros(image.shape))[:-40]).all()


def test_the_arrays_given_are_not_changed():
    image, mask = grey(), disc()
    copies = image.copy(), mask.copy()
    overlay(image, mask, truth=mask, text="normal")
    saliency_map(image, mask)
    assert (image == copies[0]).all() and (mask == copies[1]).all()


def test_an_image_of_bytes_is_drawn_like_its_fractions():
    image = np.arange(200 * 200, dtype=np.uint8).reshape(200, 200)
    copy = image.copy()
    assert (overlay(image, disc(), text="a") == overlay(image / 255, disc(), text="a")).all()
    assert (saliency_map(image, disc()) == saliency_map(image / 255, disc())).all()
    assert (image == copy).all()


def test_heat_is_brightest_where_the_saliency_is_highest():
    saliency = np.zeros((200, 200))
    saliency[50, 140] = 7e-6
    picture = saliency_map(np.zeros((200, 200)), saliency).astype(int).sum(axis=-1)
    hottest = np.argwhere(picture == picture.max())
    assert hottest.mean(axis=0) == pytest.approx([50, 140], abs=0.5)
    assert picture[150, 50] == 0


def test_the_scale_of_the_saliency_does_not_change_the_picture():
    saliency = np.random.default_rng(0).random((90, 120))
    image = np.zeros((90, 120))
    apart = saliency_map(image, saliency) - saliency_map(image, 1e4 * saliency).astype(int)
    assert np.abs(apart).max() <= 2


def test_no_saliency_leaves_the_image_as_it_is():
    assert (saliency_map(grey(), np.zeros((200, 200))) == 102).all()


def test_the_heat_of_a_large_image_lies_where_that_of_a_small_one_does():
    saliency = np.zeros((1200, 1500), dtype=np.float32)
    saliency[300:420, 900:1020] = 1
    heat = saliency_map(np.zeros((1200, 1500)), saliency).astype(float).sum(axis=-1)
    rows, columns = np.nonzero(heat > heat.max() / 2)
    assert abs(rows.mean() - 359.5) < 5 and abs(columns.mean() - 959.5) < 5


def test_a_sheet_holds_the_pictures_row_by_row():
    pictures = [np.full((20, 30, 3), 50 * n, dtype=np.uint8) for n in (1, 2, 3)]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.shape == (2 * 22 + 2, 2 * 32 + 2, 3)
    assert (sheet[2:22, 2:32] == 50).all()
    assert (sheet[2:22, 34:64] == 100).all()
    assert (sheet[24:44, 2:32] == 150).all()


def test_a_sheet_keeps_the_aspect_of_pictures_of_other_sizes():
    white = np.full((10, 30, 3), 255, dtype=np.uint8)
    sheet = contact_sheet([np.zeros((60, 60, 3), dtype=np.uint8), white], columns=2)
    rows, columns = np.nonzero(sheet[:, 64:].min(axis=-1) > 200)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 60)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: overlay(grey()[None], disc()), "image has shape"),
        (lambda: overlay(grey(), disc(100)), r"mask has shape \(100, 100\)"),
        (lambda: overlay(grey(), disc(), truth=disc(90)), r"\(90, 90\)"),
        (lambda: saliency_map(grey(), disc(90)), "saliency has shape"),
        (lambda: contact_sheet([], columns=2), "0 pictures"),
        (lambda: contact_sheet([grey()], columns=2), "picture 0 is float32"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(not MONTGOMERY.exists(), reason="needs ../shared/data/montgomery")
def test_the_lungs_of_a_real_radiograph_are_outlined():
    path = sorted((MONTGOMERY / "images").iterdir())[0]
    image = np.asarray(Image.open(path).convert("L")) / 255
    mask = np.asarray(Image.open(MONTGOMERY / "masks" / path.name).convert("L")) > 127
    drawn = coloured(overlay(image, mask, text="pneumonia 0.12"))
    edge = (mask[1:, 1:] != mask[:-1, 1:]) | (mask[1:, 1:] != mask[1:, :-1])
    assert drawn[1:, 1:][edge].all()
    assert drawn.mean() < 0.05
