"""The check for frontal chests is fitted and measured by one command each."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimix_monai.arrays.frontal_model import FRONTAL, load_frontal_model
from multimix_monai.data.synthetic import draw_radiograph
from multimix_monai.engines.frontal import FrontalCheck
from multimix_monai.experiments import drawn
from multimix_monai.experiments.frontal_check import (
    chests_to_fit,
    judged,
    main,
    pictures_to_measure,
    read_bundle,
    summary,
    table,
)
from multimix_monai.experiments.frontal_fit import Seen, fit_frontal_model
from multimix_monai.experiments.frontal_pictures import (
    TURNED,
    Picture,
    corner,
    other_pictures,
    part,
    pictures_to_fit,
    retaken,
)

BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
Row = dict[str, Any]


def a_row(kind: str, reason: str | None, name: str = "a") -> Row:
    return {"kind": kind, "source": "s", "name": name, "score": 0.5, "reason": reason}


def test_nothing_that_any_datalist_tests_on_is_fitted_on(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    whole = json.loads((tiny_dataset / "datalist.json").read_text())
    other = json.loads(json.dumps(whole))
    other["test"], other["training"] = whole["test"] + whole["training"][:1], whole["training"][1:]
    other.pop("content_hash")
    (tmp_path / "other.json").write_text(json.dumps(other))
    chosen = chests_to_fit(
        [tiny_dataset / "datalist.json", tmp_path / "other.json"],
        dataset_dir=tiny_dataset,
        n=50,
        seed=0,
    )
    used = {path.relative_to(tiny_dataset).as_posix() for path in chosen}
    tested = {item["image"] for item in other["test"]}
    known = {item["image"] for part in ("training", "validation") for item in whole[part]}
    assert used == known - tested and len(chosen) == 50


def test_a_picture_of_every_class_is_made_of_radiographs_and_every_painter_is_asked(
    tiny_dataset: Path,
) -> None:
    paths = sorted((tiny_dataset / "images").glob("*.png"))
    made = [p for _, p in pictures_to_fit(paths, seed=0, n_drawn=2)]
    kinds = {picture.kind for picture in made}
    assert kinds == {FRONTAL, *TURNED, "corner", "part", "page", *drawn.FITTED}
    for picture in made:
        assert picture.pixels.dtype == np.float32 and picture.pixels.ndim == 2
        assert picture.pixels.min() >= 0 and picture.pixels.max() <= 1


def test_what_is_measured_was_not_fitted_on() -> None:
    assert set(drawn.FITTED) & set(drawn.MEASURED) == {"noise"}
    fitted = {p.pixels.tobytes() for _, p in pictures_to_fit([], seed=0, n_drawn=1)}
    measured = {p.pixels.tobytes() for p in other_pictures(seed=0, n_drawn=1)}
    assert not fitted & measured


def test_pictures_are_the_same_for_the_same_seed() -> None:
    chest = draw_radiograph(seed=0, pneumonia=False, size=(96, 80)).pixels
    for change in (retaken, corner, part):
        a, b, c = (change(chest, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert np.array_equal(a, b)
        assert a.shape != c.shape or not np.array_equal(a, c)


def test_turned_by_90_is_counterclockwise_and_corners_keep_less_than_a_third() -> None:
    chest = draw_radiograph(seed=0, pneumonia=False, size=(96, 80)).pixels
    rng = np.random.default_rng(0)
    assert np.array_equal(TURNED["rotated_90"](chest, rng)[-1], chest[:, 0][: chest.shape[0]])
    assert np.allclose(TURNED["inverted"](chest, rng) + chest, 1)
    assert corner(chest, rng).size < chest.size / 3


def test_a_line_counts_what_is_right_with_wilsons_interval() -> None:
    rows = [a_row(FRONTAL, None)] * 8 + [a_row(FRONTAL, "inverted", "bad")] * 2
    rows += [a_row("inverted", "inverted")] * 2 + [a_row("inverted", None, "missed")]
    frontal, inverted = summary(rows)
    assert (frontal["right"], frontal["pictures"], frontal["wrong"]) == (8, 10, ["bad"] * 2)
    # Wilson's interval of 8 in 10, by hand: (p + z²/2n ± z sqrt(pq/n + z²/4n²)) / (1 + z²/n).
    assert (frontal["low"], frontal["high"]) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert (inverted["right"], inverted["named"], inverted["wrong"]) == (2, 2, ["missed"])
    text = table([frontal, inverted])
    assert "| frontal | s | accepted | 8 of 10 | 0.800 (0.490 to 0.943) | 0.99, missed |" in text
    assert "| inverted | s | refused | 2 of 3 |" in text and "| 2 of 3 |" in text


def separable(n: int = 20) -> Seen:
    """n pictures of each class, each class with a measure of its own that is high."""
    kinds = [kind for kind in (FRONTAL, *TURNED, "noise") for _ in range(n)]
    rng = np.random.default_rng(0)
    high = 4 * np.eye(6).repeat(n, axis=0) + 0.5 * rng.standard_normal((6 * n, 6))
    measures = dict(zip("abcdef", high.T.astype(np.float32), strict=True))
    views = 0.1 * rng.standard_normal((6 * n, 288)).astype(np.float32)
    return Seen(views, measures, kinds, list(range(n)) * 6)


def test_a_model_tells_the_classes_that_it_was_fitted_on() -> None:
    seen = separable()
    model = fit_frontal_model(
        seen, image_size=64, weights_sha256="abc", accepted=0.9, fitted_on={"seed": 0}
    )
    numbers = model.numbers(seen.views, seen.measures)
    passed = (model.score(numbers) >= model.threshold_prob) == seen.frontal()
    assert passed.mean() > 0.95
    reasons = np.array(model.reasons(numbers)[20:])
    wanted = np.array([k if k in TURNED else "not_frontal_chest" for k in seen.kinds[20:]])
    assert (reasons == wanted).mean() > 0.95
    assert model.fitted_on["pictures"]["noise"] == 20 and model.fitted_on["seed"] == 0
    assert model.fitted_on["accepted_held_out"][FRONTAL] == pytest.approx(0.9, abs=0.06)


def test_a_fit_without_a_class_or_with_a_share_that_is_none_says_so() -> None:
    seen = separable()
    some = seen.chosen(np.array([i for i, k in enumerate(seen.kinds) if k != "inverted"]))
    facts: Row = {"image_size": 64, "weights_sha256": "", "fitted_on": {}}
    with pytest.raises(ValueError, match="none of them inverted"):
        fit_frontal_model(some, accepted=0.9, **facts)
    with pytest.raises(ValueError, match="accepted is 99"):
        fit_frontal_model(seen, accepted=99, **facts)


@pytest.mark.slow
def test_measuring_reads_pictures_as_dicom_and_judges_with_the_bundles_network(
    tiny_dataset: Path,
) -> None:
    bundle = read_bundle(BUNDLE)
    check = FrontalCheck(BUNDLE / "models" / "frontal_check.json", ckpt_path=bundle.ckpt_path)
    paths = sorted((tiny_dataset / "images").glob("*.png"))[:3]
    pictures = [
        p
        for p in pictures_to_measure(
            [("tiny", path) for path in paths], n_stand_ins=1, n_drawn=0, seed=0
        )
        if p.source == "tiny"
    ]
    pictures.append(Picture("blank", "drawn", "0", np.full((64, 64), 0.5, dtype=np.float32)))
    rows = list(judged(bundle, check, pictures))
    assert [row["kind"] for row in rows] == [FRONTAL] * 3 + [*TURNED, "corner", "blank"]
    assert [row["reason"] for row in rows[:3]] == [None] * 3
    assert all(row["reason"] for row in rows[3:]) and rows[-1]["score"] is None


@pytest.mark.slow
def test_the_commands_fit_and_measure(
    tiny_dataset: Path,
    tmp_path: Path,
    fresh_weights: Path,
) -> None:
    shared = ["--dataset-dir", tiny_dataset, "--datalist", tiny_dataset / "datalist.json"]
    shared += ["--bundle", BUNDLE, "--weights", fresh_weights, "--image-size", 64]
    shared += ["--drawn", 2]
    output = ["--output", tmp_path / "p.json", "--radiographs", 16]
    told = json.loads(main([str(word) for word in ("fit", *shared, *output)]))
    model = load_frontal_model(tmp_path / "p.json")
    assert model.image_size == 64 and model.threshold_prob == told["threshold_prob"]
    assert told["pictures"][FRONTAL] == 32
    words = ["measure", *shared, "--parameters", tmp_path / "p.json", "--stand-ins", 1]
    text = main([str(word) for word in (*words, "--output", tmp_path / "m.json")])
    lines = json.loads((tmp_path / "m.json").read_text())
    kinds = ["noise", "figure", "jaw", "page", "photograph", "other modality"]
    assert [line["kind"] for line in lines] == [FRONTAL, *TURNED, "corner", *kinds]
    assert all(line["kind"] in text for line in lines)
