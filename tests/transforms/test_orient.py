from itertools import product

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from multimix_monai.data import Radiograph
from multimix_monai.engines.cases import with_truth
from multimix_monai.transforms import Orientd, loading, postprocessing, preprocessing
from multimix_monai.transforms.orient import turn_to_standard

UPRIGHT = [(row, column) for row in "LR" for column in "FH"]
ORIENTATIONS = ["\\".join(pair) for pair in UPRIGHT + [(c, r) for r, c in UPRIGHT]]
UNKNOWN = ["", "L", "A\\F", "L\\P", "L\\R", "F\\H", "LA\\F", "LE\\V", "L\\F\\A"]
ODD = (37, 23)


def stored_as(upright: np.ndarray, orientation: str) -> np.ndarray:
    """The upright plane (H, W) as a file of this orientation holds it, by the letters alone."""
    axes = {"L": (1, 1), "R": (1, -1), "F": (0, 1), "H": (0, -1)}
    row, column = (axes[letter] for letter in orientation.split("\\"))
    plane = upright if column[0] == 0 else upright.T
    return plane[:: column[1], :: row[1]]


def case(plane: np.ndarray, orientation: str) -> dict:
    """Image and mask that carry their own places."""
    image = torch.from_numpy(plane.astype(np.float32).copy())[None]
    meta = {"orientation": orientation, "filename_or_obj": "a"}
    return {"image": MetaTensor(image, meta=meta), "mask": MetaTensor(image * 2)}


@pytest.fixture
def upright() -> np.ndarray:
    """A picture in which each pixel differs."""
    return np.random.default_rng(0).permutation(np.prod(ODD)).reshape(ODD)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_becomes_upright_and_goes_back(
    upright: np.ndarray, orientation: str
) -> None:
    stored = stored_as(upright, orientation)
    orient = Orientd(keys=("image", "mask"))
    item = orient(case(stored, orientation))
    assert np.array_equal(item["image"].numpy()[0], upright)
    assert np.array_equal(item["mask"].numpy()[0], 2 * upright)
    assert item["image"].applied_operations[0]["orig_size"] == stored.shape
    back = orient.inverse(item)
    assert np.array_equal(back["image"].numpy()[0], stored)
    assert np.array_equal(back["mask"].numpy()[0], 2 * stored)
    assert not back["image"].applied_operations


@pytest.mark.parametrize("orientation", UNKNOWN)
def test_an_orientation_that_is_no_upright_chest_changes_nothing(
    upright: np.ndarray, orientation: str
) -> None:
    orient = Orientd(keys=("image", "mask"))
    item = orient(case(upright, orientation))
    assert np.array_equal(item["image"].numpy()[0], upright)
    assert item["image"].applied_operations[0]["orig_size"] == ODD
    said = item["image"].meta.get("steps", "")
    assert said == (f"orientation {orientation} left as stored" if orientation else "")
    assert np.array_equal(orient.inverse(item)["image"].numpy()[0], upright)


def test_no_two_orientations_are_turned_alike() -> None:
    turns = {turn_to_standard(o) for o in ORIENTATIONS}
    assert len(turns) == 8 and turn_to_standard("L\\F") is None


def test_what_was_turned_joins_the_steps(upright: np.ndarray) -> None:
    given = case(upright, "F\\R")
    given["image"].meta["steps"] = "/ 255"
    steps = Orientd(keys=["image"])(given)["image"].meta["steps"]
    assert steps == "/ 255; from F\\R to L\\F: transpose, flip columns"


@pytest.fixture
def read_as(monkeypatch: pytest.MonkeyPatch):
    """Lets the preprocessing read a given plane under any path."""

    def read(plane: np.ndarray, orientation: str) -> None:
        letters = tuple(orientation.split("\\")) if orientation else None
        radiograph = Radiograph(np.ascontiguousarray(plane, np.float32), orientation=letters)
        monkeypatch.setattr(loading, "read_radiograph", lambda path: radiograph)

    return read


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_network_sees_the_same_and_its_result_lies_on_the_stored_grid(
    orientation: str, read_as
) -> None:
    rows, columns = np.mgrid[:61, :45]
    upright = (rows * 2 + columns + 40 * (columns > 30)).astype(np.float32) / 300
    chain = preprocessing(image_size=64)
    read_as(upright, "L\\F")
    reference = chain({"image": "a.dcm"})
    read_as(stored_as(upright, orientation), orientation)
    item = chain({"image": "a.dcm"})
    seen = reference["image"].as_tensor()
    assert torch.allclose(item["image"].as_tensor(), seen, atol=1e-6)
    logits = (seen > 0.62).float() * 20 - 10
    masks = []
    for result in (reference, item):
        result["pred"] = torch.cat([logits, logits, logits, logits])
        masks.append(postprocessing(preprocessing=chain)(result)["pred"].numpy()[0])
    assert np.array_equal(masks[1], stored_as(masks[0], orientation))


def test_a_truth_is_compared_with_the_stored_grid(tmp_path, read_as) -> None:
    from PIL import Image

    Image.fromarray(np.eye(61, 45, dtype=np.uint8) * 255).save(tmp_path / "m.png")
    read_as(np.random.default_rng(0).random((61, 45)), "F\\R")
    item = preprocessing(image_size=32)({"image": "a.dcm", "mask": [str(tmp_path / "m.png")]})
    assert with_truth(item)["mask"].shape == (1, 61, 45)


@pytest.mark.parametrize("size", [(1955, 1841), (33, 32), *product((1, 2), (5, 6))])
def test_odd_sizes_come_back(size: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).random(size)
    orient = Orientd(keys=["image"])
    back = orient.inverse(orient(case(plane, "H\\R")))
    assert np.array_equal(back["image"].numpy()[0], plane.astype(np.float32))
