"""The simulated annotator: who is chosen, what training sees, where it goes on, what is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from multimix_monai.data.datalist import Budget, build_datalist, load_datalist
from multimix_monai.data.readers import read_folder
from multimix_monai.experiments.annotator import (
    BASELINE,
    SETTINGS,
    SYSTEMS,
    Simulation,
    chains,
    grid_of,
    main,
    masks_needed,
    summary,
)
from multimix_monai.experiments.grid import Run
from multimix_monai.experiments.runner import settings_of
from multimix_monai.experiments.table import write_tables

TINY: dict[str, Any] = {
    "image_size": 32,
    "network_def#widths": [2, 4, 4, 8, 8],
    "fused": False,
    "max_epochs": 1,
    "steps_per_epoch": 1,
    "device": "cpu",
}


@pytest.fixture
def simulation(tiny_dataset: Path, tmp_path: Path) -> Simulation:
    """Budgets of 2 and 4 masks on the drawn radiographs."""
    cases = read_folder(tiny_dataset)
    datalist = build_datalist(
        cases,
        dataset_dir=tiny_dataset,
        test={cases[0].source: 0.3},
        validation=0.0,
        training_budget=Budget(masks=3),
    )
    grid = grid_of([4, 2], seeds=2, settings=TINY)
    return Simulation(datalist, grid, tiny_dataset, tmp_path / "runs")


def run_of(simulation: Simulation, system: str, seed: int = 0) -> Run:
    """The first of a chain."""
    return next(r for r in simulation.grid.runs() if (r.system.name, r.seed) == (system, seed))


def names(simulation: Simulation) -> list[str]:
    return [f"{item['source']}/{item['case']}" for item in simulation.pool()]


def test_training_sees_the_masks_that_were_drawn_and_no_label_and_the_test_stays(
    simulation: Simulation, tmp_path: Path
) -> None:
    drawn = names(simulation)[1:4]
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps(simulation.answered(drawn)))
    parts = load_datalist(path, dataset_dir=simulation.dataset_dir)
    seen = [f"{item['source']}/{item['case']}" for item in parts["training"] if "mask" in item]
    assert seen == drawn and not parts["validation"]
    assert len(parts["training"]) == len(simulation.datalist["training"])
    assert not any("label" in item for item in parts["training"])
    tested = [item["case"] for item in simulation.datalist["test"]]
    assert tested and [item["case"] for item in parts["test"]] == tested


def test_the_first_cases_are_chosen_by_their_look_and_random_ones_by_the_seed(
    simulation: Simulation,
) -> None:
    def chosen(system: str, seed: int, count: int, done: list[str] | None = None) -> list[str]:
        run = run_of(simulation, system, seed)
        return simulation.choose(run, annotated=done or [], count=count, weights=None)

    assert chosen("active-semi", 0, 3) == chosen("active-supervised", 1, 3)
    first = chosen(BASELINE, 0, 3)
    assert first != chosen(BASELINE, 1, 3) and set(first) <= set(names(simulation))
    assert chosen(BASELINE, 0, 5) == first + chosen(BASELINE, 0, 2, first)


def test_with_weights_the_network_says_what_it_knows_and_done_cases_are_not_chosen(
    simulation: Simulation, fresh_weights: Path
) -> None:
    wide = {**TINY, "network_def#widths": [16, 32, 64, 128, 256]}
    own = Simulation(
        simulation.datalist,
        grid_of([2], seeds=1, settings=wide),
        simulation.dataset_dir,
        simulation.output,
    )
    run = run_of(own, "active-semi")
    known = own.known(run, fresh_weights)
    assert list(known) == names(own)
    assert all(len(case.features) == 256 and case.uncertainty for case in known.values())
    done = names(own)[:4]
    chosen = own.choose(run, annotated=done, count=3, weights=fresh_weights)
    assert len(chosen) == 3 and not set(chosen) & set(done)


def test_a_budget_beyond_the_known_masks_is_refused(simulation: Simulation) -> None:
    grid = grid_of([5, 99], seeds=1, settings={})
    with pytest.raises(ValueError, match="largest budget is 99"):
        Simulation(simulation.datalist, grid, simulation.dataset_dir, Path("x"))


def test_systems_differ_in_the_unlabelled_stream_alone_and_masks_rise_in_a_chain() -> None:
    grid = grid_of([40, 5], seeds=2, settings={"image_size": 96})
    runs = {run.system.name: run for run in grid.runs()}
    settings = {name: settings_of(grid, run) for name, run in runs.items()}
    unlabelled = {n: s.pop("batch_sizes#mask_unlabelled") for n, s in settings.items()}
    assert unlabelled == SYSTEMS
    assert all(own == settings[BASELINE] for own in settings.values())
    assert settings[BASELINE]["image_size"] == 96 != SETTINGS["image_size"]
    assert settings[BASELINE]["batch_sizes#label_unlabelled"] == 0
    found = chains(grid)
    assert [[run.masks for run in chain] for chain in found] == [[5, 40]] * 6
    assert [chain[0].seed for chain in found] == [0, 0, 0, 1, 1, 1]


def test_masks_needed_by_hand() -> None:
    assert masks_needed({5: 0.8, 10: 0.91}, 0.8) == 5
    assert masks_needed({10: 0.91, 5: 0.8}, 0.855) == pytest.approx(7.5)
    assert masks_needed({5: 0.8}, 0.81) is None


def write_run(output: Path, system: str, masks: int, seed: int, dice: float) -> None:
    """A finished run's record and figure, as `do` and `multimix evaluate` lay them out."""
    folder = output / system / f"masks-{masks}" / f"seed-{seed}"
    (folder / "evaluation").mkdir(parents=True)
    record = {"system": system, "tasks": ["masks"], "masks": masks, "labels": None, "seed": seed}
    (folder / "run.json").write_text(json.dumps(record))
    statistics = {"mean": dice}
    metrics = dict.fromkeys(("dice", "average_hausdorff_px", "hausdorff95_px", "ssim"), statistics)
    content = {"masks": {"montgomery": {"metrics": metrics}}, "labels": {}}
    (folder / "evaluation" / "metrics.json").write_text(json.dumps(content))


