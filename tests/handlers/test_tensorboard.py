"""TensorBoard: what is written there is read back from its event files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from multimix_monai.handlers import TensorBoardTerms
from multimix_monai.handlers.tensorboard import picture


def case(folder: Path, n: int, *, masked: bool) -> dict:
    """An image of 20 x 30 pixels on disk, and its results."""
    path = folder / f"{n}.png"
    Image.fromarray(np.random.default_rng(n).integers(0, 255, (20, 30), dtype=np.uint8)).save(path)
    truth = torch.zeros(1, 20, 30, dtype=torch.uint8)
    truth[:, 5:15, 5:20] = 1
    return {
        "image": MetaTensor(torch.zeros(1, 32, 32), meta={"filename_or_obj": str(path)}),
        "pred": truth.roll(2, dims=2),
        "probs": torch.tensor([0.25, 0.75]),
        "saliency": torch.rand(1, 20, 30),
        **({"mask": truth} if masked else {}),
    }


def train(folder: Path, *, epochs: int = 2, steps: int = 6, num_pictures: int = 4) -> None:
    """A trainer whose loss is its step's number, and a validation after every epoch."""
    trainer = Engine(lambda e, _: {"loss": float(e.state.iteration), "class": 0.5})
    trainer.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.125)
    cases = [case(folder, n, masked=n >= 3) for n in range(7)]
    evaluator = Engine(lambda _, batch: batch)
    evaluator.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda e: e.state.metrics.update({"val_auc": 0.1 * trainer.state.epoch}),
    )
    handler = TensorBoardTerms(
        folder / "tensorboard", evaluator=evaluator, every_steps=2, num_pictures=num_pictures
    )
    handler.attach(trainer)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: evaluator.run([cases[:4], [], cases[4:]])
    )
    trainer.run(range(steps), max_epochs=epochs)


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    return events


def scalars(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(e.step, pytest.approx(e.value)) for e in events.Scalars(tag)]


def test_terms_metrics_and_pictures_are_there(tmp_path: Path) -> None:
    train(tmp_path)
    events = read(tmp_path)
    assert scalars(events, "train/loss") == [(n, n) for n in (2, 4, 6, 8, 10, 12)]
    assert scalars(events, "train/class")[0] == (2, 0.5)
    assert scalars(events, "train/learning_rate")[-1] == (12, 0.125)
    assert scalars(events, "validation/val_auc") == [(6, 0.1), (12, 0.2)]
    assert events.Tags()["images"] == [f"validation/{n}" for n in range(4)]
    shown = events.Images("validation/0")
    assert [image.step for image in shown] == [6, 12]
    assert (shown[0].height, shown[0].width) == (20, 60)


def test_half_of_the_pictures_are_of_cases_with_a_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, str]] = []

    def look(given: dict, image: np.ndarray) -> np.ndarray:
        seen.append(("mask" in given, Path(given["image"].meta["filename_or_obj"]).stem))
        return np.zeros((8, 8, 3), dtype=np.uint8)

    monkeypatch.setattr("multimix_monai.handlers.tensorboard.picture", look)
    train(tmp_path, epochs=1)
    assert seen == [(False, "0"), (False, "1"), (True, "3"), (True, "4")]


def test_a_picture_shows_prediction_and_saliency_of_the_cases_own_pixels(tmp_path: Path) -> None:
    given = case(tmp_path, 0, masked=True)
    image = np.zeros((20, 30), dtype=np.float32)
    shown = picture(given, image)
    assert shown.shape == (20, 60, 3) and shown.dtype == np.uint8
    assert shown[:, :30].max() > 0 and shown[:, 30:].max() > 0
    del given["mask"]
    assert not np.array_equal(picture(given, image), shown)


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multimix_monai.handlers.tensorboard.process_rank", lambda: 1)
    train(tmp_path, epochs=1)
    assert not (tmp_path / "tensorboard").exists()


def test_a_validation_outside_of_training_writes_nothing(tmp_path: Path) -> None:
    trainer = Engine(lambda engine, batch: {"loss": 0.0})
    evaluator = Engine(lambda _, batch: batch)
    evaluator.add_event_handler(Events.STARTED, lambda e: e.state.metrics.update({"val_auc": 0.5}))
    TensorBoardTerms(tmp_path / "tensorboard", evaluator=evaluator).attach(trainer)
    evaluator.run([[case(tmp_path, 0, masked=True)]])
    assert not (tmp_path / "tensorboard").exists()
    trainer.run([0])
    evaluator.run([[case(tmp_path, 0, masked=True)]])
    assert "validation/val_auc" not in read(tmp_path).Tags()["scalars"]
