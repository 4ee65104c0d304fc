"""Apps: `multimix predict --runtime onnx`, a prediction without torch.

The exported network's file says what inference.json says elsewhere; what may be set has the names
that it has there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from multimix_monai import __version__
from multimix_monai.apps.bundle_files import own_bundle
from multimix_monai.apps.inference import algorithm_of, infer, wants_dicom
from multimix_monai.arrays.frontal import FrontalJudge
from multimix_monai.arrays.frontal_model import FrontalModel
from multimix_monai.arrays.grey import PICTURE_SIDE
from multimix_monai.arrays.quality import RULES, with_bounds
from multimix_monai.data.calibration import Calibration, read_calibration, weights_digest
from multimix_monai.data.exported import Exported
from multimix_monai.engines.cases import CaseDataset
from multimix_monai.engines.onnx_network import OnnxNetwork
from multimix_monai.engines.portable import PredictCases
from multimix_monai.engines.reading import CaseLoader
from multimix_monai.handlers.case_progress import CaseProgress
from multimix_monai.handlers.case_writer import CaseWriter
from multimix_monai.handlers.results_table import ResultsTable
from multimix_monai.transforms.portable import FinishCase, PrepareCase

IN_THE_FILE = ("lung_threshold_prob", "keep_components", "quality_rules")
DEFAULTS: dict[str, Any] = {
    "ckpt_path": None,
    "calibration_path": None,
    "threshold_prob": None,
    "force": False,
    "dicom": None,
    "overwrite": False,
    "show_bar": None,
    "picture_side": PICTURE_SIDE,
    "batch_size": 8,
    "num_workers": None,
}


@dataclass(frozen=True)
class PortableRun:
    """What an evaluator with its handlers is elsewhere."""

    loader: CaseLoader
    predict: PredictCases
    progress: CaseProgress
    writer: CaseWriter

    def run(self) -> None:
        """Over all batches. An error ends it; what is written stays."""
        self.progress.begin()
        self.writer.begin()
        try:
            for batch in self.loader:
                cases = self.predict(batch)
                self.progress.add(len(cases))
                self.writer.write(cases)
            self.progress.end()
            self.writer.end()
        except BaseException as error:
            self.writer.give_up(error)


def run(settings: Mapping[str, Any]) -> ResultsTable:
    """Predict the cases that have no result yet; the table of all.

    Args:
        settings: `dataset#data` (cases as of `find_cases`), `output_dir`, and any of DEFAULTS and
            IN_THE_FILE; None stands for what the exported file says.

    Raises:
        ValueError: a setting is unknown or wrong, or the exported network cannot be used.
        ImportError: onnxruntime is missing, or what results as DICOM need.
        OSError: the disk is full; the same again goes on.
    """
    given = {**DEFAULTS, **settings}
    _refuse_unknown(given)
    path = Path(given["ckpt_path"] or Path(own_bundle()) / "models" / "model.onnx")
    network = OnnxNetwork(path)
    exported = used(network.exported, given)
    calibration = exported.calibration or Calibration()
    if given["threshold_prob"] is None:
        given["threshold_prob"] = calibration.threshold_prob
    results = ResultsTable(
        given["output_dir"],
        given["dataset#data"],
        settings=settings_of(exported, given, digest=weights_digest(path)),
        overwrite=given["overwrite"],
    )
    infer(portable_run(network, exported, given, results=results), results)
    return results


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    known = ("dataset#data", "output_dir", *DEFAULTS, *IN_THE_FILE)
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise ValueError(
            f"with --runtime onnx {unknown[0]} cannot be set, only {', '.join(known[2:])}: export "
            "the network with it, or leave --runtime out"
        )


def used(exported: Exported, given: Mapping[str, Any]) -> Exported:
    """What the file says, with what is given in its place.

    Raises:
        ValueError: a value is out of its range, or the calibration is of other weights.
    """
    changes = {name: given[name] for name in IN_THE_FILE if given.get(name) is not None}
    if "quality_rules" in changes:
        changes["quality_rules"] = {**exported.quality_rules, **changes["quality_rules"]}
    if given["calibration_path"] is not None:
        changes["calibration"] = read_calibration(given["calibration_path"])
    return replace(exported, **changes)


def settings_of(exported: Exported, given: Mapping[str, Any], *, digest: str) -> dict[str, Any]:
    """All that a result hangs on, by the names of inference.json's `settings`.

    Args:
        digest: of the exported file, which also holds the parameters of the frontal check.
    """
    calibration = exported.calibration or Calibration()
    return {
        "version": __version__,
        "runtime": "onnx",
        "exported": digest[:16],
        "weights": exported.weights_sha256,
        "image_size": exported.image_size,
        "temperature": calibration.temperature,
        "threshold": given["threshold_prob"],
        "threshold_source": calibration.source_of(given["threshold_prob"]),
        "lung_threshold": exported.lung_threshold_prob,
        "keep_components": exported.keep_components,
        "quality_rules": exported.quality_rules,
        "force": given["force"],
        "picture_side": given["picture_side"],
        "dicom": wants_dicom(given["dicom"]),
    }


def portable_run(
    network: OnnxNetwork, exported: Exported, given: Mapping[str, Any], *, results: ResultsTable
) -> PortableRun:
    """The parts of inference.json, without torch."""
    check = exported.frontal_check
    finish = FinishCase(
        threshold_prob=exported.lung_threshold_prob,
        keep_components=exported.keep_components,
        temperature=exported.calibration.temperature if exported.calibration else 1.0,
        rules=with_bounds(RULES, exported.quality_rules),
    )
    return PortableRun(
        loader=CaseLoader(
            CaseDataset(
                [dict(case) for case in given["dataset#data"]],
                PrepareCase(exported.image_size, given["force"], given["picture_side"]),
                keep_going=True,
            ),
            batch_size=given["batch_size"],
            num_workers=given["num_workers"],
            indices=results.todo,
        ),
        predict=PredictCases(
            network,
            FrontalJudge(
                None if check is None else FrontalModel(**check),
                weights_sha256=exported.weights_sha256,
            ),
            threshold_prob=exported.lung_threshold_prob,
        ),
        progress=CaseProgress(results, show_bar=given["show_bar"]),
        writer=CaseWriter(
            results,
            threshold_prob=given["threshold_prob"],
            threshold_source=results.settings["threshold_source"],
            force=given["force"],
            algorithm=algorithm_of(results.settings),
            postprocessing=finish,
            num_workers=given["num_workers"],
        ),
    )
