"""Experiments, last: a finished run's weights become the bundle's, with all that belongs to them.

    python -m multimix_monai.experiments publish RUN --dataset-dir DATA

Weights without their calibration and frontal check would be used with those of other weights, or
with none. So all is made in a folder beside the bundle's models, and moved there only when whole.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.json_file import write_json
from multimix_monai.data.trained_as import file_beside, refuse_other_use
from multimix_monai.experiments.results import Result
from multimix_monai.experiments.runner import DONE, MULTIMIX, execute

FRONTAL = (MULTIMIX[0], "-m", "multimix_monai.experiments.frontal_check")
WEIGHTS, CALIBRATION, FRONTAL_CHECK = "model.pt", "calibration.json", "frontal_check.json"
PROVENANCE = "provenance.json"


def publish(
    run: Path, *, dataset_dir: Path, bundle: Path, folder: str = "", radiographs: int = 800
) -> list[Path]:
    """Put a run's weights into a bundle, with calibration, frontal check and provenance.

    Args:
        run: folder of a finished run of a grid.
        dataset_dir: folder that the run's datalist starts from.
        bundle: its folder; its inference.json must work at the run's image size.
        folder: of the bundle's models, for weights beside those that it uses by itself.
        radiographs: to fit the frontal check on.

    Returns:
        The files that were written.

    Raises:
        FileNotFoundError: the run is not finished, or the bundle is none.
        ValueError: the bundle predicts in another way than the run was trained.
        RunFailed: a step failed; the bundle is as it was.
    """
    result = finished(run)
    configs = bundle / "configs"
    if not (configs / "inference.json").is_file():
        raise FileNotFoundError(f"{bundle} is no bundle: name the folder that holds configs/")
    weights, use = run / "models" / WEIGHTS, configs / "inference.json"
    refuse_other_use(weights, json.loads(use.read_text(encoding="utf-8")))
    models = bundle / "models" / folder
    made = models / ".publishing"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    for path in filter(Path.is_file, (weights, file_beside(weights))):
        shutil.copyfile(path, made / path.name)
    for command in fits(result, made, dataset_dir=dataset_dir, bundle=bundle, n=radiographs):
        execute(command, log=run / "publish.txt", threads=os.cpu_count() or 1, name=str(run))
    write_json(provenance(result, made / WEIGHTS), made / PROVENANCE)
    written = [models / path.name for path in sorted(made.iterdir())]
    for path in written:
        os.replace(made / path.name, path)
    made.rmdir()
    return written


def finished(run: Path) -> Result:
    """Of a run's folder."""
    if not (run / DONE).is_file():
        raise FileNotFoundError(
            f"{run} holds no {DONE}: name the folder of a finished run, such as "
            "runs/weights/default/masks-all_labels-all/seed-0"
        )
    return Result(run, json.loads((run / DONE).read_text(encoding="utf-8")))


def size_of(config: Path) -> Any:
    """The side in pixels that a config gives the network; None where it does not say."""
    return json.loads(config.read_text(encoding="utf-8")).get("image_size")


def fits(
    result: Result, made: Path, *, dataset_dir: Path, bundle: Path, n: int
) -> Iterator[list[str]]:
    """Commands that fit what belongs to the weights, on the run's own datalist."""
    datalist, weights = str(datalist_of(result)), str(made / WEIGHTS)
    data = ["--dataset-dir", str(dataset_dir), "--weights", weights]
    size = ["--set", f"image_size={size_of(bundle / 'configs' / 'inference.json')}"]
    yield [*MULTIMIX, "calibrate", datalist, *data, *size, "--output", str(made / CALIBRATION)]
    options = ["--datalist", datalist, "--bundle", str(bundle), "--radiographs", str(n)]
    yield [*FRONTAL, "fit", *data, *options, "--output", str(made / FRONTAL_CHECK)]


def datalist_of(result: Result) -> Path:
    """That a run was trained with: beside the systems of its grid."""
    budget, seed = result.folder.parent.name, result.folder.name
    return result.folder.parents[2] / "datalists" / f"{budget}_{seed}.json"


def provenance(result: Result, weights: Path) -> dict[str, Any]:
    """What made the weights, and what was measured with them."""
    record = result.record
    return {
        "weights_sha256": weights_digest(weights),
        **{key: record[key] for key in ("commit", "version", "data_hash", "seed")},
        **{key: record[key] for key in ("system", "recipe", "masks", "labels", "settings")},
        "commands": [without_folders(command, result) for command in record["commands"]],
        "figures": {domain: result.figures(domain) for domain in result.reports},
    }


def without_folders(command: str, result: Result) -> str:
    """A command whose paths start from the grid's output, not from somebody's home."""
    words = shlex.split(command)
    if "--dataset-dir" in words:
        words[words.index("--dataset-dir") + 1] = "DATA"
    output = result.record["output"]
    return shlex.join(word.replace(f"{output}/", "OUTPUT/") for word in words)
