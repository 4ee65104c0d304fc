from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multimix_monai.handlers.png import png_bytes, write_png

MONTGOMERY = Path(__file__).parents[3] / "shared" / "data" / "montgomery" / "images"


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (75, 101), (75, 101, 3), (1, 1, 3)])
@pytest.mark.parametrize("repeats", [True, False])
def test_pillow_reads_what_was_written(
    tmp_path: Path, shape: tuple[int, ...], repeats: bool
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    write_png(tmp_path / "a.png", picture, repeats=repeats)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()  # the checksums
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG" and image.mode == ("RGB" if len(shape) == 3 else "L")
        assert np.array_equal(np.asarray(image), picture)


def test_a_picture_that_is_no_contiguous_array_is_written_as_it_looks() -> None:
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)[::-1, ::2]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(picture)))), picture)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), dtype=np.float32),
        np.zeros((4, 4), dtype=np.uint16),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros(4, dtype=np.uint8),
        np.zeros((0, 4), dtype=np.uint8),
    ],
)
def test_what_is_neither_grey_nor_rgb_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"picture is .* is needed"):
        png_bytes(picture)


@pytest.mark.skipif(not MONTGOMERY.exists(), reason="needs ../shared/data/montgomery")
def test_a_real_radiograph_takes_no_more_room_than_pillow_needs() -> None:
    picture = np.asarray(Image.open(sorted(MONTGOMERY.iterdir())[0]).convert("RGB"))
    content, theirs = png_bytes(picture), io.BytesIO()
    Image.fromarray(picture).save(theirs, "PNG", compress_level=1)
    assert len(content) < 1.1 * len(theirs.getvalue())
