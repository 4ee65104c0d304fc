"""JSRT images with SCR masks, as both are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multimix_monai.data import read_mask
from multimix_monai.data.readers import read_jsrt


def layout(root: Path) -> None:
    (root / "All247images").mkdir()
    for name in ("JPCLN001", "JPCNN001"):
        (root / f"All247images/{name}.IMG").touch()
    for fold, name in (("fold1", "JPCLN001"), ("fold2", "JPCNN001")):
        for column, organ in enumerate(("left lung", "right lung", "heart")):
            folder = root / "scratch" / fold / "masks" / organ
            folder.mkdir(parents=True)
            mask = np.zeros((2, 3), np.uint8)
            mask[:, column] = 255
            Image.fromarray(mask).save(folder / f"{name}.gif")
    (root / "CLNDAT_EN.txt").write_text(
        "JPCLN001.IMG\t5\t15\t53\tfemale\t1634\t692\tmalignant\tl.upper lobe\tlung cancer\n"
    )
    (root / "CNNDAT_EN.TXT").write_bytes(b"JPCNN001.IMG ? male non-nodule\r")


def test_jsrt_unites_the_lungs_and_leaves_the_heart(tmp_path: Path) -> None:
    layout(tmp_path)
    nodule, _ = read_jsrt(tmp_path)
    assert nodule.image.name == "JPCLN001.IMG"
    np.testing.assert_array_equal(read_mask(nodule.mask), [[1, 1, 0], [1, 1, 0]])


def test_jsrt_reads_sex_and_age_and_a_nodule_is_no_pneumonia(tmp_path: Path) -> None:
    layout(tmp_path)
    nodule, normal = read_jsrt(tmp_path)
    assert nodule.info == {"finding": "nodule", "age": "53", "sex": "F"}
    assert normal.info == {"finding": "normal", "sex": "M"}
    assert nodule.label is None and normal.label is None
    assert (nodule.patient, normal.patient) == ("JPCLN001", "JPCNN001")


def test_jsrt_image_without_mask_is_kept_but_mask_without_image_is_refused(tmp_path: Path) -> None:
    layout(tmp_path)
    (tmp_path / "All247images/JPCLN002.IMG").touch()
    assert read_jsrt(tmp_path)[1].mask == ()
    (tmp_path / "All247images/JPCNN001.IMG").unlink()
    with pytest.raises(ValueError, match=r"without an image.*JPCNN001"):
        read_jsrt(tmp_path)


def test_jsrt_folder_without_img_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images found"):
        read_jsrt(tmp_path)
