"""The trainer: what a step does, and what stops it."""

from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from torch import Tensor, nn

from multimix_monai.engines import MultiMixTrainer, Teacher
from multimix_monai.engines.recipe import Recipe, Terms
from multimix_monai.engines.trainer import prepare_streams

Batch = dict[str, dict[str, Tensor]]


class Squares(Recipe):
    """Mean squared error of a linear network, and whatever a test wants to see."""

    def __init__(self) -> None:
        super().__init__()
        self.progress: list[float] = []
        self.dropout: list[float] = []
        self.dtypes: list[torch.dtype] = []

    def forward(self, network: nn.Module, teacher: Teacher, batch: Batch, progress: float) -> Terms:
        assert network.training
        self.progress.append(progress)
        self.dropout.append(float(torch.rand(())))
        out = network(batch["s"]["x"])
        self.dtypes.append(out.dtype)
        error = (out.float() - batch["s"]["y"]).square().mean()
        return Terms({"error": error}, {"rate": torch.tensor(0.25)})


class Broken(Squares):
    """As it, but one term is not finite at one step."""

    def __init__(self, value: float, *, step: int) -> None:
        super().__init__()
        self.value, self.step = value, step

    def forward(self, network: nn.Module, teacher: Teacher, batch: Batch, progress: float) -> Terms:
        terms = super().forward(network, teacher, batch, progress)
        value = self.value if len(self.progress) == self.step else 1.0
        return Terms({**terms.losses, "bad": terms.losses["error"] * value})


def batches(n: int, *, size: int = 4) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn(size, 4, generator=generator) for _ in range(n)]
    return [{"s": {"x": 3 * x[:, :3], "y": x[:, 3:]}} for x in draw]


def trainer(
    data: list[Batch], recipe: Recipe | None = None, *, lr: float = 0.01, **settings: Any
) -> MultiMixTrainer:
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    defaults: dict[str, Any] = {
        "device": "cpu",
        "max_epochs": 1,
        "train_data_loader": data,
        "network": network,
        "optimizer": torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9),
        "loss_function": recipe or Squares(),
        "teacher": Teacher(network, decay=0.9),
        "total_steps": len(data),
    }
    return MultiMixTrainer(**{**defaults, **settings})


def weights(engine: MultiMixTrainer) -> Tensor:
    return torch.cat([p.detach().flatten() for p in engine.network.parameters()])


def trained(*args: Any, **settings: Any) -> MultiMixTrainer:
    engine = trainer(*args, **settings)
    engine.run()
    return engine


def test_a_step_is_the_optimisers_by_hand() -> None:
    data = batches(3)
    engine = trainer(data)
    w = weights(engine).clone().requires_grad_(True)
    optimizer = torch.optim.SGD([w], lr=0.01, momentum=0.9)
    for batch in data:
        out = batch["s"]["x"] @ w[:3, None] + w[3]
        optimizer.zero_grad()
        (out - batch["s"]["y"]).square().mean().backward()
        optimizer.step()
    engine.run()
    assert torch.allclose(weights(engine), w.detach(), atol=1e-6)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_term_that_is_not_finite_stops_training_by_epoch_step_and_name(value: float) -> None:
    engine = trainer(batches(3), Broken(value, step=5), max_epochs=3)
    with pytest.raises(FloatingPointError, match=r"'bad' is \S+ at epoch 2, step 5: .*amp=false"):
        engine.run()
    assert torch.isfinite(weights(engine)).all()
    assert engine.state.iteration == 5


class Steep(Squares):
    """A finite term whose gradient is not a number at one step, as that of a root is at 0."""

    def __init__(self, *, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, network: nn.Module, teacher: Teacher, batch: Batch, progress: float) -> Terms:
        terms = super().forward(network, teacher, batch, progress)
        if len(self.progress) == self.step:
            terms.losses["steep"] = (0 * terms.losses["error"]).sqrt()
        return terms


@pytest.mark.parametrize("clip_norm", [0.0, 5.0])
def test_a_gradient_that_is_not_finite_stops_training_before_it_is_saved(clip_norm: float) -> None:
    engine = trainer(batches(3), Steep(step=3), clip_norm=clip_norm)
    completed: list[int] = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: completed.append(e.state.epoch))
    with pytest.raises(
        FloatingPointError, match=r"gradient's norm is nan at epoch 1, step 3: .* learning_rate"
    ):
        engine.run()
    assert torch.isfinite(weights(engine)).all()
    assert completed == []


def test_a_gradient_that_overflows_in_fp16_is_passed_over() -> None:
    engine = trainer(batches(3), Steep(step=2))
    engine.grad_scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    engine.run()
    assert torch.isfinite(weights(engine)).all()
    assert engine.grad_scaler.get_scale() == 4.0


