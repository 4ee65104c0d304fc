"""The network's grid and back, against MONAI's transforms around the same functions."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from multimix_monai.arrays.grid import prepared
from multimix_monai.arrays.turn import turn_to_standard, turned, turned_back
from multimix_monai.data.images import ImageError, Radiograph
from multimix_monai.transforms import loading, postprocessing, preprocessing

ORIENTATIONS = ["", "L\\F", "R\\F", "L\\H", "R\\H", "F\\L", "F\\R", "H\\L", "H\\R", "A\\F"]
SIZES = [(37, 91), (91, 37), (64, 64), (33, 32), (300, 224), (1, 40)]


@pytest.fixture
def radiograph() -> np.ndarray:
    return np.random.default_rng(0).random((61, 45), dtype=np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("orientation", ["L\\F", "F\\R"])
def test_the_network_sees_the_very_same_as_by_monai_and_results_return_the_very_same(
    size: tuple[int, int], orientation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).random(size, dtype=np.float32)
    letters = (orientation[0], orientation[2])
    read = Radiograph(pixels, orientation=letters)
    monkeypatch.setattr(loading, "read_radiograph", lambda path: read)
    chain = preprocessing(image_size=64)
    item = chain({"image": "a.dcm"})
    plane, grid = prepared(pixels, orientation=orientation, image_size=64, name="a.dcm")
    assert np.array_equal(item["image"].numpy()[0], plane)
    result = np.random.default_rng(1).random((64, 64), dtype=np.float32)
    item["pred"] = torch.from_numpy(np.stack([result] * 4))
    back = postprocessing(preprocessing=chain)(item)["saliency"].numpy()[0]
    assert back.shape == size
    assert np.array_equal(back, grid.back(result))


def test_the_frame_is_the_picture_and_around_it_are_zeros(radiograph: np.ndarray) -> None:
    plane, grid = prepared(radiograph, orientation="", image_size=64, name="a")
    outside = np.ones((64, 64), dtype=bool)
    outside[grid.frame] = False
    assert plane.shape == (64, 64) and plane.dtype == np.float32
    assert outside.sum() == 64 * (64 - grid.size[1]) and not plane[outside].any()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_is_turned_is_turned_back(radiograph: np.ndarray, orientation: str) -> None:
    turn = turn_to_standard(orientation)
    upright = turned(radiograph, turn)
    assert np.array_equal(turned_back(upright, turn), radiograph)
    assert upright.flags.c_contiguous


def test_a_nearly_constant_plane_is_refused_by_name() -> None:
    plane = np.full((64, 64), 0.5, dtype=np.float32)
    with pytest.raises(ImageError, match=r"a\.png: nearly constant"):
        prepared(plane, orientation="", image_size=32, name="a.png")


def test_monais_record_is_the_same_as_the_grids(radiograph: np.ndarray) -> None:
    image = preprocessing(image_size=64)({"image": MetaTensor(torch.from_numpy(radiograph))})
    _, grid = prepared(radiograph, orientation="", image_size=64, name="a")
    turn, resize, pad = image["image"].applied_operations
    assert tuple(turn["orig_size"]) == tuple(resize["orig_size"]) == grid.upright
    rows, columns = pad["extra_info"]["padded"][1:]
    assert [(part.start, 64 - part.stop) for part in grid.frame] == [tuple(rows), tuple(columns)]
