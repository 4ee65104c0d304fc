from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from multimix_monai.apps.label_judge import CurrentJudge, Judge
from multimix_monai.apps.label_scores import Scores, choose
from multimix_monai.data.patient import digest
from multimix_monai.data.trained_as import write_trained_as
from multimix_monai.engines import Informativeness


def score(seed: int, doubt: float = 0.5) -> Informativeness:
    rng = np.random.default_rng(seed)
    return Informativeness({"mask_doubt": doubt}, rng.normal(size=8).astype(np.float32))


class FakelessJudge:
    """Knows what it is told, by path: scores are computed and tested elsewhere."""

    def __init__(self, digest: str, known: dict[str, Informativeness | None]) -> None:
        self.digest = digest
        self.known = known

    def informativeness(self, paths: list[Path]) -> list[Informativeness | None]:
        return [self.known[path.name] for path in paths]


def test_scores_are_kept_by_image_and_weights_and_go_with_them(tmp_path: Path) -> None:
    scores = Scores(tmp_path)
    first = FakelessJudge("a" * 64, {"x": score(1), "y": None})
    assert scores.lacking(first.digest, ["x", "y"]) != []
    assert scores.add(first, scores.lacking(first.digest, ["x", "y"]), Path) == 2
    assert Scores(tmp_path).lacking(first.digest, ["x", "y", "z"]) == ["z"]
    back = Scores(tmp_path).of(first.digest)
    assert back[digest("y")] is None
    np.testing.assert_allclose(back[digest("x")].features, score(1).features, atol=1e-6)
    second = FakelessJudge("b" * 64, {"x": score(2)})
    scores.folder.joinpath("b" * 16 + ".jsonl").write_text("")
    assert scores.best(second.digest, [digest("x")]).keys() == back.keys()  # until it knows more
    scores.add(second, ["x"], Path)
    assert scores.of(first.digest) == {} and len(list(tmp_path.iterdir())) == 1
    assert "x" not in [path.read_text().partition(",")[0] for path in tmp_path.iterdir()]


def test_a_line_cut_short_is_scored_anew(tmp_path: Path) -> None:
    scores = Scores(tmp_path)
    judge = FakelessJudge("a" * 64, {"x": score(1), "y": score(2)})
    scores.add(judge, ["x", "y"], Path)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text()[:-20])
    assert Scores(tmp_path).lacking(judge.digest, ["x", "y"]) == ["y"]


def test_what_was_refused_is_chosen_last_and_what_is_unknown_by_chance() -> None:
    known = {digest("a"): None, digest("b"): score(1)}
    assert choose(["a", "b", "c"], [], known, count=3) == ["b", "c", "a"]
    assert choose(["a", "c"], [], known) == ["c"]
    without = choose([str(n) for n in range(50)], [], {})
    assert without == choose([str(n) for n in reversed(range(50))], [], {})


def test_the_most_informative_is_chosen_and_never_a_labelled_one() -> None:
    known = {digest(str(n)): score(n, doubt=0.9 if n == 7 else 0.1) for n in range(12)}
    ids = [str(n) for n in range(12)]
    assert choose(ids, [], known, class_weight=0.0) == ["7"]
    rest = [id for id in ids if id != "7"]
    assert choose(rest, ["7"], known, count=11) != [] and "7" not in choose(rest, ["7"], known)


@pytest.mark.slow
def test_a_thousand_images_are_chosen_from_in_a_moment(tmp_path: Path) -> None:
    ids = [str(n) for n in range(1000)]
    rng = np.random.default_rng(0)
    known = {
        id: Informativeness({"mask_doubt": 0.1, "class_doubt": 0.2}, rng.normal(size=256))
        for id in ids
    }
    scores = Scores(tmp_path)
    scores.add(FakelessJudge("a" * 64, known), ids, Path)
    fresh = Scores(tmp_path)
    start = time.process_time()
    assert len(choose(ids, [], fresh.best("a" * 64, [digest(id) for id in ids]))) == 1
    assert time.process_time() - start < 1


def test_the_judge_scores_images_and_refuses_others(tiny_dataset: Path, tmp_path: Path) -> None:
    from multimix_monai.apps.label import own_weights

    judge = Judge(own_weights())
    images = sorted((tiny_dataset / "images").iterdir())[:2]
    (broken := tmp_path / "broken.png").write_bytes(b"no picture")
    first, none, second = judge.informativeness([images[0], broken, images[1]])
    assert none is None and first is not None and second is not None
    assert len(first.features) == 256 and set(first.uncertainty) == set(second.uncertainty)
    assert judge.informativeness([broken]) == [None]


def test_weights_judge_at_the_size_that_they_learnt_at(fresh_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(fresh_weights.read_bytes())
    write_trained_as(path, {"image_size": 64})
    assert Judge(path).settings["image_size"] == 64
    with pytest.raises(ValueError, match="trained with image_size 64, not 96"):
        Judge(path, {"image_size": 96})


def test_other_weights_are_used_as_soon_as_they_are_published(
    fresh_weights: Path, tmp_path: Path
) -> None:
    from multimix_monai.apps.label import own_weights

    path = tmp_path / "model.pt"
    path.write_bytes(own_weights().read_bytes())
    judge = CurrentJudge(lambda: path)
    before = judge()
    assert judge() is before
    path.write_bytes(fresh_weights.read_bytes())
    assert judge().digest != before.digest


def test_trained_on_weights_still_refuse_what_is_no_frontal_chest(
    fresh_weights: Path, tmp_path: Path
) -> None:
    from PIL import Image

    from multimix_monai.data.synthetic import draw_radiograph

    drawn = draw_radiograph(seed=0, pneumonia=False, size=(160, 144))
    picture = Image.fromarray(np.round(255 * drawn.pixels).astype(np.uint8))
    picture.save(upright := tmp_path / "upright.png")
    picture.rotate(180).save(turned := tmp_path / "turned.png")
    judge = Judge(fresh_weights)
    assert judge.judge(turned)[1]["reason"] == "rotated_180"
    row = judge.judge(upright)[1]
    assert row["status"] == "ok" and "frontal_not_checked" not in row["flags"]
    assert Judge(fresh_weights, {"force": True}).judge(turned)[1]["status"] == "ok"