def test_half_batches_accumulated_are_the_whole_batch() -> None:
    whole = batches(4)
    halves = [
        {"s": {key: value[part] for key, value in batch["s"].items()}}
        for batch in whole
        for part in (slice(0, 2), slice(2, 4))
    ]
    one, two = trained(whole), trained(halves, accumulate_steps=2)
    assert torch.allclose(weights(one), weights(two), atol=1e-6)
    assert not torch.allclose(weights(trained(halves)), weights(one), atol=1e-4)


def test_the_teacher_follows_every_optimiser_step_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(Teacher, "update", lambda self, step: seen.append(step))
    trained(batches(6), accumulate_steps=2, max_epochs=2)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_the_gradient_is_clipped_to_the_norm() -> None:
    data = batches(1)
    start = weights(trainer(data))
    free = weights(trained(data, lr=1.0)) - start
    assert float(free.norm()) > 1
    clipped = weights(trained(data, lr=1.0, clip_norm=0.5)) - start
    assert float(clipped.norm()) == pytest.approx(0.5, rel=1e-4)
    assert torch.allclose(clipped / clipped.norm(), free / free.norm(), atol=1e-5)


def test_accumulated_gradients_are_clipped_once_and_together() -> None:
    data = batches(2)
    start = weights(trainer(data))
    moved = weights(trained(data, lr=1.0, clip_norm=0.5, accumulate_steps=2)) - start
    assert float(moved.norm()) == pytest.approx(0.5, rel=1e-4)


def test_autocast_computes_in_bfloat16_and_keeps_weights_in_fp32() -> None:
    recipe = Squares()
    engine = trained(batches(4), recipe, amp=True)
    assert set(recipe.dtypes) == {torch.bfloat16}
    assert weights(engine).dtype == torch.float32
    exact = Squares()
    assert torch.allclose(weights(trained(batches(4), exact)), weights(engine), atol=0.02)
    assert set(exact.dtypes) == {torch.float32}


def test_the_output_holds_the_loss_its_terms_and_the_monitors_as_floats() -> None:
    engine = trained(batches(2), Broken(1.0, step=0))
    output = engine.state.output
    assert set(output) == {"loss", "error", "bad"}
    assert all(type(value) is float for value in output.values())
    assert output["loss"] == pytest.approx(output["error"] + output["bad"])
    assert trained(batches(2)).state.output["rate"] == 0.25


def test_the_recipe_is_told_how_much_of_the_schedule_is_done() -> None:
    recipe = Squares()
    trained(batches(2), recipe, max_epochs=3, total_steps=4)
    assert recipe.progress == [0, 0.25, 0.5, 0.75, 1, 1]


def test_dropout_depends_on_seed_and_step_alone() -> None:
    first, second, other = Squares(), Squares(), Squares()
    engine = trainer(batches(2), first, max_epochs=2, seed=5)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: torch.rand(7))
    engine.run()
    trained(batches(2), second, max_epochs=2, seed=5)
    trained(batches(2), other, max_epochs=2, seed=6)
    assert first.dropout == second.dropout
    assert len({*first.dropout, *other.dropout}) == 8


def test_monais_events_fire_in_their_order() -> None:
    engine = trainer(batches(1))
    order = [
        IterationEvents.FORWARD_COMPLETED,
        IterationEvents.LOSS_COMPLETED,
        IterationEvents.BACKWARD_COMPLETED,
        IterationEvents.MODEL_COMPLETED,
    ]
    seen: list[IterationEvents] = []
    for event in order:
        engine.add_event_handler(event, lambda _, e=event: seen.append(e))
    engine.run()
    assert seen == order


class Constant(Recipe):
    """A step of which nothing can be learnt."""

    def forward(self, network: nn.Module, teacher: Teacher, batch: Batch, progress: float) -> Terms:
        return Terms({"zero": torch.zeros(())})


def test_a_step_without_a_gradient_is_passed_over() -> None:
    engine = trainer(batches(2), Constant(), clip_norm=1.0)
    start = weights(engine)
    engine.run()
    assert torch.equal(weights(engine), start)


def test_every_stream_is_put_on_the_device() -> None:
    out = prepare_streams({"a": {"x": torch.zeros(2)}, "b": {"y": torch.zeros(3)}}, "meta")
    assert out["a"]["x"].device.type == "meta" and out["b"]["y"].device.type == "meta"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate_steps": 0}, "accumulate_steps is 0"),
        ({"clip_norm": -1.0}, r"clip_norm -1.0"),
        ({"max_epochs": 0}, r"--epochs \(max_epochs\) is 0"),
        ({"accumulate_steps": 2}, "an epoch has 3 steps and accumulate_steps is 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trainer(batches(3), **settings)
