"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """One torch thread a process: tests share the cores by process, and sums keep their order."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a real dataset in ../shared/data, such as "montgomery"; skips where it is absent."""

    def find(name: str) -> Path:
        path = REPOSITORY.parent / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"real radiographs are absent: no ../shared/data/{name} beside the project")
        return path

    return find


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn plain folder: 12 small images, 2 DICOM files, a datalist.json. Read only."""
    from multimix_monai.apps.synth import synth_command
    from multimix_monai.data.datalist import Budget, build_datalist, write_datalist
    from multimix_monai.data.readers import read_folder

    root = tmp_path_factory.mktemp("tiny")
    synth_command(root, cases=12, seed=0, size=74, dicom=2)
    cases = read_folder(root)
    datalist = build_datalist(
        cases,
        dataset_dir=root,
        test={cases[0].source: 0.3},
        validation=0.3,
        training_budget=Budget(masks=2, labels=2),
    )
    write_datalist(datalist, root / "datalist.json")
    return root


@pytest.fixture(scope="session")
def fresh_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model.pt of seeded weights that have learnt nothing. Read only."""
    import torch

    from multimix_monai.networks import MultiMix

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(MultiMix().state_dict(), path)
    return path
