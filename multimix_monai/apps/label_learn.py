"""Apps: one training on a datastore: the bundle's train.json, from the weights of now to better.

A folder holds `model.pt`, the weights in use; `training/`, the run that is under way or was cut
short; `held_back.json`; and `history.json`, what came of each training.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimix_monai import __version__
from multimix_monai.apps.bundle import run_bundle, without_wrappers
from multimix_monai.apps.bundle_files import config_files, own_bundle
from multimix_monai.apps.label_datalist import Known, build, counts, hold_back
from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.datalist import write_datalist
from multimix_monai.data.json_file import write_json
from multimix_monai.data.keys import Keys
from multimix_monai.data.trained_as import read_trained_as, write_trained_as
from multimix_monai.handlers.checkpoints import BEST, load_checkpoint, save_atomically

logger = logging.getLogger(__name__)

# Short enough to wait for on a processor; fused steps would take the compiler longer than they win.
DEFAULTS: dict[str, Any] = {
    "max_epochs": 10,
    "steps_per_epoch": 20,
    "learning_rate": 5e-4,
    "val_interval": 2,
    "fused": False,
    "show_bar": False,
}
TASKS = {Keys.MASK: "masks", Keys.LABEL: "classes"}
ORPHAN_LOOK_S = 1.0
SERVER_PID = "MULTIMIX_LABEL_SERVER_PID"  # in the environment of what a server starts


@dataclass(frozen=True)
class Outcome:
    """What came of a training.

    Attributes:
        published: whether the new weights are in use now.
        reason: why, in words.
        before, after: validation metrics of the weights before and after, by name.
        counts: as of `label_datalist.counts`.
        left_out: ids of images whose label could not be used.
        weights: digest of the weights that are in use now.
        seconds: that it took.
    """

    published: bool
    reason: str
    before: dict[str, float]
    after: dict[str, float]
    counts: dict[str, int]
    left_out: list[str]
    weights: str
    seconds: float


class Training:
    """Trains in a folder, one at a time, and publishes what does not get worse.

    Args:
        folder: of all trainings.
        initial: weights to begin with, while there are none of its own.
        settings: overrides of train.json for every training.
    """

    def __init__(
        self, folder: Path, *, initial: Path, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = folder
        self.initial = initial
        self.settings = {**DEFAULTS, **(settings or {})}
        self.run_dir = folder / "training"

    @property
    def weights(self) -> Path:
        """Those in use: the last that were published, or the initial ones."""
        own = self.folder / BEST
        return own if own.is_file() else self.initial

    def history(self) -> list[dict[str, Any]]:
        """Outcomes of all trainings, the first one first."""
        return _read(self.folder / "history.json", [])

    def run(
        self,
        images: Sequence[Known],
        *,
        left_out: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Learn from images, go on with what was cut short if nothing changed, and publish.

        Args:
            images: all of the datastore.
            left_out: ids of those whose label could not be used.
            settings: overrides of train.json for this training.

        Raises:
            ValueError: nothing is annotated, a setting is wrong, or another training is running.
        """
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            # An orphan of a killed server notices within a moment.
            with FileLock(self.folder / "training.lock", timeout=3 * ORPHAN_LOOK_S):
                return self._run(images, list(left_out), settings or {})
        except Timeout:
            raise ValueError(
                f"another training is running in {self.folder.name}: wait for it, or stop it by "
                "DELETE /train/"
            ) from None

    def _run(
        self, images: Sequence[Known], left_out: list[str], settings: Mapping[str, Any]
    ) -> Outcome:
        start = time.monotonic()
        parts = build(images, self._held_back(images))
        logger.info(", ".join(f"{name} {count}" for name, count in counts(parts).items()))
        chosen = {**self.settings, "seed": len(self.history()), **settings}
        self._begin(parts, chosen)
        given = {**chosen, "initial_weights": str(self.weights), "output_dir": str(self.run_dir)}
        given |= {"datalist": str(self.run_dir / "datalist.json"), "dataset_dir": "/"}
        run_bundle("training", ["train.json"], given)
        outcome = self._judged(parts, chosen, left_out, start)
        write_json([*self.history(), vars(outcome)], self.folder / "history.json")
        shutil.rmtree(self.run_dir)
        logger.info(f"{'published' if outcome.published else 'not published'}: {outcome.reason}")
        return outcome

    def _held_back(self, images: Sequence[Known]) -> dict[str, bool]:
        path = self.folder / "held_back.json"
        before = _read(path, {})
        held = hold_back(images, before)
        write_json(before | held, path)
        return held

    def _begin(self, parts: dict[str, list[dict[str, Any]]], settings: Mapping[str, Any]) -> None:
        """A run that was cut short goes on if all that it hangs on is the same; else anew."""
        cases = [case for part in parts.values() for case in part]
        files = [path for c in cases for path in (c[Keys.IMAGE], *c.get(Keys.MASK, ()))]
        # A mask that was corrected keeps its path.
        written = [Path(path).stat().st_mtime_ns for path in files]
        facts = [__version__, parts, written, dict(settings), weights_digest(self.weights)]
        stamp = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        if _read(self.run_dir / "begun.json", None) != stamp:
            shutil.rmtree(self.run_dir, ignore_errors=True)
            self.run_dir.mkdir()
            write_datalist(parts, self.run_dir / "datalist.json")
            write_json(stamp, self.run_dir / "begun.json")

    def _judged(
        self,
        parts: Mapping[str, list[dict[str, Any]]],
        settings: Mapping[str, Any],
        left_out: list[str],
        start: float,
    ) -> Outcome:
        """Both weights measured on the same cases by the same chain; the better ones in use."""
        trained = self.run_dir / "models" / BEST
        cases, learnt = compared_on(parts)
        before, after = (measure(path, cases, settings) for path in (self.weights, trained))
        published, reason = verdict(before, after, learnt=learnt)
        if published:
            save_atomically(load_checkpoint(trained), self.folder / BEST)
            write_trained_as(self.folder / BEST, read_trained_as(trained))
        return Outcome(
            published=published,
            reason=reason,
            before=before,
            after=after,
            counts=counts(parts),
            left_out=left_out,
            weights=weights_digest(self.weights)[:16],
            seconds=round(time.monotonic() - start, 1),
        )


