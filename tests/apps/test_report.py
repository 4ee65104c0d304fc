"""The report's folder: what it holds, leaves out, and says when something is missing."""

import csv
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from multimix_monai.apps.report import CaseResult, summary_table, write_report

PLOTS = ("roc", "reliability", "confusion", "dice")


def masked(n: int = 14) -> list[CaseResult]:
    """Cases m0, m1, ... of rising Dice; the first has an empty prediction."""
    return [
        CaseResult(
            f"m{i}",
            "county",
            patient=f"Doe^Jane{i}",
            metrics={"dice": i / n, "hausdorff_px": float(n - i) if i else math.nan},
        )
        for i in range(n)
    ]


def labelled(n: int = 20) -> list[CaseResult]:
    """Cases c0, c1, ... alternately normal and pneumonia, of rising probability."""
    return [
        CaseResult(f"c{i}", "clinic", patient=f"Doe^Jo{i // 2}", label=i % 2, prob=i / n)
        for i in range(n)
    ]


def report(results: list[CaseResult], output: Path, **options) -> dict:
    options = {"n_resamples": 30, **options}
    return write_report(
        results, output=output, threshold_prob=0.5, threshold_source="validation", **options
    )


def grey_picture(result: CaseResult) -> np.ndarray:
    return np.full((8, 8, 3), 100, dtype=np.uint8)


def test_metrics_json_holds_what_is_returned_and_no_nan(tmp_path):
    returned = report(masked() + labelled(), tmp_path)

    def refuse(constant: str):
        raise AssertionError(f"{constant} is not JSON")

    read = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)
    assert read == returned
    assert read["masks"]["county"]["metrics"]["dice"]["mean"] == pytest.approx(6.5 / 14)
    assert read["labels"]["clinic"]["metrics"]["calibration_error"]["low"] is None
    assert (read["n_cases"], read["n_patients"]) == (34, 24)
    assert (read["threshold_prob"], read["threshold_source"]) == (0.5, "validation")


def test_cases_csv_has_a_row_a_case_and_empty_cells_for_what_is_unknown(tmp_path):
    report(masked() + labelled(), tmp_path)
    with (tmp_path / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == [r.case for r in masked() + labelled()]
    assert (rows[0]["dice"], rows[0]["hausdorff_px"], rows[0]["label"]) == ("0.0", "", "")
    last = rows[-1]
    assert (last["label"], last["pneumonia_probability"], last["dice"]) == ("1", "0.95", "")
    called = [row["pneumonia_label"] for row in rows[14:]]
    assert called == ["0"] * 10 + ["1"] * 10


def test_no_file_names_a_patient_but_images_of_one_share_a_number(tmp_path):
    report(masked() + labelled(), tmp_path, picture=grey_picture)
    texts = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(b"Doe" in text for text in texts)
    with (tmp_path / "cases.csv").open(newline="") as file:
        numbers = [int(row["patient"]) for row in csv.DictReader(file)]
    assert numbers == [*range(1, 15), *np.repeat(range(15, 25), 2)]


def test_the_plots_are_pictures(tmp_path):
    report(masked() + labelled(), tmp_path)
    for name in PLOTS:
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png"))
        assert min(pixels.shape[:2]) > 400
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 10


def test_the_ten_worst_cases_of_each_task_are_drawn_worst_first(tmp_path):
    drawn = []

    def picture(result: CaseResult) -> np.ndarray:
        drawn.append(result.case)
        return grey_picture(result)

    report(masked() + labelled(), tmp_path, picture=picture)
    assert drawn[:10] == [f"m{i}" for i in range(10)]
    assert drawn[10:13] == ["c1", "c18", "c3"]  # 0.95, 0.9 and 0.85 from their labels
    names = sorted(p.name for p in (tmp_path / "worst" / "masks").iterdir())
    assert names[0] == "01_m0.png" and names[-1] == "10_m9.png" and len(names) == 10
    assert len(list((tmp_path / "worst" / "labels").iterdir())) == 10
    lines = (tmp_path / "report.md").read_text().splitlines()
    (mask,) = (line for line in lines if "worst/masks/01_m0.png" in line)
    (label,) = (line for line in lines if "worst/labels/01_c1.png" in line)
    assert re.search(r"\), Dice 0\.\d{3}$", mask)
    assert re.search(r"\), pneumonia 0\.\d{3}, is (normal|pneumonia)$", label)


def test_a_case_that_cannot_be_drawn_is_logged_and_the_others_are(tmp_path, caplog):
    def picture(result: CaseResult) -> np.ndarray:
        if result.case == "m1":
            raise OSError("truncated")
        return grey_picture(result)

    report(masked(3), tmp_path, picture=picture)
    assert [p.name for p in sorted((tmp_path / "worst/masks").iterdir())] == [
        "01_m0.png",
        "03_m2.png",
    ]
    assert "case m1 could not be drawn" in caplog.text


def test_a_case_whose_name_is_a_path_stays_in_the_folder(tmp_path):
    evil = CaseResult("../../etc/x y", "a", metrics={"dice": 0.5})
    report([evil], tmp_path / "out", picture=grey_picture)
    assert [p.name for p in (tmp_path / "out/worst/masks").iterdir()] == ["01_.._.._etc_x_y.png"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("results", "plots", "note"),
    [
        (masked(), {"dice"}, "nothing is said about labels"),
        (labelled(), {"roc", "reliability", "confusion"}, "nothing is said about masks"),
    ],
)
def test_with_one_task_it_writes_that_and_says_so(tmp_path, results, plots, note):
    report(masked() + labelled(), tmp_path, picture=grey_picture)
    report(results, tmp_path, picture=grey_picture)
    assert {p.stem for p in tmp_path.glob("*.png")} == plots  # none of the former report
    assert note in (tmp_path / "report.md").read_text()
    assert sum(1 for _ in tmp_path.rglob("01_*.png")) == 1


def test_labels_of_one_class_and_a_single_case_make_a_report(tmp_path):
    values = report([CaseResult("x", "a", label=1, prob=0.7)], tmp_path)
    assert values["labels"]["a"]["metrics"]["auc"]["value"] is None
    assert "All labels are pneumonia" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "roc.png").exists()


def test_masks_that_are_all_empty_make_a_report(tmp_path):
    nothing = {"dice": math.nan, "hausdorff_px": math.nan}
    values = report([CaseResult(f"{i}", "a", metrics=nothing) for i in range(3)], tmp_path)
    assert values["masks"]["a"]["metrics"]["dice"]["mean"] is None
    assert (tmp_path / "dice.png").exists()


def test_the_tables_show_value_interval_and_cases(tmp_path):
    values = report(masked() + labelled(), tmp_path)
    dice = values["masks"]["county"]["metrics"]["dice"]
    interval = f"{dice['low']:.3f} to {dice['high']:.3f}"
    console = Console(file=io.StringIO(), width=120)
    console.print(summary_table(values))
    shown = console.file.getvalue()
    assert "0.464" in shown and interval in shown
    assert (
        f"| masks | county | dice | 0.464 | {interval} | 14 |"
        in (tmp_path / "report.md").read_text()
    )
    assert shown.count("county") == 1


def test_the_same_results_make_the_same_report(tmp_path):
    first, second = (report(masked() + labelled(), tmp_path / name) for name in "ab")
    assert first == second
    for name in ("cases.csv", "report.md", "metrics.json"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()
