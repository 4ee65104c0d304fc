"""Apps: `multimix calibrate`, temperature and threshold for a user's own labelled cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from multimix_monai.data.calibration import Calibration

MIN_OF_EACH = 10  # of normal and of pneumonia; with fewer the threshold is chance
CRITERION = "Youden's index"


def calibrate_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="DATALIST_OR_FOLDER...",
            help="JSON that `multimix datalist` wrote, a folder with images and labels.csv, or "
            "NAME=PATH as of `multimix datalist`.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="File to write.")] = Path("calibration.json"),
    dataset_dir: Annotated[
        Path, typer.Option(help="Folder that paths in a datalist, and folders, start from.")
    ] = Path(),
    part: Annotated[str, typer.Option(help="Part of a datalist.")] = "validation",
    weights: Annotated[
        Path | None, typer.Option(help="Weights; the bundle's own if absent.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of inference.json: KEY=VALUE.")
    ] = None,
) -> None:
    """Fit the temperature of the probability and choose the threshold, for `multimix predict`.

    Use labelled cases of the place where the model will be used, none of them trained on.
    """
    from multimix_monai.apps.bundle import parse_overrides

    items, chosen_on = labelled_items(sources, dataset_dir=dataset_dir, part=part)
    settings = {"ckpt_path": str(weights)} if weights else {}
    calibrate(
        items,
        chosen_on=chosen_on,
        output=output,
        settings=settings | parse_overrides(overrides or []),
    )


def calibrate(
    items: Sequence[dict[str, Any]], *, chosen_on: str, output: Path, settings: dict[str, Any]
) -> Calibration:
    """Run the network over labelled cases, fit, show the table and write the file.

    Args:
        items: with `image`, `label`, and if known `case`, `source` and `patient`.
        chosen_on: these cases in words.
        output: the file.
        settings: keys of inference.json to override.

    Raises:
        ValueError: too few cases of a class, or no temperature helps.
    """
    import numpy as np

    from multimix_monai.apps.calibration_table import show, table
    from multimix_monai.data.calibration import write_calibration
    from multimix_monai.data.keys import Keys
    from multimix_monai.metrics import log_odds

    refuse_few([item[Keys.LABEL] for item in items])  # before the network takes its time
    cases, origin = run_network(items, settings)
    labels = np.array([case[Keys.LABEL] for case in cases], dtype=int)
    refuse_few(labels.tolist())
    logits = log_odds(np.stack([np.asarray(case[Keys.RAW_PROBS]) for case in cases]))
    calibration = fit(logits, labels, chosen_on=f"{chosen_on}, {len(cases)} cases", origin=origin)
    patients = [(case.get(Keys.SOURCE), _patient(case)) for case in cases]
    show(calibration, table(logits, labels, patients, calibration=calibration))
    n_refused = len(items) - len(cases)
    if n_refused:
        typer.echo(f"{n_refused} cases could not be read and were left out")
    write_calibration(calibration, output)
    typer.echo(f"wrote {output}: use it with multimix predict --calibration {output}")
    return calibration


def labelled_items(
    sources: Sequence[str], *, dataset_dir: Path, part: str
) -> tuple[list[dict[str, Any]], str]:
    """Cases with a label, each image once, and in words where they come from.

    Raises:
        ValueError: as of `load_part` and `read_sources`.
    """
    from multimix_monai.apps.datalist import read_sources
    from multimix_monai.data.datalist import load_part
    from multimix_monai.data.keys import Keys

    datalists = [Path(source) for source in sources if source.endswith(".json")]
    folders = [source for source in sources if not source.endswith(".json")]
    items = [item for path in datalists for item in load_part(path, part, dataset_dir=dataset_dir)]
    read = read_sources(folders, dataset_dir=dataset_dir) if folders else []
    items += [
        {
            Keys.IMAGE: str(case.image),
            Keys.CASE: case.case,
            Keys.SOURCE: case.source,
            Keys.PATIENT: case.patient,
            Keys.LABEL: case.label,
        }
        for case in read
    ]
    names = [f"the {part} part of datalist {_hash(path)}" for path in datalists]
    names += [f"folder {name}" for name in dict.fromkeys(case.source for case in read)]
    wanted = (Keys.IMAGE, Keys.CASE, Keys.SOURCE, Keys.PATIENT, Keys.LABEL)
    by_image = {
        item[Keys.IMAGE]: {key: item[key] for key in wanted if key in item}
        for item in items
        if item.get(Keys.LABEL) is not None
    }
    return list(by_image.values()), " and ".join(names)


def _hash(datalist: Path) -> str:
    """The first letters of a datalist's content hash, or its file name where it has none."""
    stored = json.loads(datalist.read_text(encoding="utf-8"))
    return str(stored.get("content_hash", datalist.name))[:8]


