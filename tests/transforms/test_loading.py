from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from multimix_monai.data import ImageError, Radiograph
from multimix_monai.data.images import Objection
from multimix_monai.transforms import LoadCased, loading, preprocessing


def _png(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def gradient(tmp_path: Path) -> Path:
    return _png(tmp_path / "a.png", np.tile(np.arange(40, dtype=np.uint8) * 5, (30, 1)))


def test_a_png_becomes_one_plane_of_its_values_with_its_name(gradient: Path) -> None:
    image = LoadCased()({"image": gradient, "label": 1})["image"]
    assert isinstance(image, MetaTensor)
    assert image.shape == (1, 30, 40) and image.dtype == torch.float32
    assert image[0, 7, 3].item() == pytest.approx(15 / 255)
    assert image.meta["filename_or_obj"] == str(gradient)
    assert isinstance(image.meta["steps"], str)
    assert torch.equal(image.affine, torch.eye(4, dtype=image.affine.dtype))


def test_several_mask_files_are_united(gradient: Path, tmp_path: Path) -> None:
    left, right = np.zeros((2, 30, 40), dtype=np.uint8)
    left[5:20, 4:10], right[6:22, 25:35] = 255, 255
    paths = [_png(tmp_path / "l.png", left), _png(tmp_path / "r.png", right)]
    mask = LoadCased()({"image": gradient, "mask": [str(path) for path in paths]})["mask"]
    assert mask.dtype == torch.float32
    assert np.array_equal(mask.numpy()[0], (left | right) / 255)


def test_a_case_without_mask_passes_and_a_mask_not_asked_for_is_left_alone(gradient: Path) -> None:
    assert "mask" not in LoadCased()({"image": str(gradient)})
    assert LoadCased(keys=["image"])({"image": gradient, "mask": "m.png"})["mask"] == "m.png"


def test_a_mask_of_another_size_is_refused_with_both_files_and_sizes(
    gradient: Path, tmp_path: Path
) -> None:
    mask = _png(tmp_path / "m.png", np.eye(40, dtype=np.uint8) * 255)
    with pytest.raises(ValueError, match=r"m\.png is 40x40 but its image .*a\.png is 30x40"):
        LoadCased()({"image": gradient, "mask": [mask]})


@pytest.mark.parametrize("shape", [(30, 40), (1, 30, 40), (30, 40, 1), (1, 30, 40, 1)])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float64])
def test_an_array_of_any_range_is_taken_over(shape: tuple[int, ...], dtype: type) -> None:
    pixels = (np.arange(1200).reshape(shape) - (500 if dtype != np.uint16 else 0)).astype(dtype)
    image = LoadCased()({"image": pixels})["image"]
    assert image.shape == (1, 30, 40)
    assert (image.min().item(), image.max().item()) == (0, 1)
    assert image[0, 1, 0].item() == pytest.approx(40 / 1199)


def test_a_loaded_metatensor_keeps_its_affine_and_name() -> None:
    affine = torch.diag(torch.tensor([0.2, 0.3, 1, 1]))
    given = MetaTensor(torch.rand(1, 8, 9), affine=affine, meta={"filename_or_obj": "x.nii"})
    image = LoadCased()({"image": given})["image"]
    assert image.meta["filename_or_obj"] == "x.nii"
    assert torch.allclose(image.affine.float(), affine)
    assert torch.allclose(image.as_tensor(), given.as_tensor())


@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        (np.full((9, 9), 7), "every pixel is 7"),
        (np.array([[0.0, np.nan]]), "not finite"),
        (np.zeros((3, 9, 9)), "not one plane"),
    ],
)
def test_an_array_that_is_no_radiograph_is_refused(pixels: np.ndarray, why: str) -> None:
    with pytest.raises(ImageError, match=why):
        LoadCased()({"image": pixels})


def test_files_that_are_no_radiograph_are_refused_by_name(tmp_path: Path) -> None:
    flat = _png(tmp_path / "flat.png", np.full((9, 9), 7, dtype=np.uint8))
    (tmp_path / "text.png").write_text("not a picture")
    for path in (flat, tmp_path / "text.png"):
        with pytest.raises(ImageError, match=path.name):
            LoadCased()({"image": path})


def test_other_keys_and_a_missing_image_are_refused() -> None:
    with pytest.raises(ValueError, match="'pred'"):
        LoadCased(keys=["image", "pred"])
    with pytest.raises(ValueError, match=r"no 'image', only \['mask'\]"):
        LoadCased()({"mask": "m.png"})


@pytest.fixture
def read_as(monkeypatch: pytest.MonkeyPatch):
    """Makes every path a radiograph with the given attributes."""

    def read(**attributes) -> None:
        radiograph = Radiograph(np.eye(4, dtype=np.float32), **attributes)
        monkeypatch.setattr(loading, "read_radiograph", lambda path: radiograph)

    return read


def test_spacing_is_there_only_where_the_file_tells_it(gradient: Path, read_as) -> None:
    assert "spacing_mm" not in LoadCased()({"image": gradient})
    read_as(spacing_mm=(0.2, 0.3), spacing_source="ImagerPixelSpacing, at the detector")
    item = LoadCased()({"image": gradient})
    assert item["spacing_mm"] == (0.2, 0.3)
    assert item["image"].meta["spacing_source"] == "ImagerPixelSpacing, at the detector"


def test_meta_says_how_the_image_came_about_and_lies(gradient: Path, read_as) -> None:
    plain = LoadCased()({"image": gradient})["image"].meta
    assert (plain["orientation"], plain["spacing_source"]) == ("", "unknown")
    read_as(steps=("inverted", "v / 4095"), orientation=("R", "F"))
    meta = LoadCased()({"image": gradient})["image"].meta
    assert (meta["steps"], meta["orientation"]) == ("inverted; v / 4095", "R\\F")


def test_flags_are_always_a_list(gradient: Path, read_as) -> None:
    assert LoadCased()({"image": gradient})["flags"] == []
    assert LoadCased()({"image": np.eye(4)})["flags"] == []
    read_as(flags=("burned_in_annotation",))
    assert LoadCased()({"image": gradient})["flags"] == ["burned_in_annotation"]


def test_what_is_objected_to_is_refused_unless_forced(gradient: Path, read_as) -> None:
    against = (Objection("view", "a.dcm is lateral"), Objection("colour", "a.dcm is coloured"))
    read_as(objections=against, flags=("for_processing",))
    with pytest.raises(ImageError, match=r"a\.dcm is lateral") as error:
        LoadCased()({"image": gradient})
    assert error.value.reason == "view"
    for chain in (LoadCased(force=True), preprocessing(image_size=32, force=True)):
        flags = chain({"image": gradient})["flags"]
        assert flags == ["for_processing", "forced:view", "forced:colour"]
    with pytest.raises(ImageError, match="lateral"):
        preprocessing(image_size=32)({"image": gradient})
