from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

pytest.importorskip("highdicom")

from multimix_monai.dicom.annotation import (
    annotation,
    drawn_on,
    is_annotation,
    read_annotation,
    saved_at,
)

Files = Callable[..., Path]


@pytest.fixture
def mask() -> np.ndarray:
    plane = np.zeros((40, 50), np.uint8)
    plane[5:30, 5:15] = plane[8:28, 30:44] = 1
    return plane


def test_a_mask_comes_back_as_it_was_drawn(
    radiograph_file: Files, mask: np.ndarray, tmp_path: Path
) -> None:
    source = pydicom.dcmread(radiograph_file())
    seg = annotation(source, mask)
    seg.save_as(tmp_path / "seg.dcm")
    assert np.array_equal(read_annotation(tmp_path / "seg.dcm", source.SOPInstanceUID), mask)
    assert is_annotation(seg) and drawn_on(seg) == source.SeriesInstanceUID


def test_whoever_draws_the_same_again_saves_the_newest(
    radiograph_file: Files, mask: np.ndarray
) -> None:
    source = pydicom.dcmread(radiograph_file())
    times = [datetime(2026, 1, 1, 12, 0, second) for second in (1, 2, 3)]
    planes = (mask, mask[:, ::-1].copy(), mask)
    first, other, again = (
        annotation(source, m, saved=t) for m, t in zip(planes, times, strict=True)
    )
    assert len({seg.SOPInstanceUID for seg in (first, other, again)}) == 3
    assert len({seg.SeriesInstanceUID for seg in (first, other, again)}) == 3
    assert max((first, other, again), key=saved_at) is again
    assert saved_at(annotation(source, mask)) > saved_at(again)


def test_only_lungs_that_a_person_drew_are_an_annotation(
    radiograph_file: Files, mask: np.ndarray
) -> None:
    def changed(**attributes: Any) -> bool:
        seg = annotation(radiograph_file(), mask)
        segment = seg.SegmentSequence[-1]
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        for keyword, value in attributes.items():
            setattr(segment if keyword in segment else kind, keyword, value)
        return is_annotation(seg)

    assert changed()
    assert changed(CodeValue="T-28000", CodingSchemeDesignator="SRT")  # the lung's code before
    assert not changed(CodeValue="36118008")  # pneumothorax
    assert not changed(CodingSchemeDesignator="99OTHER")
    assert not changed(SegmentedPropertyTypeCodeSequence=[])
    assert not changed(SegmentAlgorithmType="AUTOMATIC")
