"""Handlers: checkpoints that survive a kill, hold plain data, and from which training goes on."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from torch import nn

from multimix_monai.data.trained_as import refuse_other_use, write_trained_as
from multimix_monai.engines.trainer import process_rank
from multimix_monai.handlers.begun_as import plain, refuse_other

logger = logging.getLogger(__name__)

LAST = "last.pt"  # everything that training goes on from
BEST = "model.pt"  # the best weights by validation, a plain state dict
NO_SCORE = float("-inf")
ANOTHER = "another --output (output_dir)"
OF_OTHERS = "it is for other programs; name the weights that it was exported from"
EXPORTED = (".onnx", ".ts", ".pt2")  # what `multimix export` writes


class Stateful(Protocol):
    """What has a state to save."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write under a temporary name, then rename: whatever happens, `path` is whole.

    Raises:
        OSError: the disk is full or not writable; names the file, the one before stays.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        # torch's own error hides that of the disk.
        reason = error if isinstance(error, OSError) else error.__context__ or error
        raise OSError(
            f"cannot write checkpoint {path}: {reason}; the one before is intact: free space or "
            f"choose {ANOTHER}, and run the same command again to go on"
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder that can be written into.

    Raises:
        OSError: it cannot be made or written into; names the folder and the remedy.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError("it may not be written into")
    except OSError as error:
        raise OSError(
            f"cannot write checkpoints into {folder}: {error.strerror or error}: choose {ANOTHER}"
        ) from error


def remove_unfinished(folder: Path) -> None:
    """Clear away what killed runs left behind in the middle of writing."""
    for path in folder.glob(".*.pt.*.tmp"):
        path.unlink(missing_ok=True)


def load_checkpoint(path: Path | str) -> dict[str, Any]:
    """Read a checkpoint with weights_only=True, to the CPU.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is no checkpoint, cut short, or holds code, or is an exported network.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"checkpoint {path} does not exist: train first, or name one by --weights (ckpt_path)"
        )
    if path.suffix in EXPORTED:
        raise ValueError(
            f"{path} is an exported network, not weights: "
            + ("to predict with it, add --runtime onnx" if path.suffix == ".onnx" else OF_OTHERS)
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the unpickler raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"checkpoint {path} is damaged or holds more than tensors and plain values, and is "
            # Torch advises to switch off the check, and so to run whatever code the file holds.
            "not loaded" + ("" if "weights" in reason.lower() else f": {reason}")
        ) from error
    if not isinstance(state, dict):
        raise ValueError(f"checkpoint {path} holds a {type(state).__name__}, not a state dict")
    return state


def load_weights(
    network: nn.Module, path: Path | str, *, used: Mapping[str, Any] | None = None
) -> nn.Module:
    """Put a plain state dict, or that of a `last.pt`, into a network; returns the network.

    Args:
        network: to train further, or to use.
        path: of the weights.
        used: how the network is used, see `data.trained_as`; None to train it further.

    Raises:
        ValueError: names or shapes differ from the network's; the first difference is named. Or
            the weights were trained in another way than they are used.
    """
    state = load_checkpoint(path)
    refuse_other_use(path, used or {})
    state = state.get("teacher") or state.get("network") or state
    own = network.state_dict()
    if not own.keys() & state.keys():
        raise ValueError(
            f"{path} holds weights of another network, of which no tensor has a name of "
            f"{type(network).__name__}'s: name weights that were trained here"
        )
    for name in sorted(own.keys() | state.keys(), key=str):
        theirs, ours = shape_of(state, name), shape_of(own, name)
        if theirs != ours:
            raise ValueError(
                f"checkpoint {path} does not fit the network: {name} is {theirs} there and {ours} "
                "here: set network_def's widths and channels as they were in training"
            )
    network.load_state_dict(state)
    return network


def begin_with(network: nn.Module, weights: Path | str | None) -> nn.Module:
    """The network as its training begins: with weights to train further, or as it is for None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as of `load_weights`.
    """
    if weights and not Path(weights).is_file():
        raise FileNotFoundError(
            f"initial weights {weights} do not exist: name others by --initial-weights "
            "(initial_weights), or none to begin anew"
        )
    return load_weights(network, weights) if weights else network


def shape_of(state: dict[str, Any], name: str) -> tuple[int, ...] | str:
    """Shape of a state's tensor, or what there is instead."""
    if name not in state:
        return "missing"
    value = state[name]
    return tuple(value.shape) if torch.is_tensor(value) else f"a {type(value).__name__}"


def scaler_of(engine: Engine) -> dict[str, Stateful]:
    """The trainer's gradient scaler, where it trains in fp16."""
    scaler = getattr(engine, "grad_scaler", None)
    return {"grad_scaler": scaler} if scaler is not None and scaler.is_enabled() else {}


class Checkpoints:
    """Writes `last.pt` after every epoch and `model.pt` when validation is the best yet; resumes.

    Beside `model.pt` lies `model.json`, which says how it was trained, see `data.trained_as`.

    Args:
        save_dir: folder of both files.
        parts: name -> what belongs to the state: network, optimizer, lr_scheduler, teacher, recipe.
        weights: the network whose weights become `model.pt`.
        evaluator: its key metric is the score; without one, the last weights are the best.
        begun_as: settings on which the weights hang, as of `begun_as.plain`; a `last.pt` of others
            is refused.
        resume: go on from `last.pt` if it is there.

    Attach it after what validates, so that it sees the epoch's score.
    """

    def __init__(
        self,
        save_dir: str | Path,
        parts: dict[str, Stateful],
        weights: nn.Module,
        *,
        evaluator: Engine | None = None,
        begun_as: Mapping[str, Any] | None = None,
        resume: bool = True,
    ) -> None:
        self.save_dir = Path(save_dir)
        self.parts = parts
        self.weights = weights
        self.evaluator = evaluator
        self.begun_as = plain(begun_as or {})
        self.resume = resume
        self.best_score = NO_SCORE
        self.best_epoch = 0

    def attach(self, engine: Engine) -> None:
        """To the trainer."""
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, self.summarise)

    def load(self, engine: Engine) -> None:
        """Go on where `last.pt` ends; more epochs than were first asked for are fine.

        A further run of the same trainer keeps its weights, which a federated server has set.

        Raises:
            OSError: the folder cannot be written into.
            ValueError: it was begun with other settings, or resume is false.
        """
        if engine.state.iteration:
            return
        if process_rank() == 0:
            make_folder(self.save_dir)
            remove_unfinished(self.save_dir)
        path = self.save_dir / LAST
        if not path.exists():
            return
        if not self.resume:
            raise ValueError(
                f"{path} holds an earlier run and resume is false: choose {ANOTHER}, or delete it"
            )
        state = load_checkpoint(path)
        refuse_other(self.begun_as, state.get("begun_as", {}), path=path)
        for name, part in {**self.parts, **scaler_of(engine)}.items():
            self._load_part(name, part, state)
        engine.state.epoch, engine.state.iteration = state["epoch"], state["iteration"]
        self.best_score, self.best_epoch = state["best_score"], state["best_epoch"]
        if engine.state.epoch >= (engine.state.max_epochs or 0):
            logger.warning(
                f"{path} has all {engine.state.epoch} epochs: raise --epochs (max_epochs) to go on"
            )
            engine.terminate()
        logger.info(
            f"going on from {path}, epoch {engine.state.epoch} of {engine.state.max_epochs}"
        )

    def _load_part(self, name: str, part: Stateful, state: dict[str, Any]) -> None:
        try:
            getattr(part, "module", part).load_state_dict(state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(
                f"{self.save_dir / LAST}: {name} does not fit this run ({reason}): choose "
                f"{ANOTHER}, or the settings that the run began with"
            ) from error

    def save(self, engine: Engine) -> None:
        """Both files, on the first process; the best first, so `last.pt` never knows a lost one."""
        if process_rank() != 0:
            return
        score = self._score(engine)
        if score is not None and score >= self.best_score:
            self.best_score, self.best_epoch = score, engine.state.epoch
            save_atomically(self.weights.state_dict(), self.save_dir / BEST)
            write_trained_as(self.save_dir / BEST, self.begun_as)
        parts = {**self.parts, **scaler_of(engine)}
        state = {n: getattr(p, "module", p).state_dict() for n, p in parts.items()}
        state |= {"epoch": engine.state.epoch, "iteration": engine.state.iteration}
        state |= {"best_score": self.best_score, "best_epoch": self.best_epoch}
        state |= {"begun_as": self.begun_as}
        save_atomically(state, self.save_dir / LAST)

    def _score(self, engine: Engine) -> float | None:
        """This epoch's validation score; None if it was not validated.

        With no case to validate on, the last weights are the best.
        """
        evaluator: Any = self.evaluator
        if evaluator is None or not len(evaluator.data_loader):
            return 0.0
        state = evaluator.state
        if getattr(state, "epoch", 0) != engine.state.epoch:
            return None
        return float(state.metrics[state.key_metric_name])

    def summarise(self, engine: Engine) -> None:
        """Where the best weights are."""
        if process_rank() == 0 and self.best_epoch:
            best = f"{self.save_dir / BEST}, epoch {self.best_epoch}, score {self.best_score:.4f}"
            logger.info(f"best weights: {best}")
