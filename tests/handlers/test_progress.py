"""Progress: one line an epoch, with the mean of every term over that epoch alone."""

import logging

import pytest
from ignite.engine import Engine

from multimix_monai.handlers import Progress, ScoreLog

STEPS = [
    {"loss": 3.0, "class": 1.0},
    {"loss": 1.0, "class": 0.5, "pseudo_label_accuracy": 0.75},
    {"loss": 10.0, "class": 8.0},
    {"loss": 20.0, "class": 9.0},
]


def train(handler: Progress) -> None:
    engine = Engine(lambda engine, _: STEPS[engine.state.iteration - 1])
    handler.attach(engine)
    engine.run(range(2), max_epochs=2)


def test_each_epochs_line_holds_its_own_means(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        train(Progress(show_bar=False))
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("multimix")]
    assert lines == [
        "epoch 1/2: loss 2.0000, class 0.7500, pseudo_label_accuracy 0.7500",
        "epoch 2/2: loss 15.0000, class 8.5000",
    ]


def test_the_bar_is_drawn_only_if_asked_for(capsys: pytest.CaptureFixture) -> None:
    train(Progress(show_bar=False))
    assert "epoch" not in capsys.readouterr().err
    train(Progress(show_bar=True))
    assert "loss=20" in capsys.readouterr().err


def test_only_the_first_process_reports(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("multimix_monai.handlers.progress.process_rank", lambda: 1)
    engine = Engine(lambda *_: None)
    ScoreLog().attach(engine)
    with caplog.at_level(logging.INFO):
        train(Progress())
        engine.run(range(1))
    assert "epoch 1/2" not in caplog.text and "validation" not in caplog.text


def test_a_validation_logs_every_metric(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(lambda *_: None)
    ScoreLog().attach(engine)
    engine.state.metrics = {"val_auc": 0.5, "val_mean_dice": float("nan")}
    with caplog.at_level(logging.INFO):
        engine.run(range(1))
    assert "validation: val_auc 0.5000, val_mean_dice nan" in caplog.text
