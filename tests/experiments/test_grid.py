"""Which runs a grid has, and what is wrong with one that is written badly."""

import json
from collections import Counter
from inspect import signature
from pathlib import Path
from pydoc import locate
from typing import Any

import pytest

from multimix_monai.experiments.grid import Grid, grid_of, load_grid, shipped_grids
from multimix_monai.experiments.runner import settings_of

SMALL = {
    "sources": ["a=a"],
    "systems": {"both": {}, "only masks": {"tasks": ["masks"]}},
    "masks": [5, "all"],
    "labels": [100],
    "seeds": [0, 1],
}


def test_a_system_of_one_task_is_run_once_for_each_of_its_budgets() -> None:
    runs = Grid(**{**SMALL, "labels": [100, 1000]}).runs()
    names = [run.name for run in runs]
    assert len(set(names)) == len(names) == 2 * (4 + 2)
    assert "both/masks-all_labels-1000/seed-1" in names
    assert "only masks/masks-5/seed-0" in names


def test_the_first_seed_has_all_its_rows_before_the_next_begins() -> None:
    seeds = [run.seed for run in Grid(**SMALL).runs()]
    assert seeds == sorted(seeds)


def test_what_a_system_does_not_learn_has_no_stream_and_no_score() -> None:
    grid = Grid(**{**SMALL, "settings": {"batch_sizes": {"mask_labelled": 3}}})
    settings = settings_of(grid, grid.runs()[2])
    assert settings["batch_sizes#label_labelled"] == settings["batch_sizes#label_unlabelled"] == 0
    assert settings["validate#key_metric#val_score#metrics"] == ["@validate#mean_dice"]
    assert list(settings).index("batch_sizes") < list(settings).index("batch_sizes#label_labelled")
    assert "batch_sizes#label_labelled" not in settings_of(grid, grid.runs()[0])


@pytest.mark.parametrize("name", shipped_grids())
def test_every_grid_of_ours_changes_keys_that_train_json_has(name: str) -> None:
    from monai.bundle import ConfigParser

    configs = Path(__file__).parents[2] / "bundle" / "configs"
    grid = load_grid(name)
    for run in grid.runs():
        parser = ConfigParser()
        files = ["train.json"] + (["paper.json"] if run.system.recipe == "paper" else [])
        parser.read_config([str(configs / file) for file in files])
        for key, value in settings_of(grid, run).items():
            parent, _, last = key.rpartition("#")
            known = set(parser[parent] if parent else parser.get())
            if "_target_" in known:
                target: Any = locate(parser[f"{parent}#_target_"])
                known |= set(signature(target).parameters)
            assert last in known, f"{run.name}: {key}"
            parser[key] = value


def test_the_papers_systems_are_all_there() -> None:
    grid = load_grid("budgets")
    rows = Counter(run.system.name for run in grid.runs() if run.seed == 0)
    both = dict.fromkeys(["UMTL", "UMTL-S", "UMTL-SSL", "UMTL-SSL-S", "MultiMix", "default"], 4 * 3)
    assert rows == {"U-Net": 4, "Enc": 3, "EncSSL": 3, **both}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": [0]}, "unknown key 'seed'"),
        ({"systems": {"a": {"setting": {}}}}, "system 'a' has the unknown key 'setting'"),
        ({"systems": {"a": {"tasks": ["mask"]}}}, "system 'a': tasks is"),
        ({"baseline": "c"}, "baseline is 'c'"),
    ],
)
def test_what_is_written_badly_is_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid_of({**SMALL, **change}, place="grid.json")


def test_a_grid_that_is_not_there_or_lacks_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none of ablations, budgets"):
        load_grid(str(tmp_path / "no.json"))
    path = tmp_path / "grid.json"
    path.write_text(json.dumps({"sources": []}))
    with pytest.raises(ValueError, match="lacks labels, masks, seeds, systems"):
        load_grid(str(path))
    path.write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        load_grid(str(path))
