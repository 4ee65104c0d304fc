"""Checkpoints: what was written last is whole, whatever happens, and holds nothing that runs."""

import logging
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from multimix_monai.data.trained_as import read_trained_as
from multimix_monai.engines import Teacher, warmup_cosine
from multimix_monai.handlers import Checkpoints, load_weights
from multimix_monai.handlers.checkpoints import load_checkpoint, save_atomically
from multimix_monai.networks import MultiMix, PackedMultiMix

TINY = (2, 4, 4, 8, 8)


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.target}",)


def tiny(seed: int = 0) -> MultiMix:
    torch.manual_seed(seed)
    return MultiMix(widths=TINY)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# --- one file ---


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    state = {"a": torch.rand(3), "b": [1, 2.5, "x"], "c": {"d": None}}
    save_atomically(state, tmp_path / "deep" / "er" / "x.pt")
    given = load_checkpoint(tmp_path / "deep" / "er" / "x.pt")
    assert torch.equal(given.pop("a"), state.pop("a")) and given == state
    assert [p.name for p in (tmp_path / "deep" / "er").iterdir()] == ["x.pt"]


SAVING = """
import sys
from pathlib import Path
import torch
from multimix_monai.handlers.checkpoints import save_atomically

save_atomically({"big": torch.ones(50_000_000)}, Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_kill_in_the_middle_of_writing_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_atomically({"epoch": 3}, path)
    process = subprocess.Popen([sys.executable, "-c", SAVING, str(path)])
    try:
        while not any(p.stat().st_size > 0 for p in tmp_path.glob(".last.pt.*")):
            assert process.poll() is None
            time.sleep(0.001)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    (unfinished,) = tmp_path.glob(".last.pt.*")
    assert 0 < unfinished.stat().st_size < 200_000_000
    assert load_checkpoint(path) == {"epoch": 3}
    unfinished.unlink()


@pytest.fixture
def full_disk() -> Iterator[int]:
    """No file grows over so many bytes."""
    limit = 100_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_one_before_and_says_what_to_do(
    tmp_path: Path, full_disk: int
) -> None:
    path = tmp_path / "last.pt"
    save_atomically({"epoch": 3}, path)
    message = rf"{re.escape(str(path))}: .*File too large; the one before is intact: free space"
    with pytest.raises(OSError, match=message):
        save_atomically({"big": torch.ones(full_disk)}, path)
    assert load_checkpoint(path) == {"epoch": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("write", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_a_pickle_bomb_is_refused_and_does_not_go_off(tmp_path: Path, write: Any) -> None:
    path, target = tmp_path / "model.pt", tmp_path / "exploded"
    write({"encoder.classifier.weight": Bomb(target)}, path)
    with pytest.raises(ValueError, match=r"model\.pt is damaged or holds more than tensors"):
        load_checkpoint(path)
    with pytest.raises(ValueError, match=r"model\.pt is damaged or holds more than tensors"):
        load_weights(tiny(), path)
    assert not target.exists()


def test_nobody_is_told_to_switch_the_check_off(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for write in (torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))):
        write({"weight": Bomb(tmp_path / "exploded")}, path)
        with pytest.raises(ValueError, match=r"and is not loaded$"):
            load_checkpoint(path)
    path.write_text("no checkpoint")
    with pytest.raises(ValueError, match=r"model\.pt is damaged") as raised:
        load_checkpoint(path)
    assert "weights_only" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("model.onnx", "to predict with it, add --runtime onnx"),
        ("model.ts", "it is for other programs; name the weights that it was exported from"),
        ("model.pt2", "it is for other programs; name the weights that it was exported from"),
    ],
)
def test_an_exported_network_is_no_weights(tmp_path: Path, name: str, remedy: str) -> None:
    (tmp_path / name).write_bytes(b"exported")
    with pytest.raises(ValueError, match=f"{name} is an exported network, not weights: {remedy}"):
        load_weights(tiny(), tmp_path / name)


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, -1])
def test_a_file_cut_short_is_refused_by_name(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "model.pt"
    save_atomically(tiny().state_dict(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.pt is damaged"):
        load_checkpoint(path)


def test_damage_anywhere_is_refused_by_name_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_atomically({"weight": torch.arange(50.0)}, path)
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            load_checkpoint(path)
        except ValueError as error:
            assert "model.pt" in str(error)
            refused += 1
    assert refused > 20


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.pt .*name one by --weights \(ckpt_path\)"):
        load_checkpoint(tmp_path / "gone.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match=r"list\.pt holds a list, not a state dict"):
        load_checkpoint(tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(ValueError, match=r"text\.pt is damaged"):
        load_checkpoint(tmp_path / "text.pt")


# --- weights ---


def test_weights_come_from_a_plain_state_dict_or_a_last_one(tmp_path: Path) -> None:
    network, mean = tiny(1), tiny(2)
    plain, last = tmp_path / "model.pt", tmp_path / "last.pt"
    save_atomically(network.state_dict(), plain)
    assert same(load_weights(tiny(), plain).state_dict(), network.state_dict())
    packed = load_weights(PackedMultiMix(widths=TINY), plain)
    assert same(packed.state_dict(), network.state_dict())
    parts = {"network": network.state_dict(), "epoch": 1}
    save_atomically({**parts, "teacher": mean.state_dict()}, last)
    assert same(load_weights(tiny(), last).state_dict(), mean.state_dict())
    save_atomically({**parts, "teacher": {}}, last)
    assert same(load_weights(tiny(), last).state_dict(), network.state_dict())


@pytest.mark.parametrize(
    ("network", "difference"),
    [
        (
            MultiMix(widths=(2, 4, 4, 8, 16)),
            r"decoder.blocks.0.conv1.weight is \(8, 18, 3, 3\) there and \(8, 26, 3, 3\) here",
        ),
        (
            MultiMix(widths=TINY, num_classes=3),
            r"encoder.classifier.bias is \(2,\) there and \(3,\) here",
        ),
    ],
)
def test_weights_of_another_network_are_refused_by_the_first_tensor(
    tmp_path: Path, network: nn.Module, difference: str
) -> None:
    path = tmp_path / "model.pt"
    save_atomically(tiny().state_dict(), path)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(ValueError, match=f"model.pt does not fit the network: {difference}: set"):
        load_weights(network, path)
    assert same(network.state_dict(), before)


@pytest.mark.parametrize(
    "state", [{"epoch": 3, "state_dict": {}, 7: "x"}, nn.Linear(2, 2).state_dict()]
)
def test_what_shares_no_name_is_another_network(tmp_path: Path, state: dict) -> None:
    path = tmp_path / "other.pt"
    save_atomically(state, path)
    with pytest.raises(
        ValueError, match=r"other\.pt holds weights of another network, .* MultiMix"
    ):
        load_weights(tiny(), path)


def test_beside_weights_an_odd_entry_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.pt"
    save_atomically({**tiny().state_dict(), 7: "x"}, path)
    with pytest.raises(ValueError, match=r"odd\.pt does not fit the network: 7 is a str there"):
        load_weights(tiny(), path)


# --- a run ---


class Run:
    """A trainer of which only the weights move, with a validation that has given scores."""

    def __init__(
        self, folder: Path, scores: list[float | None], *, decay: float = 0.5, **settings: Any
    ) -> None:
        self.network = tiny()
        self.teacher = Teacher(self.network, decay=decay)
        used = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(used, lr=0.01)
        self.scheduler = warmup_cosine(self.optimizer, total_steps=20)
        self.scores = scores
        self.trainer = Engine(self.step)
        self.evaluator = Engine(lambda *_: None)
        self.evaluator.state.key_metric_name = "score"
        self.evaluator.data_loader = ["a batch of cases"]
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.validate)
        self.checkpoints = Checkpoints(
            folder,
            {
                "network": self.network,
                "optimizer": self.optimizer,
                "lr_scheduler": self.scheduler,
                "teacher": self.teacher,
            },
            self.teacher.network,
            evaluator=self.evaluator,
            **settings,
        )
        self.checkpoints.attach(self.trainer)

    def step(self, engine: Engine, batch: int) -> None:
        torch.manual_seed(engine.state.iteration)
        for p in self.optimizer.param_groups[0]["params"]:
            p.grad = torch.randn_like(p)
        self.optimizer.step()
        self.scheduler.step()
        self.teacher.update(engine.state.iteration)

    def validate(self, engine: Engine) -> None:
        score = self.scores[engine.state.epoch - 1]
        if score is not None:
            self.evaluator.state.epoch = engine.state.epoch
            self.evaluator.state.metrics = {"score": score}

    def run(self, epochs: int) -> "Run":
        self.trainer.state.max_epochs = epochs
        self.trainer.state.epoch_length = 2  # beforehand, as MONAI's trainers do
        self.trainer.run(range(2), max_epochs=epochs)
        return self

    def weights(self) -> dict:
        return {k: v.clone() for k, v in self.network.state_dict().items()}


def test_without_a_case_to_validate_on_the_last_weights_are_the_best(tmp_path: Path) -> None:
    run = Run(tmp_path, [None, None])
    run.evaluator.data_loader = []
    run.run(2)
    best = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(torch.equal(w, best[n]) for n, w in run.teacher.network.state_dict().items())


def test_going_on_is_the_same_as_never_having_stopped(tmp_path: Path) -> None:
    scores = [0.1, 0.2, 0.3, 0.4]
    whole = Run(tmp_path / "a", scores).run(4)
    Run(tmp_path / "b", scores).run(2)
    resumed = Run(tmp_path / "b", scores).run(4)
    assert same(resumed.weights(), whole.weights())
    assert same(resumed.teacher.network.state_dict(), whole.teacher.network.state_dict())
    assert resumed.trainer.state.iteration == 8
    a, b = (load_checkpoint(tmp_path / name / "last.pt") for name in "ab")
    assert a.keys() == b.keys()
    assert str(a) == str(b)


def test_the_best_weights_are_the_teachers_of_the_best_epoch(tmp_path: Path) -> None:
    short = Run(tmp_path / "short", [0.1, 0.9]).run(2)
    long = Run(tmp_path / "long", [0.1, 0.9, 0.5, 0.2]).run(4)
    best = load_checkpoint(tmp_path / "long" / "model.pt")
    assert same(best, short.teacher.network.state_dict())
    assert long.checkpoints.best_epoch == 2
    assert same(load_weights(tiny(), tmp_path / "long" / "model.pt").state_dict(), best)


def test_the_best_score_survives_going_on(tmp_path: Path) -> None:
    scores = [0.9, 0.1, 0.8, 0.95]
    Run(tmp_path, scores).run(2)
    first = load_checkpoint(tmp_path / "model.pt")
    Run(tmp_path, scores).run(3)
    assert same(load_checkpoint(tmp_path / "model.pt"), first)
    last = Run(tmp_path, scores).run(4)
    assert not same(load_checkpoint(tmp_path / "model.pt"), first)
    assert (last.checkpoints.best_score, last.checkpoints.best_epoch) == (0.95, 4)


def test_an_epoch_without_validation_is_never_the_best(tmp_path: Path) -> None:
    run = Run(tmp_path, [None, 0.3, None, None]).run(4)
    assert run.checkpoints.best_epoch == 2
    assert load_checkpoint(tmp_path / "last.pt")["epoch"] == 4


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_the_last_state_is_plain_data(tmp_path: Path, decay: float) -> None:
    Run(tmp_path, [0.5], decay=decay, begun_as=BEGUN_AS).run(1)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert {"network", "optimizer", "lr_scheduler", "teacher", "epoch", "iteration"} <= set(state)

    def check(value: Any) -> None:
        if isinstance(value, dict):
            list(map(check, [*value.keys(), *value.values()]))
        elif isinstance(value, (list, tuple)):
            list(map(check, value))
        else:
            assert isinstance(value, (torch.Tensor, str, int, float, type(None))), type(value)
            assert type(value).__module__ in ("torch", "builtins"), type(value)

    check(state)


def test_a_finished_run_ends_at_once_and_goes_on_with_more_epochs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scores = [0.1, 0.2, 0.3]
    done = Run(tmp_path, scores).run(2)
    again = Run(tmp_path, scores).run(2)
    assert "has all 2 epochs: raise --epochs (max_epochs) to go on" in caplog.text
    assert again.trainer.state.iteration == 4
    assert same(again.weights(), done.weights())
    assert Run(tmp_path, scores).run(3).trainer.state.iteration == 6


def test_an_earlier_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    Run(tmp_path, [0.1]).run(1)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(ValueError, match=r"last\.pt holds an earlier run and resume is false"):
        Run(tmp_path, [0.1], resume=False).run(1)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_run_of_another_network_or_with_other_parts_is_not_gone_on_with(tmp_path: Path) -> None:
    Run(tmp_path, [0.1]).run(1)
    state = load_checkpoint(tmp_path / "last.pt")
    run = Run(tmp_path, [0.1, 0.2])
    run.checkpoints.parts["network"] = MultiMix(widths=(4, 4, 4, 8, 8))
    with pytest.raises(
        ValueError, match=r"last\.pt: network does not fit this run \(size mismatch"
    ):
        run.run(2)
    del state["lr_scheduler"]
    save_atomically(state, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="lr_scheduler does not fit this run"):
        Run(tmp_path, [0.1, 0.2]).run(2)


BEGUN_AS = {"seed": 0, "percentiles": (0.5, 99.5), "batch_sizes": {"mask_labelled": 8}}


def test_a_run_goes_on_only_as_what_it_was_begun(tmp_path: Path) -> None:
    Run(tmp_path, [0.1], begun_as=BEGUN_AS).run(1)
    before = (tmp_path / "last.pt").read_bytes()
    now = {"seed": 1, "percentiles": [0.5, 99.5], "batch_sizes": {"mask_labelled": 4}}
    differences = r"seed 0, now 1; batch_sizes#mask_labelled 8, now 4"
    with pytest.raises(
        ValueError, match=rf"last\.pt was begun with other settings \({differences}\): choose"
    ):
        Run(tmp_path, [0.1, 0.2], begun_as=now).run(2)
    assert (tmp_path / "last.pt").read_bytes() == before
    assert Run(tmp_path, [0.1, 0.2], begun_as=BEGUN_AS).run(2).trainer.state.epoch == 2


def test_beside_the_best_weights_lies_how_they_were_trained(tmp_path: Path) -> None:
    Run(tmp_path, [0.9, 0.1, 0.95], begun_as={**BEGUN_AS, "image_size": 64}).run(2)
    trained_as = {"image_size": 64, "percentiles": [0.5, 99.5]}
    assert read_trained_as(tmp_path / "model.pt") == trained_as
    used = {"image_size": 160, "percentiles": [0.5, 99.5]}
    with pytest.raises(ValueError, match="trained with image_size 64, not 160"):
        load_weights(tiny(), tmp_path / "model.pt", used=used)
    load_weights(tiny(), tmp_path / "model.pt")
    first = (tmp_path / "model.json").read_bytes()
    Run(tmp_path, [0.9, 0.1, 0.95], begun_as={**BEGUN_AS, "image_size": 64}).run(3)
    assert (tmp_path / "model.json").read_bytes() != first
    assert read_trained_as(tmp_path / "model.pt") == trained_as


def test_what_a_checkpoint_does_not_know_of_its_settings_does_not_stop_it(tmp_path: Path) -> None:
    Run(tmp_path, [0.1], begun_as={"seed": 0}).run(1)
    state = load_checkpoint(tmp_path / "last.pt")
    Run(tmp_path, [0.1, 0.2], begun_as=BEGUN_AS).run(2)
    del state["begun_as"]
    save_atomically(state, tmp_path / "last.pt")
    assert Run(tmp_path, [0.1, 0.2], begun_as={"seed": 1}).run(2).trainer.state.epoch == 2


def test_a_wrapped_network_is_saved_without_its_wrapper(tmp_path: Path) -> None:
    run = Run(tmp_path, [0.1])
    run.checkpoints.parts["network"] = nn.DataParallel(run.network)
    run.run(1)
    assert same(load_checkpoint(tmp_path / "last.pt")["network"], run.weights())


def test_a_folder_that_cannot_be_is_found_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    run = Run(tmp_path / "file" / "models", [0.1])
    message = r"file.models: Not a directory: choose another --output \(output_dir\)"
    with pytest.raises(OSError, match=message):
        run.run(1)
    assert run.trainer.state.iteration == 0


def test_a_folder_that_may_not_be_written_into_is_found_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OSError, match="may not be written into: choose another --output"):
        Run(tmp_path, [0.1]).run(1)


def test_what_a_killed_run_left_unfinished_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".last.pt.1234.tmp").write_bytes(b"half")
    (tmp_path / "notes.tmp").write_text("the user's")
    Run(tmp_path, [0.1]).run(1)
    assert {p.name for p in tmp_path.iterdir()} == {"last.pt", "model.pt", "notes.tmp"}


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multimix_monai.handlers.checkpoints.process_rank", lambda: 1)
    Run(tmp_path, [0.1]).run(1)
    assert not list(tmp_path.iterdir())


def test_the_log_names_the_best_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Run(tmp_path, [0.25, 0.5, 0.125]).run(3)
    assert "model.pt, epoch 2, score 0.5000" in caplog.text


def test_a_further_run_of_a_trainer_keeps_the_weights_that_it_was_given(tmp_path: Path) -> None:
    network = tiny()
    trainer = Engine(lambda engine, batch: None)
    Checkpoints(tmp_path, {"network": network}, network).attach(trainer)
    trainer.run([0], max_epochs=1)
    given = tiny(seed=1).state_dict()
    network.load_state_dict(given)
    trainer.run([0], max_epochs=2)
    assert trainer.state.epoch == 2
    assert same(network.state_dict(), given)


def test_the_scale_of_fp16_gradients_survives_going_on(tmp_path: Path) -> None:
    def run(epochs: int, *, scale: float) -> torch.amp.GradScaler:
        run = Run(tmp_path, [None] * 3)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        run.trainer.grad_scaler = scaler
        scaler.scale(torch.ones(()))  # a scaler knows its scale from the first use on
        run.run(epochs)
        return scaler

    run(1, scale=64.0)
    assert run(2, scale=2.0).get_scale() == 64.0
    state = load_checkpoint(tmp_path / "last.pt")
    assert state["grad_scaler"]["scale"] == 64.0
