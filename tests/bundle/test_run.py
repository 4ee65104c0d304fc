from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
TRAIN = BUNDLE / "configs" / "train.json"
SMALL = {
    "image_size": 64,
    "max_epochs": 1,
    "steps_per_epoch": 2,
    "val_interval": 1,
    "show_bar": False,
    "fused": False,
    "batch_sizes": {
        "mask_labelled": 2,
        "mask_unlabelled": 1,
        "label_labelled": 2,
        "label_unlabelled": 1,
    },
}


@pytest.mark.slow
def test_a_user_trains_evaluates_and_predicts_from_any_folder(
    tiny_dataset: Path, tmp_path: Path, command: Callable
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_dataset, data)
    here = {"dataset_dir": "data", "output_dir": "out"}
    run = ("monai.bundle", "run")

    done = command(*run, "training", config_file=TRAIN, **here, **SMALL)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out" / "models").iterdir()) == [
        "last.pt",
        "model.json",
        "model.pt",
    ]

    both = f"['{TRAIN}','{TRAIN.parent / 'evaluate.json'}']"
    done = command(*run, "evaluating", config_file=both, **here, image_size=64)
    assert done.returncode == 0, done.stderr
    assert "hausdorff95_px" in done.stdout
    metrics = json.loads((tmp_path / "out" / "evaluation" / "metrics.json").read_text())
    assert metrics["threshold_source"].startswith("validation")
    assert 0 <= metrics["masks"]["folder"]["metrics"]["dice"]["mean"] <= 1

    done = command(
        *run,
        "inference",
        config_file=TRAIN.parent / "inference.json",
        dataset_dir="data/dicom",
        output_dir="predictions",
        ckpt_path="out/models/model.pt",
        image_size=64,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "predictions" / "results.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["ok", "ok"]


@pytest.mark.slow
def test_a_missing_dataset_dir_is_one_line_that_names_the_option(command: Callable) -> None:
    done = command("monai.bundle", "run", "training", config_file=TRAIN, dataset_dir="/nowhere")
    assert done.returncode == 1
    remedy = "set it with --dataset-dir (dataset_dir)"
    assert done.stderr == f"error: dataset_dir /nowhere does not exist: {remedy}\n"


def test_a_missing_dataset_dir_fails_within_a_second(run_bundle: Callable) -> None:
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"--dataset-dir \(dataset_dir\)"):
        run_bundle("training", "train.json")
    with pytest.raises(FileNotFoundError, match="--dataset_dir"):
        run_bundle("inference", "inference.json", dataset_dir="/nowhere", image_size=160)
    assert time.perf_counter() - start < 2


def test_the_published_recipe_trains(
    tiny_dataset: Path, tmp_path: Path, run_bundle: Callable
) -> None:
    run_bundle(
        "training",
        "train.json",
        "paper.json",
        dataset_dir=str(tiny_dataset),
        output_dir=str(tmp_path),
        steps_per_epoch=1,
    )
    state = torch.load(tmp_path / "models" / "last.pt", weights_only=True)
    assert state["iteration"] == 1
    assert state["teacher"] == {}


@pytest.mark.slow
def test_weights_are_not_used_in_another_way_than_they_were_trained(
    tiny_dataset: Path, tmp_path: Path, run_bundle: Callable
) -> None:
    data = {"dataset_dir": str(tiny_dataset)}
    run_bundle("training", "train.json", **data, output_dir=str(tmp_path / "out"))
    weights = {"ckpt_path": str(tmp_path / "out" / "models" / "model.pt")}
    evaluation = ("evaluating", "train.json", "evaluate.json")
    for name, value in {"image_size": 96, "percentiles": [0, 100], "bridge": "none"}.items():
        with pytest.raises(
            ValueError, match=rf"model\.pt was trained with {name} .* --set '?{name}"
        ):
            run_bundle(*evaluation, **data, **weights, **{name: value})
        with pytest.raises(
            ValueError, match=rf"model\.pt was trained with {name} .* --set '?{name}"
        ):
            run_bundle("inference", "inference.json", **data, **weights, **{name: value})
    run_bundle("inference", "inference.json", **data, **weights, output_dir=str(tmp_path / "p"))
    start = f"$bundle.load_weights(@network_def, {weights['ckpt_path']!r}).to(@device)"
    further = {"network": start, "image_size": 96, "output_dir": str(tmp_path / "finer")}
    run_bundle("training", "train.json", **data, **further)


def test_a_bundle_elsewhere_is_run_with_its_own_weights(
    tiny_dataset: Path,
    tmp_path: Path,
    bundle_copy: Path,
    run_bundle: Callable,
) -> None:
    run_bundle(
        "inference",
        str(bundle_copy / "configs" / "inference.json"),
        dataset_dir=str(tiny_dataset / "dicom"),
        output_dir=str(tmp_path / "own"),
    )
    (bundle_copy / "models" / "model.pt").unlink()
    with pytest.raises(FileNotFoundError, match=str(bundle_copy)):
        run_bundle(
            "inference",
            str(bundle_copy / "configs" / "inference.json"),
            dataset_dir=str(tiny_dataset / "dicom"),
            output_dir=str(tmp_path / "other"),
        )


@pytest.mark.slow
def test_two_processes_train_alike_and_only_the_first_writes(
    tiny_dataset: Path, tmp_path: Path, command: Callable
) -> None:
    save = "$torch.save(@network_def.state_dict(), str(torch.distributed.get_rank()) + '.pt')"
    done = command(
        *("torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"),
        *("monai.bundle", "run", "training"),
        config_file=f"['{TRAIN}','{TRAIN.parent / 'multi_gpu_train.json'}']",
        dataset_dir=tiny_dataset,
        output_dir="out",
        finalize=[save, "$torch.distributed.destroy_process_group()"],
        **SMALL,
    )
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    last = torch.load(tmp_path / "out" / "models" / "last.pt", weights_only=True)
    assert all(torch.equal(first[name], last["network"][name]) for name in first)
    assert done.stdout.count("epoch 1/1:") == 1
    assert len(list((tmp_path / "out" / "tensorboard").iterdir())) == 1
