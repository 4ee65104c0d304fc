from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from multimix_monai.apps import cli, demo
from multimix_monai.apps.report import write_report
from multimix_monai.metrics import CaseResult

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that the demo starts in an empty folder, of which none runs."""
    started: list[list[str]] = []
    monkeypatch.chdir(tmp_path)

    def start(words: list[str], **options: object) -> None:
        started.append(words)

    monkeypatch.setattr(demo.subprocess, "run", start)
    return started


def results() -> None:
    """What evaluation and prediction leave."""
    cases = [
        CaseResult(case=str(n), source="data", label=n % 2, prob=n / 4, metrics={"dice": 0.9})
        for n in range(4)
    ]
    write_report(
        cases,
        output=demo.RUN / "evaluation",
        threshold_prob=0.5,
        threshold_source="",
        n_resamples=9,
    )
    demo.PREDICTIONS.mkdir(parents=True)
    row = "input,pneumonia_probability,overlay\ndx.dcm,0.25,dicom-1/overlay.png\n"
    (demo.PREDICTIONS / "results.csv").write_text(row)


def test_every_multimix_command_has_the_options_that_it_is_given() -> None:
    given = [words[1:] for _, words in demo.commands(show_bar=False) if words[0] == "multimix"]
    assert [words[0] for words in given] == ["synth", "datalist", "predict"]
    for name, *words in given:
        cli.load_command(name).make_context(name, words)  # parses, and does not run


def test_every_bundle_command_overrides_keys_that_its_config_has() -> None:
    given = [words for _, words in demo.commands(show_bar=True) if words[0] == "python"]
    assert [words[4] for words in given] == ["training", "evaluating"]
    for words in given:
        options = dict(zip(words[5::2], words[6::2], strict=True))
        files = options.pop("--config_file").strip("[]").replace("'", "").split(",")
        parser = ConfigParser()
        parser.read_config([str(REPOSITORY / file) for file in files])
        assert [key for key in options if key.removeprefix("--") not in parser] == []


def test_the_steps_run_in_order_with_this_interpreter(
    ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(demo, "show_results", lambda: None)
    demo.main()
    assert len(ran) == 5
    assert {words[0] for words in ran} == {sys.executable}
    out = capsys.readouterr().out
    assert "$ multimix synth demo/data" in out and "Done in 0.0 minutes." in out


def test_a_step_that_fails_ends_the_demo_by_name(
    ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: list[str]) -> None:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(demo, "run", fail)
    with pytest.raises(SystemExit, match=r"step 1 \(Draw .*\) ended with code 1"):
        demo.main()


def test_a_second_demo_clears_its_own_results_and_nothing_else(
    ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "show_results", lambda: None)
    for path in (demo.DATA / "a.png", demo.RUN / "models" / "model.pt", demo.DATALIST):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (demo.DEMO / "notes.txt").touch()
    demo.main()
    assert [path.name for path in demo.DEMO.iterdir()] == ["notes.txt"]


def test_the_end_shows_the_table_and_where_things_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    results()
    demo.show_results()
    out = capsys.readouterr().out
    dice = json.loads((demo.RUN / "evaluation" / "metrics.json").read_text())["masks"]["data"]
    assert dice["metrics"]["dice"]["mean"] == pytest.approx(0.9)
    assert "dice" in out and "0.900" in out
    assert "demo/run/evaluation/report.md" in out
    assert "dx.dcm: pneumonia 0.25, demo/predictions/dicom-1/overlay.png" in out
