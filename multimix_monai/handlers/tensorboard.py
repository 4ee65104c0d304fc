"""Handlers: what TensorBoard shows, the terms of the loss and pictures of validation cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from multimix_monai.data.keys import CLASSES, Keys
from multimix_monai.engines.outputs import outputs
from multimix_monai.engines.trainer import process_rank
from multimix_monai.handlers.pictures import overlay, saliency_map


def picture(case: dict[str, Any], image: np.ndarray) -> np.ndarray:
    """Prediction on the image and saliency beside it, uint8 (H, 2 W, 3); truth's contour if known.

    Args:
        case: with pred (1, H, W), saliency (1, H, W), probs (K,), maybe mask (1, H, W), label.
        image: (H, W) in [0, 1], the case's own pixels.
    """
    truth = case.get(Keys.MASK)
    known = truth[0].numpy() if torch.is_tensor(truth) else None
    label = case.get(Keys.LABEL)
    text = f"pneumonia {float(case[Keys.PROBS][-1]):.2f}"
    text += f" (is {CLASSES[label]})" if label in (0, 1) else ""
    left = overlay(image, np.asarray(case[Keys.PRED][0]), truth=known, text=text)
    return np.concatenate([left, saliency_map(image, np.asarray(case[Keys.SALIENCY][0]))], axis=1)


class TensorBoardTerms:
    """Every term and monitor of a step, and every validation metric, by global step.

    A validation that runs by itself, outside of training, is not shown.

    Args:
        log_dir: of TensorBoard.
        evaluator: whose metrics and first cases are shown too.
        every_steps: between two entries of the terms.
        num_pictures: cases shown at each validation, half of them with a mask if there are any.
    """

    def __init__(
        self,
        log_dir: str | Path,
        *,
        evaluator: Engine | None = None,
        every_steps: int = 10,
        num_pictures: int = 4,
    ) -> None:
        self.log_dir = Path(log_dir)
        self.evaluator = evaluator
        self.every_steps = every_steps
        self.num_pictures = num_pictures
        self.shown: list[dict] = []
        self.writer: Any = None

    def attach(self, engine: Engine) -> None:
        """To the trainer."""
        if process_rank() != 0:
            return
        engine.add_event_handler(Events.STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every_steps), self._terms)
        engine.add_event_handler(Events.COMPLETED, self._close)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
            self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self._validation, engine)

    def _open(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(self.log_dir))

    def _close(self) -> None:
        self.writer.close()
        self.writer = None

    def _terms(self, engine: Engine) -> None:
        for name, value in outputs(engine).items():
            self.writer.add_scalar(f"train/{name}", value, engine.state.iteration)
        rate = engine.optimizer.param_groups[0]["lr"]  # type: ignore[attr-defined]
        self.writer.add_scalar("train/learning_rate", rate, engine.state.iteration)

    def _keep(self, evaluator: Engine) -> None:
        """The first cases with a mask, and the first without."""
        if self.writer is None:
            return
        for case in outputs(evaluator):
            alike = [c for c in self.shown if (Keys.MASK in c) == (Keys.MASK in case)]
            if len(alike) < self.num_pictures // 2:
                self.shown.append(case)

    def _validation(self, evaluator: Engine, engine: Engine) -> None:
        from multimix_monai.transforms.load import read_radiograph

        if self.writer is None:
            return
        for name, value in evaluator.state.metrics.items():
            self.writer.add_scalar(f"validation/{name}", value, engine.state.iteration)
        for index, case in enumerate(self.shown):
            image = read_radiograph(case[Keys.IMAGE].meta["filename_or_obj"]).pixels
            self.writer.add_image(
                f"validation/{index}",
                picture(case, image),
                engine.state.iteration,
                dataformats="HWC",
            )
        self.shown = []
