"""The evaluator: cases of any size keep their own grids, and one that is broken stops nobody."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from multimix_monai.engines import CaseDataset, MultiMixEvaluator, PackingInferer, collate_cases
from multimix_monai.handlers import KnownAUC, KnownMeanDice, MeanOfMetrics
from multimix_monai.networks import MultiMix, Prediction
from multimix_monai.transforms import postprocessing, preprocessing

SIDE = 64


class Bright(nn.Module):
    """The mask is what is bright; pneumonia is likely where much is."""

    def forward(self, x: Tensor) -> Prediction:
        assert not self.training and torch.is_inference_mode_enabled()
        mean = x.mean(dim=(1, 2, 3))
        return Prediction(20 * (x - 0.5), torch.stack([0 * mean, 4 * mean - 2], dim=1), x)


def save(path: Path, pixels: np.ndarray) -> str:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return str(path)


def make_case(folder: Path, name: str, shape: tuple[int, int], **items: Any) -> dict[str, Any]:
    """The lower right quarter is bright, and the mask's truth."""
    rows, columns = shape
    truth = np.zeros(shape)
    truth[rows // 2 :, columns // 2 :] = 255
    image = save(folder / f"{name}.png", 40 + truth / 255 * 160)
    return {"image": image, "mask": [save(folder / f"{name}_mask.png", truth)], **items}


def evaluator(
    cases: list[dict], network: nn.Module, *, batch_size: int = 4, **workflow: Any
) -> MultiMixEvaluator:
    chain = preprocessing(image_size=SIDE)
    dice, auc = KnownMeanDice(), KnownAUC()
    return MultiMixEvaluator(
        device="cpu",
        val_data_loader=DataLoader(
            CaseDataset(cases, chain), batch_size=batch_size, collate_fn=collate_cases
        ),
        network=network,
        inferer=PackingInferer(),
        postprocessing=postprocessing(preprocessing=chain),
        key_val_metric={"val_score": MeanOfMetrics([dice, auc])},
        additional_metrics={"val_mean_dice": dice, "val_auc": auc},
        **workflow,
    )


def outputs_of(engine: MultiMixEvaluator) -> list[dict]:
    """Every case's results, in order."""
    from ignite.engine import Events

    seen: list[dict] = []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda e: seen.extend(dict(case) for case in e.state.output)
    )
    engine.run()
    return seen


@pytest.fixture
def cases(tmp_path: Path) -> list[dict]:
    shapes = [(80, 100), (128, 64), (64, 64), (37, 51)]
    return [make_case(tmp_path, f"case{n}", shape, label=n % 2) for n, shape in enumerate(shapes)]


def test_masks_are_on_each_images_own_grid(cases: list[dict]) -> None:
    seen = outputs_of(evaluator(cases, Bright()))
    assert [tuple(c["pred"].shape) for c in seen] == [
        (1, 80, 100),
        (1, 128, 64),
        (1, 64, 64),
        (1, 37, 51),
    ]
    for c in seen:
        assert c["saliency"].shape == c["pred"].shape == c["mask"].shape
        assert c["mask"].dtype == torch.uint8
        assert float(c["probs"].sum()) == pytest.approx(1, abs=1e-5)
        wrong = (torch.as_tensor(c["pred"]) != c["mask"]).float().mean()
        assert wrong < 0.02


def test_metrics_are_those_of_the_outputs_by_hand(cases: list[dict]) -> None:
    del cases[1]["mask"], cases[2]["label"]
    engine = evaluator(cases, Bright(), batch_size=3)
    seen = outputs_of(engine)
    dices = []
    for c in (seen[0], seen[2], seen[3]):
        a, b = np.asarray(c["pred"]) > 0, c["mask"].numpy() > 0
        dices.append(2 * (a & b).sum() / (a.sum() + b.sum()))
    positive = [float(seen[n]["probs"][1]) for n in (1, 3)]
    negative = float(seen[0]["probs"][1])
    auc = np.mean([(p > negative) + 0.5 * (p == negative) for p in positive])
    metrics = engine.state.metrics
    assert metrics["val_mean_dice"] == pytest.approx(np.mean(dices))
    assert metrics["val_auc"] == pytest.approx(auc)
    assert metrics["val_score"] == pytest.approx((np.mean(dices) + auc) / 2)


def test_a_batch_has_the_same_results_as_each_case_alone(cases: list[dict]) -> None:
    torch.manual_seed(0)
    network = MultiMix(widths=(2, 4, 4, 8, 8))
    together = outputs_of(evaluator(cases, network, batch_size=4))
    alone = outputs_of(evaluator(cases, network, batch_size=1))
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a["probs"], b["probs"], atol=1e-5)
        assert (torch.as_tensor(a["pred"]) != torch.as_tensor(b["pred"])).float().mean() < 0.01