def measure(
    weights: Path, cases: Sequence[dict[str, Any]], settings: Mapping[str, Any]
) -> dict[str, float]:
    """Validation metrics of weights on cases, by train.json; those that cannot be told are absent.

    Returns:
        Of val_mean_dice, val_auc and val_score, their mean, those that are finite.
    """
    from monai.bundle import ConfigParser

    if not cases:
        return {}
    with without_wrappers():
        parser = ConfigParser()
        parser.read_config(config_files("train.json"))
        parser.update({"bundle_root": own_bundle(), **settings, "fused": False})
        parser.update({"initial_weights": str(weights), "validate#dataset#data": list(cases)})
        evaluator = parser.get_parsed_content("validate#evaluator")
        evaluator.run()
    return {n: float(v) for n, v in evaluator.state.metrics.items() if math.isfinite(v)}


def compared_on(
    parts: Mapping[str, Sequence[Mapping[str, Any]]],
) -> tuple[list[dict[str, Any]], list[str]]:
    """The cases on which weights are compared, with the truth that counts there.

    Held-back ones for each task, of which AUC needs both classes; where there are too few, those
    that were learnt from, lest weights be published that are worse at what nobody looked at.

    Args:
        parts: of a datalist.

    Returns:
        Items, each once; and the tasks that are compared on what was learnt from.
    """
    cases: dict[str, dict[str, Any]] = {}
    learnt = []
    for key in (Keys.MASK, Keys.LABEL):
        part = next((part for part in ("validation", "training") if _tells(parts[part], key)), None)
        learnt += [TASKS[key]] if part == "training" else []
        for item in parts[part] if part else ():
            if key in item:
                bare = {n: v for n, v in item.items() if n not in TASKS}
                cases.setdefault(item[Keys.CASE], bare)[key] = item[key]
    return list(cases.values()), learnt


def _tells(items: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Whether a metric can be told: Dice of any mask, AUC of both classes."""
    known = [item[key] for item in items if key in item]
    return len(set(known)) == 2 if key == Keys.LABEL else bool(known)


def verdict(
    before: Mapping[str, float], after: Mapping[str, float], *, learnt: Sequence[str]
) -> tuple[bool, str]:
    """Whether new weights are published, and why: only if their score is not below the old ones'.

    Args:
        before, after: as of `measure`, on the same cases.
        learnt: as of `compared_on`.
    """
    cases = "held-back cases"
    if learnt:
        cases = f"{cases}, but {' and '.join(learnt)} on those learnt from: too few are held back"
    if "val_score" not in before or "val_score" not in after:
        return False, "nothing to compare: masks, or classes of both kinds, are needed"
    told = f"score {before['val_score']:.4f} before and {after['val_score']:.4f} after on {cases}"
    if after["val_score"] < before["val_score"]:
        return False, f"{told}: the weights before stay in use"
    return True, told


def end_with_parent(parent: int) -> None:
    """From here on this process ends when the one that started it is gone, even if it is already.

    A killed server cannot stop its training, which must not go on unseen beside that of the next.
    """

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_LOOK_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def _read(path: Path, default: Any) -> Any:
    """What a JSON holds; the default where there is none, or it was cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default
