"""Reading images: every format ends as float32 in [0, 1], top row first, dense bright."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from multimix_monai.data import ImageError, read_image, read_mask

RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif"])
def test_eight_bit_grey_is_divided_by_255(tmp_path: Path, suffix: str) -> None:
    radiograph = read_image(save(tmp_path / f"a.{suffix}", RAMP))
    assert radiograph.pixels.dtype == np.float32
    np.testing.assert_allclose(radiograph.pixels, RAMP / 255, atol=1e-7)
    assert radiograph.spacing_mm is None


def test_jpeg_keeps_grey_values_roughly(tmp_path: Path) -> None:
    pixels = read_image(save(tmp_path / "a.jpg", RAMP.repeat(8, 0).repeat(8, 1))).pixels
    assert pixels.shape == (24, 32)
    np.testing.assert_allclose(pixels[4::8, 4::8], RAMP / 255, atol=0.03)


@pytest.mark.parametrize(("top", "divisor"), [(4095, 4095), (4096, 65535), (65535, 65535)])
def test_sixteen_bit_scale_follows_the_detector_range(
    tmp_path: Path, top: int, divisor: int
) -> None:
    values = np.array([[0, 100], [2000, top]], dtype=np.uint16)
    radiograph = read_image(save(tmp_path / "a.png", values))
    np.testing.assert_allclose(radiograph.pixels, values / divisor, atol=1e-7)
    assert radiograph.steps == (f"/ {divisor}",)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_white_is_zero_is_inverted(tmp_path: Path, bits: int) -> None:
    values = np.array([[0, 100], [200, 255]]).astype(f"uint{bits}")
    path = save(tmp_path / "a.tif", values)
    black_is_zero = struct.pack("<HHIH", 262, 3, 1, 1)
    content = path.read_bytes()
    assert content.count(black_is_zero) == 1
    path.write_bytes(content.replace(black_is_zero, struct.pack("<HHIH", 262, 3, 1, 0)))
    pixels = read_image(path).pixels
    np.testing.assert_allclose(pixels / pixels.max(), 1 - values / 255, atol=1e-6)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize(("orientation", "turn"), [(2, np.fliplr), (3, np.rot90), (6, np.rot90)])
def test_a_picture_is_taken_as_viewers_show_it(
    tmp_path: Path, suffix: str, orientation: int, turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    upright = RAMP.repeat(8, 0).repeat(8, 1)
    stored = turn(turn(upright)) if orientation == 3 else turn(upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", exif=exif)
    radiograph = read_image(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(radiograph.pixels, upright / 255, atol=0.1)
    assert radiograph.steps[0] == "turned upright"
    np.testing.assert_array_equal(read_mask(tmp_path / f"a.{suffix}")[4::8, 4::8], RAMP >= 120)


def test_grey_stored_as_rgb_rgba_and_palette_is_the_same_grey(tmp_path: Path) -> None:
    rgb = np.stack([RAMP] * 3, axis=-1)
    rgba = np.concatenate([rgb, np.full((3, 4, 1), 7, np.uint8)], axis=-1)
    palette = Image.fromarray(RAMP).convert("P")
    palette.save(tmp_path / "p.png")
    for path in (save(tmp_path / "c.png", rgb), save(tmp_path / "d.png", rgba), tmp_path / "p.png"):
        np.testing.assert_allclose(read_image(path).pixels, RAMP / 255, atol=1e-7)
    assert read_image(tmp_path / "d.png").steps == ("alpha dropped", "/ 255")


def test_colour_becomes_luminance(tmp_path: Path) -> None:
    red_and_green = np.array([[[255, 0, 0], [0, 255, 0]]], dtype=np.uint8)
    radiograph = read_image(save(tmp_path / "a.png", red_and_green))
    np.testing.assert_allclose(radiograph.pixels * 255, [[76, 150]], atol=1e-4)
    assert "luminance" in radiograph.steps


def test_jsrt_img_is_big_endian_and_inverted(tmp_path: Path) -> None:
    values = np.zeros((2048, 2048), dtype=">u2")
    values[0, 1], values[5, 3] = 4095, 1024
    values.tofile(tmp_path / "JPCLN001.IMG")
    radiograph = read_image(tmp_path / "JPCLN001.IMG")
    assert radiograph.pixels[0, 0] == 1 and radiograph.pixels[0, 1] == 0
    assert radiograph.pixels[5, 3] == pytest.approx(1 - 1024 / 4095)
    assert radiograph.spacing_mm == (0.175, 0.175)


def test_little_endian_or_cut_jsrt_img_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.IMG"
    np.full((2048, 2048), 3000, dtype="<u2").tofile(path)
    with pytest.raises(ImageError, match="big-endian"):
        read_image(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ImageError, match="8388598 bytes"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_nifti_is_transposed_and_its_spacing_is_rows_then_columns(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    nib.save(nib.Nifti1Image(RAMP.T[..., None], np.diag([-0.2, -0.3, 1, 1])), path)
    radiograph = read_image(path)
    np.testing.assert_allclose(radiograph.pixels, RAMP / 255, atol=1e-7)
    assert radiograph.spacing_mm == pytest.approx((0.3, 0.2))


def test_nifti_whose_rows_run_upwards_is_turned_over(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(RAMP[::-1].T, np.diag([-1.0, 1, 1, 1])), tmp_path / "a.nii")
    radiograph = read_image(tmp_path / "a.nii")
    np.testing.assert_allclose(radiograph.pixels, RAMP / 255, atol=1e-7)
    assert radiograph.spacing_mm is None


def test_nifti_volume_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 3), np.uint8), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(ImageError, match="one slice"):
        read_image(tmp_path / "a.nii")


@pytest.mark.parametrize("suffix", ["png", "jpg", "nii.gz"])
def test_truncated_file_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = tmp_path / f"cut.{suffix}"
    if suffix == "nii.gz":
        nib.save(nib.Nifti1Image(noise, np.eye(4)), path)
    else:
        save(path, noise)
    for kept in (20, path.stat().st_size // 2):
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ImageError, match=rf"cut\.{suffix}.*cannot be decoded"):
            read_image(path)


def test_missing_empty_foreign_and_constant_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    save(tmp_path / "grey.png", np.full((4, 4), 9, np.uint8))
    for name, reason in {
        "gone.png": "no such file",
        "empty.png": "empty",
        "text.png": "cannot be decoded",
        "grey.png": "every pixel has the value 9",
    }.items():
        with pytest.raises(ImageError, match=f"{name}.*{reason}"):
            read_image(tmp_path / name)


def test_masks_are_united_and_grey_edges_are_cut_at_half(tmp_path: Path) -> None:
    left = save(tmp_path / "l.png", np.array([[255, 128, 127, 0]], np.uint8))
    right = save(tmp_path / "r.png", np.array([[0, 0, 0, 1]], np.uint8))
    mask = read_mask([left, right])
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, [[1, 1, 0, 1]])


def test_mask_label_map_takes_both_lungs_but_float_edges_are_cut(tmp_path: Path) -> None:
    maps = save(tmp_path / "m.png", np.array([[0, 1, 2]], np.uint8))
    np.testing.assert_array_equal(read_mask(maps), [[0, 1, 1]])
    soft = np.array([[0, 0.4, 1]], np.float32).T
    nib.save(nib.Nifti1Image(soft, np.eye(4)), tmp_path / "s.nii.gz")
    np.testing.assert_array_equal(read_mask(tmp_path / "s.nii.gz"), [[0, 0, 1]])


def test_mask_of_other_parts_than_lungs_is_refused(tmp_path: Path) -> None:
    left_right_heart = save(tmp_path / "m.png", np.array([[0, 1, 2, 3]], np.uint8))
    with pytest.raises(ImageError, match=r"m\.png: is a map of the labels 0, 1, 2, 3: export the"):
        read_mask(left_right_heart)
    one_part = save(tmp_path / "n.png", np.array([[0, 3]], np.uint8))
    np.testing.assert_array_equal(read_mask(one_part), [[0, 1]])


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_mask_of_one_colour_is_read_by_its_alpha(tmp_path: Path, mode: str, colour: int) -> None:
    shape = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    if mode == "P":
        picture = Image.frombytes("P", shape.shape[::-1], shape.tobytes())
        picture.putpalette([colour] * 6)
    else:
        grey = np.full_like(shape, colour)
        colours = [Image.fromarray(grey)] * (len(mode) - 1)
        picture = Image.merge(mode, [*colours, Image.fromarray(255 * shape)])
    picture.save(tmp_path / "m.png", **({"transparency": bytes([0, 255])} if mode == "P" else {}))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), shape)


@pytest.mark.parametrize("grey", [0, 255])
def test_opaque_mask_of_one_colour_stays_as_it_is(tmp_path: Path, grey: int) -> None:
    Image.new("RGBA", (3, 2), (grey, grey, grey, 255)).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png") == (grey > 0)).all()


def test_masks_of_different_size_are_refused(tmp_path: Path) -> None:
    left = save(tmp_path / "l.png", np.ones((2, 3), np.uint8))
    right = save(tmp_path / "r.png", np.ones((3, 2), np.uint8))
    with pytest.raises(ImageError, match=r"r\.png: mask is 3x2 but .*l\.png is 2x3"):
        read_mask([left, right])


def test_a_refusal_keeps_its_code_on_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ImageError("a.dcm is lateral: leave it out", "lateral")))
    assert (str(error), error.reason) == ("a.dcm is lateral: leave it out", "lateral")