def broken_cases(folder: Path) -> list[dict]:
    """Truncated, constant, missing; a mask of another size; a mask that is none."""
    good = make_case(folder, "good", (70, 70), label=1)
    cut = Path(make_case(folder, "cut", (70, 70))["image"])
    cut.write_bytes(cut.read_bytes()[:60])
    flat = save(folder / "flat.png", np.full((40, 40), 9))
    other = make_case(folder, "other", (70, 70))
    (folder / "text.png").write_text("not a mask")
    return [
        {"image": str(cut)},
        good,
        {"image": flat},
        {"image": str(folder / "gone.png")},
        {**other, "mask": [save(folder / "small.png", np.eye(20) * 255)]},
        {**other, "mask": [str(folder / "text.png")]},
    ]


@pytest.mark.parametrize("batch_size", [1, 6])
def test_cases_that_cannot_be_read_are_refused_by_name_and_the_others_go_on(
    tmp_path: Path, batch_size: int, caplog: pytest.LogCaptureFixture
) -> None:
    engine = evaluator(broken_cases(tmp_path), Bright(), batch_size=batch_size)
    with caplog.at_level(logging.ERROR):
        seen = outputs_of(engine)
    assert [Path(c["image"].meta["filename_or_obj"]).name for c in seen] == ["good.png"]
    assert engine.state.metrics["val_mean_dice"] > 0.95
    assert len(engine.refused) == 5
    messages = [r.getMessage() for r in caplog.records]
    for name in ("cut.png", "flat.png", "gone.png", "small.png", "text.png"):
        assert sum(name in message for message in messages) == 1, messages
    small = next(m for m in messages if "small.png" in m)
    assert "20x20 but its image is 70x70 (rows x columns)" in small


def test_a_defect_of_the_code_is_not_taken_for_an_unreadable_case() -> None:
    def defect(case: dict) -> dict:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        CaseDataset([{"image": "a.png"}], defect)[0]


def test_the_caller_keeps_its_cases_as_they_were(cases: list[dict]) -> None:
    before = [dict(c) for c in cases]
    outputs_of(evaluator(cases, Bright()))
    assert cases == before


def test_a_run_a_second_time_gives_the_same_metrics(cases: list[dict]) -> None:
    engine = evaluator(cases, Bright())
    engine.run()
    first = dict(engine.state.metrics)
    engine.run()
    assert engine.state.metrics == first


def test_a_packed_answer_is_taken_as_it_is() -> None:
    class Packed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.expand(-1, 4, -1, -1)

    x = torch.rand(2, 1, 8, 8)
    assert PackingInferer()(x, Packed()).shape == (2, 4, 8, 8)
    assert PackingInferer()(x, nn.Identity()) is x


def test_a_check_asks_the_network_again_and_its_findings_join_the_cases(tmp_path: Path) -> None:
    cases = [make_case(tmp_path, "a", (64, 64)), make_case(tmp_path, "b", (96, 64))]

    def upside_down(images: Tensor, predictions: Tensor, predict: Any) -> list[dict]:
        turned = predict(images.flip(2)).flip(2)
        return [{"same": torch.equal(a, b)} for a, b in zip(turned, predictions, strict=True)]

    engine = evaluator(cases, Bright(), checks=[upside_down])
    engine.run()
    assert [case["same"] for case in engine.state.output] == [True, True]


def test_a_run_that_keeps_going_has_every_case_in_its_place(tmp_path: Path) -> None:
    shapes = {"a": (80, 100), "b": (64, 64), "c": (100, 80), "d": (90, 80)}
    cases = [make_case(tmp_path, name, shape) for name, shape in shapes.items()]
    cases.insert(1, {"image": str(tmp_path / "gone.png")})
    chain = preprocessing(image_size=SIDE)

    def square_fails(images: Tensor, predictions: Tensor, predict: Any) -> list[dict]:
        if (images[:, 0, -1, -1] > 0).any():  # no padding on either side
            raise ZeroDivisionError
        return [{} for _ in images]

    def high_fails(case: dict) -> dict:
        if case["image"].applied_operations[0]["orig_size"] == (100, 80):
            raise KeyError
        return postprocessing(preprocessing=chain)(case)

    engine = MultiMixEvaluator(
        device="cpu",
        val_data_loader=[[CaseDataset(cases, chain)[n] for n in range(5)]],
        network=Bright(),
        inferer=PackingInferer(),
        checks=[square_fails],
        postprocessing=high_fails,
        keep_going=True,
    )
    engine.run()
    errors = [type(case.get("error")).__name__ for case in engine.cases]
    assert errors == ["NoneType", "ImageError", "CaseFailure", "CaseFailure", "NoneType"]
    assert [tuple(case["pred"].shape[1:]) for case in engine.state.output] == [(80, 100), (90, 80)]
    assert engine.refused == []
    engine.keep_going = False
    with pytest.raises(ZeroDivisionError):
        engine.run()
