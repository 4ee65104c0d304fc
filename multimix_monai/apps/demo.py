"""The whole path of data in a few minutes: `make demo` draws, trains, evaluates and predicts.

Run it from the project's root. Every command is printed as it runs, to be copied.
"""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

DEMO = "demo"
CASES = 160
SIZE = 256
SEED = 0
MASKS = 10
LABELS = 20
TEST_SHARE = 0.2
CONFIGS = "bundle/configs"
# What a short run overrides in train.json; the keys are those of the config.
TRAIN_OVERRIDES: dict[str, object] = {
    "max_epochs": 4,
    "output_dir": f"{DEMO}/eval",
    "ckpt_dir": f"{DEMO}/models",
}
EVALUATE_OVERRIDES: dict[str, object] = {
    "output_dir": f"{DEMO}/eval",
    "ckpt_dir": f"{DEMO}/models",
}
METRICS = f"{DEMO}/eval/metrics.json"
PREDICT_OPTIONS = ["--weights", f"{DEMO}/models/model.pt"]


def bundle_run(run_id: str, config: str, overrides: dict[str, object]) -> list[str]:
    """The `python -m monai.bundle run` command with the demo's data and the overrides."""
    data = {"dataset_dir": f"{DEMO}/data", "datalist": f"{DEMO}/datalist.json"}
    options = [
        word for key, value in {**data, **overrides}.items() for word in (f"--{key}", str(value))
    ]
    return ["python", "-m", "monai.bundle", "run", run_id, "--config_file", config, *options]


def commands() -> list[tuple[str, list[str]]]:
    """Title and command of each step, in order."""
    data, datalist, predictions = f"{DEMO}/data", f"{DEMO}/datalist.json", f"{DEMO}/predictions"
    train, evaluate = f"{CONFIGS}/train.json", f"{CONFIGS}/evaluate.json"
    synth = ["multimix", "synth", data, "--cases", CASES, "--size", SIZE, "--seed", SEED]
    budget = ["--masks", MASKS, "--labels", LABELS, "--test", f"data={TEST_SHARE}", "--seed", SEED]
    both = f"['{train}','{evaluate}']"
    predict = ["multimix", "predict", f"{data}/dicom", "--output", predictions, *PREDICT_OPTIONS]
    steps: list[tuple[str, list]] = [
        (f"Draw {CASES} synthetic radiographs", synth),
        (
            f"Keep {MASKS} masks and {LABELS} labels, hide the others",
            ["multimix", "datalist", ".", "--dataset-dir", data, *budget, "--output", datalist],
        ),
        ("Train", bundle_run("training", train, TRAIN_OVERRIDES)),
        ("Evaluate on the test cases", bundle_run("evaluating", both, EVALUATE_OVERRIDES)),
        ("Predict DICOM files", predict),
    ]
    return [(title, [str(word) for word in command]) for title, command in steps]


def run(command: list[str]) -> None:
    """Print a command as a user would type it, and run it with this interpreter.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    print(f"$ {shlex.join(command)}", flush=True)
    program, *arguments = command
    modules = {"python": [], "multimix": ["-m", "multimix_monai.apps.cli"]}
    subprocess.run([sys.executable, *modules[program], *arguments], check=True)


def show_metrics(path: Path) -> None:
    """Print the numbers of the evaluation as a table, one a line."""
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "value", title="Test cases")
    for name, value in json.loads(path.read_text(encoding="utf-8")).items():
        if isinstance(value, int | float):
            table.add_row(name, f"{value:.4g}")
    Console().print(table)


def show_pictures(folder: Path) -> None:
    """Print how many inputs were predicted and where the first overlays are."""
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        statuses = [row["status"] for row in csv.DictReader(file)]
    print(f"{statuses.count('ok')} of {len(statuses)} inputs predicted: {folder / 'results.csv'}")
    for picture in sorted(folder.rglob("overlay.png"))[:5]:
        print(f"  {picture}")


def main() -> None:
    """Run all steps; the first that fails ends the demo with its exit code."""
    start = time.perf_counter()
    steps = commands()
    for number, (title, command) in enumerate(steps, 1):
        print(f"\n[{number}/{len(steps)}] {title}", flush=True)
        try:
            run(command)
        except subprocess.CalledProcessError as error:
            sys.exit(f"error: step {number} ({title}) ended with code {error.returncode}")
    print()
    show_metrics(Path(METRICS))
    show_pictures(Path(DEMO) / "predictions")
    print(f"Done in {(time.perf_counter() - start) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
