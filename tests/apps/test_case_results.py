from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from multimix_monai.apps.case_results import CaseResults
from multimix_monai.transforms import preprocessing


@pytest.fixture
def case(tmp_path: Path) -> dict:
    """A case as an evaluator gives it: truth of 100 pixels, of which the prediction has half."""
    path = tmp_path / "scan.png"
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(path)
    truth, pred = torch.zeros(2, 1, 20, 30, dtype=torch.uint8)
    truth[:, 5:15, 5:15], pred[:, 5:10, 5:15] = 1, 1
    return {
        **preprocessing(image_size=32)({"image": str(path)}),
        **{"case": "scan", "source": "made", "patient": "P1", "label": 1, "mask": truth},
        **{"pred": pred, "probs": torch.tensor([0.3, 0.7]), "saliency": torch.rand(1, 20, 30)},
    }


def collected(*batches: list[dict], **options: bool) -> CaseResults:
    results = CaseResults(**options)
    engine = Engine(lambda engine, batch: batch)
    results.attach(engine)
    engine.run(list(batches))
    return results


def test_a_case_becomes_what_is_known_and_measured_of_it(case: dict) -> None:
    (result,) = collected([case], []).results
    assert (result.case, result.source, result.patient) == ("scan", "made", "P1")
    assert result.label == 1 and result.prob == pytest.approx(0.7)
    assert result.metrics["dice"] == pytest.approx(2 / 3, abs=1e-3)
    assert result.metrics["precision"] == 1 and result.metrics["recall"] == 0.5
    assert not any(name.endswith("_mm") for name in result.metrics)


def test_with_known_spacing_distances_are_in_mm_too(case: dict) -> None:
    (result,) = collected([{**case, "spacing_mm": (0.5, 0.5)}]).results
    assert result.metrics["hausdorff_mm"] == pytest.approx(result.metrics["hausdorff_px"] / 2)


def test_a_case_without_mask_label_and_patient_is_kept(case: dict) -> None:
    bare = {k: v for k, v in case.items() if k not in ("mask", "label", "patient", "source")}
    (result,) = collected([bare]).results
    assert (result.metrics, result.label, result.patient) == ({}, None, None)


def test_masks_are_not_measured_unasked(case: dict) -> None:
    (result,) = collected([case], measure_masks=False).results
    assert result.metrics == {}


def test_a_picture_is_drawn_from_what_was_kept(case: dict) -> None:
    results = collected([case], keep_pictures=True)
    (result,) = results.results
    picture = results.picture(result)
    assert picture.shape == (20, 60, 3) and picture.dtype == np.uint8
    # Prediction and truth are drawn: another prediction gives another picture.
    other = collected([{**case, "pred": case["mask"]}], keep_pictures=True)
    assert (other.picture(other.results[0])[:, :30] != picture[:, :30]).any()