def refuse_few(labels: Sequence[int]) -> None:
    """Raise ValueError where a class is too rare to choose anything on.

    labels: of the cases at hand, 0 or 1.
    """
    from multimix_monai.apps.calibration_table import FEW_OF_EACH

    positives = int(sum(labels))
    negatives = len(labels) - positives
    if min(positives, negatives) < MIN_OF_EACH:
        raise ValueError(
            f"{negatives} normal and {positives} pneumonia cases with a label; calibration needs "
            f"at least {MIN_OF_EACH} of each, better {FEW_OF_EACH}: add cases to the folder and "
            "its labels.csv (image,label,patient), name another folder, or another --part"
        )


def run_network(
    items: Sequence[dict[str, Any]], settings: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The cases that could be read with their `raw_probs`; digest and input size of the network."""
    from ignite.engine import Events
    from ignite.handlers import ProgressBar
    from monai.bundle import ConfigParser

    from multimix_monai.apps.bundle import config_files, own_bundle, without_wrappers
    from multimix_monai.data.calibration import weights_digest
    from multimix_monai.data.keys import Keys
    from multimix_monai.engines import CaseDataset, CaseLoader, MultiMixEvaluator
    from multimix_monai.engines.outputs import outputs
    from multimix_monai.transforms import UnpackPredictiond

    parser = ConfigParser()
    parser.read_config(config_files("inference.json"))
    parser.update({"bundle_root": own_bundle(), "preprocessing#picture": False, **settings})
    content = parser.get_parsed_content
    done: list[dict[str, Any]] = []
    kept = (Keys.RAW_PROBS, Keys.LABEL, Keys.PATIENT, Keys.SOURCE, Keys.CASE)
    with without_wrappers():
        evaluator = MultiMixEvaluator(
            device=content("device"),
            val_data_loader=CaseLoader(
                CaseDataset(items, content("preprocessing")),
                batch_size=content("batch_size"),
                num_workers=content("num_workers"),
            ),
            network=content("network"),
            inferer=content("inferer"),
            postprocessing=UnpackPredictiond(),
            val_handlers=[ProgressBar(desc="calibrate")],
        )
        evaluator.add_event_handler(
            Events.ITERATION_COMPLETED,
            lambda engine: done.extend(
                {key: case[key] for key in kept if key in case} for case in outputs(engine)
            ),
        )
        evaluator.run()
        digest = weights_digest(content("ckpt_path"))
    return done, {"weights_sha256": digest, "image_size": content("image_size")}


def fit(logits: Any, labels: Any, *, chosen_on: str, origin: dict[str, Any]) -> Calibration:
    """Temperature, and on the calibrated scale the threshold.

    Args:
        logits: (N,), log odds of pneumonia.
        labels: (N,), 0 or 1.
        chosen_on: the cases in words.
        origin: `weights_sha256` and `image_size`.
    """
    from multimix_monai import __version__
    from multimix_monai.data.calibration import Calibration
    from multimix_monai.metrics import (
        calibrated,
        choose_threshold,
        expected_calibration_error,
        fit_temperature,
    )

    temperature = fit_temperature(logits, labels)
    before, after = (calibrated(logits, temperature=t) for t in (1.0, temperature))
    return Calibration(
        temperature=temperature,
        threshold_prob=choose_threshold(after, labels),
        criterion=CRITERION,
        chosen_on=chosen_on,
        cases=len(labels),
        positives=int(labels.sum()),
        calibration_error_before=expected_calibration_error(before, labels),
        calibration_error_after=expected_calibration_error(after, labels),
        created_by=f"multimix-monai {__version__}",
        **origin,
    )


def _patient(case: dict[str, Any]) -> str:
    from multimix_monai.data.keys import Keys

    return str(case.get(Keys.PATIENT) or case.get(Keys.CASE))