def test_the_summary_says_which_masks_reach_what_the_baseline_does_with_most(
    tmp_path: Path,
) -> None:
    dice = {"active-semi": {10: 0.88, 20: 0.92}, "active-supervised": {10: 0.8, 20: 0.85}}
    for system, points in dice.items():
        for masks, value in points.items():
            write_run(tmp_path, system, masks, 0, value)
    assert summary(tmp_path) == f"{BASELINE} has no finished run yet"
    for seed, value in enumerate((0.89, 0.91)):
        write_run(tmp_path, BASELINE, 40, seed, value)
    lines = summary(tmp_path).splitlines()
    assert lines[0] == f"| system | masks for {BASELINE}'s Dice with 40, 0.9000 |"
    assert lines[2:] == [
        "| active-semi | 15 |",
        "| active-supervised | not reached |",
        f"| {BASELINE} | 40 |",
    ]


@pytest.mark.slow
def test_the_command_simulates_and_goes_on_and_the_grids_table_takes_its_runs(
    simulation: Simulation, tmp_path: Path
) -> None:
    datalist = tmp_path / "datalist.json"
    datalist.write_text(json.dumps(simulation.datalist))
    words: list[Any] = [datalist, "--dataset-dir", simulation.dataset_dir, "--seeds", 1]
    words += ["--output", simulation.output, "--system", "active-semi"]
    words += [w for k, v in TINY.items() for w in ("--set", f"{k}={json.dumps(v)}")]
    main([str(word) for word in (*words, "--masks", 2)])
    system = simulation.output / "active-semi"
    weights = system / "masks-2" / "seed-0" / "models" / "model.pt"
    before = weights.stat().st_mtime_ns
    assert not weights.with_name("last.pt").exists()

    main([str(word) for word in (*words, "--masks", 2, 4)])
    assert weights.stat().st_mtime_ns == before  # what was measured is not trained again
    few, more = (
        json.loads((system / "datalists" / f"masks-{n}_seed-0.annotated").read_text())["annotated"]
        for n in (2, 4)
    )
    assert len(few) == 2 and len(set(more)) == 4 and more[:2] == few
    table = write_tables(simulation.output)
    assert "| active-semi | 2 |" in table and "| active-semi | 4 |" in table
