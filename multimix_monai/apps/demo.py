"""The whole path of data in a few minutes: `make demo` draws, trains, evaluates and predicts.

Run it from the project's root. Every command is printed as it runs, to be copied. A run clears
away the results of the one before.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

DEMO = Path("demo")
DATA, DATALIST = DEMO / "data", DEMO / "datalist.json"
RUN, PREDICTIONS = DEMO / "run", DEMO / "predictions"
CONFIGS = "bundle/configs"
CASES = 300
SIZE = 192
MASKS = 10
LABELS = 60
TEST_SHARE = 0.25
VALIDATION_SHARE = 0.15
IMAGE_SIZE = 64
# What a short run overrides in train.json; the keys are those of the config.
TRAIN_OVERRIDES: dict[str, object] = {
    "max_epochs": 10,
    "steps_per_epoch": 40,
    "val_interval": 5,
    "fused": False,  # so few steps take less than the compiler
    "batch_sizes": {
        "mask_labelled": 6,
        "mask_unlabelled": 3,
        "label_labelled": 16,
        "label_unlabelled": 8,
    },
}
PROGRAMS = {"python": [], "multimix": ["-m", "multimix_monai.apps.cli"]}


def bundle_run(run_id: str, config: str, overrides: dict[str, object]) -> list[str]:
    """The `python -m monai.bundle run` command with the demo's data and the overrides."""
    options = {
        "config_file": config,
        "dataset_dir": DATA,
        "datalist": DATALIST,
        "output_dir": RUN,
        "image_size": IMAGE_SIZE,
        **overrides,
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return ["python", "-m", "monai.bundle", "run", run_id, *words]


def commands(*, show_bar: bool) -> list[tuple[str, list[str]]]:
    """Title and command of each step, in order.

    Args:
        show_bar: draw progress bars of training.
    """
    train, evaluate = f"{CONFIGS}/train.json", f"{CONFIGS}/evaluate.json"
    parts = ["--test", f"{DATA.name}={TEST_SHARE}", "--validation", VALIDATION_SHARE]
    budget = ["--masks", MASKS, "--labels", LABELS, "--output", DATALIST]
    weights = ["--weights", RUN / "models" / "model.pt", "--set", f"image_size={IMAGE_SIZE}"]
    steps: list[tuple[str, list]] = [
        (
            f"Draw {CASES} synthetic radiographs",
            ["multimix", "synth", DATA, "--cases", CASES, "--size", SIZE, "--dicom", 6],
        ),
        (
            f"Keep {MASKS} masks and {LABELS} labels for training, hide the others",
            ["multimix", "datalist", ".", "--dataset-dir", DATA, *parts, *budget],
        ),
        ("Train", bundle_run("training", train, {**TRAIN_OVERRIDES, "show_bar": show_bar})),
        (
            "Evaluate on patients that training never saw",
            bundle_run("evaluating", f"['{train}','{evaluate}']", {}),
        ),
        (
            "Predict DICOM files",
            ["multimix", "predict", DATA / "dicom", "--output", PREDICTIONS, *weights],
        ),
    ]
    return [(title, [str(word) for word in command]) for title, command in steps]


def clear() -> None:
    """Remove what an earlier run wrote, and nothing else."""
    for folder in (DATA, RUN, PREDICTIONS):
        shutil.rmtree(folder, ignore_errors=True)
    DATALIST.unlink(missing_ok=True)


def run(command: list[str]) -> None:
    """Print a command as a user would type it, and run it with this interpreter.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    print(f"$ {shlex.join(command)}", flush=True)
    program, *arguments = command
    # Warnings of libraries about themselves would bury what the demo shows.
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    words = [sys.executable, *PROGRAMS[program], *arguments]
    subprocess.run(words, check=True, env=environment)


def show_results() -> None:
    """Print the table of metrics, and where the report, the plots and the pictures are."""
    from rich.console import Console

    from multimix_monai.apps.report import summary_table

    report = RUN / "evaluation"
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    Console().print(summary_table(metrics))
    with (PREDICTIONS / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    print(f"What was drawn:    {DATA / 'contact_sheet.png'}")
    print(f"Report and plots:  {report / 'report.md'}, {report}/*.png")
    print(f"Worst test cases:  {report / 'worst'}/")
    print(f"Weights:           {RUN / 'models' / 'model.pt'}")
    print(f"Losses, pictures:  tensorboard --logdir {RUN}")
    print(f"Predictions:       {PREDICTIONS / 'results.csv'}, {len(rows)} DICOM files")
    for row in rows:
        overlay = PREDICTIONS / row["overlay"]
        print(f"  {row['input']}: pneumonia {row['pneumonia_probability']}, {overlay}")


def main() -> None:
    """Run all steps; the first that fails ends the demo with code 1."""
    start = time.perf_counter()
    clear()
    steps = commands(show_bar=sys.stderr.isatty())
    for number, (title, command) in enumerate(steps, 1):
        print(f"\n[{number}/{len(steps)}] {title}", flush=True)
        begun = time.perf_counter()
        try:
            run(command)
        except subprocess.CalledProcessError as error:
            sys.exit(f"error: step {number} ({title}) ended with code {error.returncode}")
        print(f"({time.perf_counter() - begun:.0f} s)")
    print()
    show_results()
    print(f"Done in {(time.perf_counter() - start) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
