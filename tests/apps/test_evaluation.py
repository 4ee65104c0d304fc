from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from multimix_monai.apps.evaluation import choose, evaluate
from multimix_monai.data.keys import Keys
from multimix_monai.metrics import choose_threshold
from multimix_monai.transforms import preprocessing


class FakeEvaluator(Engine):
    """Gives prepared cases in batches of two, as MultiMixEvaluator does."""

    def __init__(self, cases: Sequence[dict], refused: Sequence[dict] = ()) -> None:
        super().__init__(lambda engine, batch: batch)
        self.refused = list(refused)
        self.batches = [list(cases[n : n + 2]) for n in range(0, len(cases), 2)]
        self.runs = 0

    def run(self) -> None:  # type: ignore[override]
        self.runs += 1
        if self.batches:
            super().run(self.batches)


def cases(probs: Sequence[float], labels: Sequence[int | None], folder: Path) -> list[dict]:
    """Cases with square masks that are all right, each a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    chain = preprocessing(image_size=32)
    mask = torch.zeros(1, 20, 24, dtype=torch.uint8)
    mask[:, 5:15, 5:15] = 1
    made = []
    for number, (prob, label) in enumerate(zip(probs, labels, strict=True)):
        path = folder / f"{number}.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24)).astype(np.uint8)).save(
            path
        )
        made.append(
            {
                **chain({"image": str(path)}),
                **{"case": path.stem, "source": "made", "label": label, "mask": mask},
                **{"pred": mask.clone(), "probs": torch.tensor([1 - prob, prob])},
                "saliency": torch.rand(1, 20, 24),
            }
        )
    return made


def test_the_threshold_comes_from_the_validation_cases_with_a_label(tmp_path: Path) -> None:
    probs, labels = [0.1, 0.35, 0.3, 0.8, 0.2], [0, 0, 1, 1, None]
    threshold, source = choose(FakeEvaluator(cases(probs, labels, tmp_path)))
    assert threshold == pytest.approx(choose_threshold(probs[:4], labels[:4]))
    assert source == "validation, Youden's index over 4 cases"


@pytest.mark.parametrize("labels", [[1, 1], [None, None], []])
def test_without_both_classes_the_threshold_is_one_half_and_says_so(
    labels: list, tmp_path: Path
) -> None:
    validation = FakeEvaluator(cases([0.1, 0.9][: len(labels)], labels, tmp_path))
    assert choose(validation) == (0.5, "fixed: validation does not have both classes")


@pytest.mark.slow
def test_a_given_threshold_is_used_and_validation_is_not_run(tmp_path: Path) -> None:
    validation = FakeEvaluator([])
    refused = [{"case": "cut", "source": "made", Keys.ERROR: ValueError("cut.png is cut short")}]
    test = FakeEvaluator(cases([0.2, 0.6, 0.9], [0, 0, 1], tmp_path / "in"), refused)
    report = evaluate(
        validation=validation, test=test, output_dir=tmp_path / "out", threshold_prob=0.7
    )
    assert validation.runs == 0
    assert (report["threshold_prob"], report["threshold_source"]) == (0.7, "given")
    assert report["labels"]["made"]["metrics"]["accuracy"]["value"] == 1
    assert report["masks"]["made"]["metrics"]["dice"]["mean"] == 1
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == report
    with (tmp_path / "out" / "refused.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["cut", "made", "cut.png is cut short"]]
    assert len(list((tmp_path / "out" / "worst" / "labels").iterdir())) == 3


def test_a_part_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no cases: set --part"):
        evaluate(
            validation=FakeEvaluator([]),
            test=FakeEvaluator([]),
            output_dir=tmp_path,
            threshold_prob=0.5,
        )
