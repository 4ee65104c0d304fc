"""Apps: one radiograph judged at once, by the bundle's inference.json and the weights of now."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multimix_monai.apps.bundle import without_wrappers
from multimix_monai.apps.predict import parser_of
from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.keys import Keys
from multimix_monai.data.trained_as import read_trained_as
from multimix_monai.engines import CaseDataset, Informativeness, informativeness
from multimix_monai.engines.evaluator import Predict
from multimix_monai.engines.failure import quiet_libraries
from multimix_monai.handlers.case_row import Threshold, error_row, refusal_of, result_row

logger = logging.getLogger(__name__)

# An evaluator without cases and handlers: it is asked case by case.
ASKED = {"dataset#data": [], "evaluator#val_data_loader": [], "handlers": [], "num_workers": 0}


class Judge:
    """What `multimix predict` finds in a radiograph, kept in memory instead of written.

    Args:
        weights: of the network.
        settings: further overrides of inference.json, such as `force`; how the weights were
            trained, such as at another `image_size`, need not be said.
    """

    def __init__(self, weights: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.digest = weights_digest(weights)
        with without_wrappers():
            given = {**ASKED, **read_trained_as(weights), **(settings or {})}
            parser = parser_of({**given, "ckpt_path": str(weights)})
            self.evaluator = parser.get_parsed_content("evaluator")
            self.preprocessing = parser.get_parsed_content("preprocessing")
            self.settings = parser.get_parsed_content("settings")
            self.algorithm = parser.get_parsed_content("algorithm")
        self.threshold = Threshold(self.settings["threshold"], self.settings["threshold_source"])
        self.force = bool(self.settings["force"])
        self.evaluator.checks = tuple(map(self._of_its_own_weights, self.evaluator.checks))

    def _of_its_own_weights(self, check: Any) -> Any:
        """A check that was fitted to other weights asks those: training must not switch it off."""
        fitted = getattr(getattr(check, "model", None), "weights_sha256", self.digest)
        if fitted == self.digest:
            return check
        return OtherNetworksCheck() if fitted == bundle_digest() else check

    def read(self, path: Path) -> dict[str, Any]:
        """The preprocessed case of a file, or one with an error."""
        case = {Keys.IMAGE: str(path), Keys.CASE: "case"}
        return CaseDataset([case], self.preprocessing, keep_going=True)[0]

    def judge(self, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """All that is found in a radiograph: the case, and its row by `results_table.COLUMNS`."""
        with quiet_libraries():
            case = self.read(path)
            if Keys.ERROR in case:
                return case, error_row(case)
            try:
                case = self.evaluator.ask([case])[0]
                refusal = None if self.force else refusal_of(case)
                if refusal:
                    return case, refusal
                case = self.evaluator.postprocessing(case)
            except Exception as error:  # as of `predict`, it is this case's alone
                return case, error_row(case, error)
            return case, result_row(case, threshold=self.threshold)

    def informativeness(self, paths: Sequence[Path]) -> list[Informativeness | None]:
        """How much an annotation of each would tell; None for what is refused or unreadable."""
        with quiet_libraries():
            cases = [self.read(path) for path in paths]
        images = [case[Keys.IMAGE] for case in cases if Keys.ERROR not in case]
        if not images:
            return [None for _ in cases]
        found = iter(
            informativeness(
                self.evaluator.network,
                torch.stack([image.as_tensor() for image in images]),
                threshold_prob=self.settings["lung_threshold"],
            )
        )
        return [None if Keys.ERROR in case else next(found) for case in cases]


class OtherNetworksCheck:
    """The bundle's frontal check, asked of the bundle's own network, whichever network predicts."""

    def __init__(self) -> None:
        with without_wrappers():
            parser = parser_of(ASKED)
            self.network = parser.get_parsed_content("network").eval()
            self.inferer = parser.get_parsed_content("inferer")
            self.check = parser.get_parsed_content("checks")[0]

    @torch.inference_mode()
    def __call__(
        self, images: Tensor, predictions: Tensor, predict: Predict
    ) -> list[dict[str, Any]]:
        """As of `engines.FrontalCheck`."""
        own = self.inferer(images, self.network).float().cpu()
        found: list[dict[str, Any]] = self.check(images, own, predict)
        return found


def bundle_digest() -> str:
    """Of the weights that the bundle came with."""
    with without_wrappers():
        return weights_digest(parser_of({}).get_parsed_content("ckpt_path"))


class CurrentJudge:
    """The judge by the weights that are published now, made anew when others are.

    Args:
        weights: gives the path of the weights to use.
        settings: as of `Judge`.
    """

    def __init__(self, weights: Any, settings: Mapping[str, Any] | None = None) -> None:
        self.weights = weights
        self.settings = settings
        self.lock = threading.RLock()
        self.known: tuple[Any, Judge] | None = None

    def __call__(self) -> Judge:
        """Raises ValueError if there are no weights that can be used."""
        with self.lock:
            path = Path(self.weights())
            stamp = (str(path), path.stat().st_mtime_ns, path.stat().st_size)
            if self.known is None or self.known[0] != stamp:
                self.known = (stamp, Judge(path, self.settings))
                logger.info(f"weights {self.known[1].digest[:16]}")
            return self.known[1]
