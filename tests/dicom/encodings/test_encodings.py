"""What is read is the same picture, and what is predicted the same, whatever the encoding."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from multimix_monai.data.images import ImageError
from multimix_monai.dicom import read_dicom

BUNDLE = Path(__file__).resolve().parents[3] / "bundle"
TOP = 4095
# Of the same picture in the same 12 bits nothing may change; of one in 8 bits or from a lossy
# codec only what half a grey level or the codec's error do.
PROB_TOLERANCE, DICE = {True: 1e-6, False: 0.005}, {True: 1.0, False: 0.995}


@pytest.fixture(scope="module")
def pictures(encodings) -> dict[str, np.ndarray]:
    return {name: read_dicom(BytesIO(e.file), name=name).pixels for name, e in encodings.items()}


@pytest.fixture(scope="module")
def predictions(pictures) -> dict[str, tuple[float, np.ndarray]]:
    """Probability of pneumonia and lung mask of each, by the weights of the bundle."""
    from multimix_monai.handlers.checkpoints import load_weights
    from multimix_monai.networks import PackedMultiMix
    from multimix_monai.transforms import postprocessing, preprocessing

    config = json.loads((BUNDLE / "configs" / "inference.json").read_text())
    network = load_weights(PackedMultiMix(), BUNDLE / "models" / "model.pt").eval()
    chain = preprocessing(image_size=config["image_size"])
    items = [chain({"image": pixels}) for pixels in pictures.values()]
    with torch.inference_mode():
        packed = network(torch.stack([item["image"].as_tensor() for item in items]))
    undo = postprocessing(preprocessing=chain, threshold_prob=config["lung_threshold_prob"])
    results = [undo({**item, "pred": pred}) for item, pred in zip(items, packed, strict=True)]
    return {
        name: (float(result["probs"][-1]), result["pred"].numpy()[0])
        for name, result in zip(pictures, results, strict=True)
    }


def test_every_encoding_gives_the_same_picture(encodings, pictures, picture) -> None:
    differences = {name: np.abs(p - picture / TOP).max() for name, p in pictures.items()}
    wrong = {name: d for name, d in differences.items() if d > encodings[name].tolerance}
    assert not wrong
    assert all(p.dtype == np.float32 and p.shape == picture.shape for p in pictures.values())


@pytest.mark.slow
def test_every_encoding_gives_the_same_prediction(encodings, predictions) -> None:
    prob, mask = predictions["explicit little endian"]
    assert 0.05 < mask.mean() < 0.6, "there are lungs to compare"
    for name, (other_prob, other_mask) in predictions.items():
        exact = encodings[name].tolerance <= 1e-6
        dice = 2 * (mask & other_mask).sum() / (mask.sum() + other_mask.sum())
        assert abs(other_prob - prob) <= PROB_TOLERANCE[exact], name
        assert dice >= DICE[exact], name


def test_each_picture_says_how_it_came_about(encodings) -> None:
    steps = {n: "; ".join(read_dicom(BytesIO(e.file)).steps) for n, e in encodings.items()}
    assert steps["deflated"] == "decoded (Deflated Explicit VR Little Endian); range of 12 bits"
    assert "JPEG-LS Lossless Image Compression" in steps["JPEG-LS"]
    assert "VOI LUT (not the window)" in steps["VOI LUT and window"]
    assert "window 2048/4096 (first of 2)" in steps["two windows"]
    assert "window ignored (width 0 is too small)" in steps["degenerate window"]
    assert "ignored (leaves one grey level)" in steps["window beside the picture"]
    assert steps["MONOCHROME1 and INVERSE"].count("inverted") == 1
    assert "inverted (Presentation LUT INVERSE)" in steps["MONOCHROME2 and INVERSE"]
    assert steps["palette"].endswith("PALETTE COLOR: one of three equal channels")
    assert all(step.startswith("decoded (") for step in steps.values())


def test_none_of_them_is_objected_to(encodings) -> None:
    for name, encoding in encodings.items():
        radiograph = read_dicom(BytesIO(encoding.file))
        assert not radiograph.objections and not radiograph.flags, name
        assert radiograph.orientation == ("L", "F"), name


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.55", "1.2.3.4"])
def test_an_unknown_syntax_is_named_with_the_remedy(
    picture: np.ndarray, dx_file: Callable, syntax: str
) -> None:
    from pydicom.uid import UID

    with pytest.raises(ImageError, match="pip install") as error:
        read_dicom(BytesIO(dx_file(picture, syntax, frame=b"\0\0")), name="a.dcm")
    assert UID(syntax).name in str(error.value)
    assert error.value.reason == "no_decoder"


def test_without_the_decoders_the_syntax_and_the_remedy_are_named(
    encodings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    with pytest.raises(ImageError, match=r"JPEG-LS.*pip install \"multimix-monai\[dicom\]\""):
        read_dicom(BytesIO(encodings["JPEG-LS"].file))
    read_dicom(BytesIO(encodings["explicit little endian"].file))


def test_a_codestream_that_contradicts_the_attributes_is_refused(encodings) -> None:
    for name in ("JPEG-LS", "JPEG 2000 lossless", "JPEG baseline", "JPEG lossless 70"):
        file = encodings[name].file.replace(b"US\x02\x00\xc1\x00", b"US\x02\x00\xc3\x00")
        with pytest.raises(ImageError, match=r"\(193, 169, 1\) in the codestream"):
            read_dicom(BytesIO(file))
