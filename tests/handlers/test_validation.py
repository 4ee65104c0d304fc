"""When to validate: at every interval, and after the last epoch."""

import pytest
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from multimix_monai.handlers import Validation


class Validator(Evaluator):
    """Notes the epochs after which it is run."""

    def __init__(self) -> None:
        super().__init__(device="cpu", val_data_loader=[0])
        self.epochs: list[int] = []

    def run(self, global_epoch: int = 1) -> None:
        self.epochs.append(global_epoch)


def epochs_of(*, interval: int, max_epochs: int, begun: int = 0) -> list[int]:
    """After which epochs a training validates that goes on from so many."""
    engine, validator = Engine(lambda *_: None), Validator()

    def go_on(engine: Engine) -> None:
        engine.state.epoch = engine.state.iteration = begun

    engine.add_event_handler(Events.STARTED, go_on)
    Validation(interval=interval, validator=validator).attach(engine)
    engine.run([0], max_epochs=max_epochs)
    return validator.epochs


@pytest.mark.parametrize(
    ("interval", "max_epochs", "begun", "expected"),
    [
        (10, 15, 0, [10, 15]),
        (10, 20, 0, [10, 20]),
        (10, 3, 0, [3]),
        (2, 5, 3, [4, 5]),
        (1, 2, 0, [1, 2]),
    ],
)
def test_the_last_epoch_is_validated_too_and_none_twice(
    interval: int, max_epochs: int, begun: int, expected: list[int]
) -> None:
    assert epochs_of(interval=interval, max_epochs=max_epochs, begun=begun) == expected
