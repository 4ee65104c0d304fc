"""What bf16 and int8 lose and win at inference, on real radiographs, with shipped weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from multimix_monai.apps.predict import parser_of
from multimix_monai.data.keys import Keys
from tests.benchmarks.conftest import Effort
from tests.benchmarks.ours import prediction
from tests.benchmarks.report import keep_figures
from tests.benchmarks.timing import race

PROVENANCE = Path(__file__).parents[2] / "bundle" / "models" / "provenance.json"
MASKS, LABELS, RANGES = 45, 200, 32  # cases with a mask, with a label, and to calibrate on
TIMED = 8  # images a batch
PLAIN = "fp32"

Cases = list[dict[str, Any]]


def split(root: Path) -> dict[str, Cases]:
    """The parts that the shipped weights were trained, chosen and tested on."""
    from multimix_monai.apps.datalist import read_sources
    from multimix_monai.data.datalist import build_datalist

    datalist = build_datalist(
        read_sources(["montgomery=montgomery", "kermany=chest_xray"], dataset_dir=root),
        dataset_dir=root,
        test={"montgomery": MASKS},
        validation=0.1,
    )
    assert datalist["content_hash"] == json.loads(PROVENANCE.read_text())["data_hash"]
    return {part: [absolute(c, root) for c in datalist[part]] for part in ("test", "validation")}


def absolute(case: dict, root: Path) -> dict[str, Any]:
    """The case with paths that start from nowhere else."""
    paths = {Keys.IMAGE: str(root / case[Keys.IMAGE])}
    if Keys.MASK in case:
        paths[Keys.MASK] = [str(root / path) for path in case[Keys.MASK]]
    return {**case, **paths}


@pytest.fixture(scope="module")
def real(shared_data: Callable[[str], Path]) -> tuple[Cases, Cases]:
    """Held-back masks and labels of validation, and cases of neither to calibrate on."""
    root = shared_data("montgomery").parent
    parts = split(root)
    masks = [case for case in parts["test"] if case[Keys.SOURCE] == "montgomery"]
    known = [case for case in parts["validation"] if Keys.LABEL in case]
    every = known[:: max(1, len(known) // LABELS)][:LABELS]
    rest = [case for case in known if case not in every][:RANGES]
    assert len(masks) == MASKS and len(every) == LABELS and len(rest) == RANGES
    return masks + every, rest


def test_what_reduced_precision_loses_and_wins(
    effort: Effort, real: tuple[Cases, Cases], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    from tests.benchmarks.formats import Answers, by_onnxruntime, exported, in_int8, stacked

    cases = real[0][:: 10 if effort.quick else 1]
    parser = parser_of({})
    prepare, finish = map(parser.get_parsed_content, ("preprocessing", "postprocessing"))
    items, others = (
        [prepare({Keys.IMAGE: case[Keys.IMAGE]}) for case in part] for part in (cases, real[1])
    )
    ranges = stacked(others)
    file, threads = exported(tmp_path), torch.get_num_threads()
    formats = {
        PLAIN: prediction(),
        "bf16": prediction(autocast=True),
        "onnxruntime fp32": by_onnxruntime(file, threads=threads),
        "onnxruntime int8": by_onnxruntime(in_int8(file, images=ranges), threads=threads),
    }
    answers = {
        name: Answers.of(predict, items, postprocessing=finish) for name, predict in formats.items()
    }
    batch = stacked(items[:TIMED])
    times = race(
        f"inference of {TIMED} radiographs, {batch.shape[-1]} px",
        {name: (lambda predict=predict: predict(batch)) for name, predict in formats.items()},
        versus={(name, PLAIN): None for name in formats if name != PLAIN},
        pairs=effort.pairs,
    )
    plain = answers[PLAIN]
    for name, answer in answers.items():
        difference = abs(answer.prob - plain.prob)
        keep_figures(
            f"{name}, inference of {len(cases)} radiographs",
            dice=answer.dice(cases),
            auc=answer.auc(cases),
            largest_difference_of_probability=float(difference.max()),
            mean_difference_of_probability=float(difference.mean()),
            share_of_pixels_changed=answer.changed_pixels(plain),
            time_against_fp32=times[name, PLAIN].ratio if name != PLAIN else 1.0,
        )
    assert abs(answers["onnxruntime fp32"].prob - plain.prob).max() < 1e-3
    assert answers["bf16"].dice(cases) == pytest.approx(plain.dice(cases), abs=0.02)
