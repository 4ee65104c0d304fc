"""The zoo's folder: complete, found by itself from anywhere, where our package is not installed."""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, download_large_files

from multimix_monai.apps import zoo
from multimix_monai.apps.bundle_files import trained_or_own
from multimix_monai.apps.zoo_card import TEMPLATE, requirements, zoo_card
from multimix_monai.apps.zoo_configs import OWN, portable_configs

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLE = REPOSITORY / "bundle"
SCHEMA = REPOSITORY.parent / "shared" / "reference" / "meta_schema_20240725.json"
COMBINATIONS = [
    ("train.json",),
    ("train.json", "paper.json"),
    ("train.json", "multi_gpu_train.json"),
    ("train.json", "evaluate.json"),
    ("inference.json",),
]
SMALL: dict[str, Any] = {
    "image_size": 64,
    "max_epochs": 1,
    "steps_per_epoch": 1,
    "val_interval": 1,
    "show_bar": False,
    "fused": False,
    "batch_sizes": {
        "mask_labelled": 1,
        "mask_unlabelled": 1,
        "label_labelled": 2,
        "label_unlabelled": 1,
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo's folder, moved after it was written, on a path with a space. Read only."""
    written = zoo.write_zoo(tmp_path_factory.mktemp("written"), source=BUNDLE)
    moved = tmp_path_factory.mktemp("moved") / "model zoo" / "models"
    moved.mkdir(parents=True)
    shutil.move(written.parent / "test_multimix.py", moved.parent)
    return Path(shutil.move(written, moved))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is installed but our package, whichever way that is installed."""
    links = tmp_path_factory.mktemp("packages")
    for installed in (Path(entry) for entry in sys.path if entry.endswith("-packages")):
        for entry in installed.iterdir():
            if "multimix_monai" not in entry.name and not (links / entry.name).exists():
                (links / entry.name).symlink_to(entry)
    return links


@pytest.fixture
def elsewhere(packages: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python ...` in another folder, where `import multimix_monai` fails."""

    def call(*words: object, cwd: Path = tmp_path, **options: object) -> Any:
        arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        return subprocess.run(
            # -S: no .pth file, by which an editable install would be found.
            [sys.executable, "-S", "-W", "ignore", *map(str, words), *arguments],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )

    done = call("-c", "import multimix_monai")
    assert "No module named 'multimix_monai'" in done.stderr
    return call


def configs_of(folder: Path) -> dict[str, Any]:
    paths = (path for path in folder.glob("*.json") if path.name != "metadata.json")
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def items_of(config: Any) -> Iterator[Any]:
    """Every dictionary, list and value in a config."""
    yield config
    if isinstance(config, dict | list):
        for item in config.values() if isinstance(config, dict) else config:
            yield from items_of(item)


# --- the folder ---


def test_the_folder_has_what_the_zoo_asks_for_and_nothing_that_a_run_left(folder: Path) -> None:
    wanted = ["LICENSE", "docs/README.md", "docs/data_license.txt", "models/model.pt"]
    wanted += [f"configs/{name}.json" for name in ("metadata", "inference", "train", "evaluate")]
    assert [
        name for name in [*wanted, "configs/logging.conf"] if not (folder / name).is_file()
    ] == []
    assert (folder.parents[1] / "test_multimix.py").is_file()
    assert not (folder / "large_files.yml").exists()
    assert [p for p in folder.rglob("*") if p.name == "__pycache__" or p.suffix == ".pyc"] == []
    assert all(p.stat().st_size <= zoo.MAX_BYTES for p in folder.rglob("*"))
    ours = {p.relative_to(REPOSITORY) for p in (REPOSITORY / "multimix_monai").rglob("*.py")}
    assert ours == {p.relative_to(folder) for p in (folder / "multimix_monai").rglob("*.py")}


def test_the_folder_replaces_its_like_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "multimix").mkdir()
    (tmp_path / "multimix" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"is no MultiMix bundle.*move it away"):
        zoo.write_zoo(tmp_path, source=BUNDLE)
    (tmp_path / "multimix" / "thesis.txt").rename(tmp_path / "thesis.txt")
    (tmp_path / "multimix").rmdir()
    target = zoo.write_zoo(tmp_path, source=BUNDLE)
    (target / "docs" / "old.md").touch()
    zoo.write_zoo(tmp_path, source=BUNDLE)
    assert not (target / "docs" / "old.md").exists()
    with pytest.raises(FileNotFoundError, match="project's root"):
        zoo.write_zoo(tmp_path / "other", source=target)


def test_a_file_above_the_limit_is_left_out_and_comes_back_when_it_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "MAX_BYTES", 5 * 2**20)
    with pytest.raises(ValueError, match=r"model.pt has 8 MiB and the zoo takes 25.*--url"):
        zoo.write_zoo(tmp_path, source=BUNDLE)
    target = zoo.write_zoo(tmp_path, source=BUNDLE, url=BUNDLE.as_uri())
    assert not (target / "models" / "model.pt").exists()
    download_large_files(bundle_path=str(target))
    back = (target / "models" / "model.pt").read_bytes()
    assert back == (BUNDLE / "models" / "model.pt").read_bytes()


def test_the_card_follows_the_zoos_template_and_its_links_lead_somewhere(folder: Path) -> None:
    card = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^(#+ .+)$", re.sub(r"^```.*?^```", "", card, flags=re.M | re.S), re.M)
    assert headings[:3] == ["# MultiMix chest radiograph", "### **Authors**", "### **Tags**"]
    sections = ["Model Description", "Data", "Performance", "System Configuration"]
    sections += ["Limitations", "Additional Usage Steps", "References"]
    assert [name for name in sections if f"## **{name}**" not in headings] == []
    assert "#### **Preprocessing**" in headings
    assert not [name for name in TEMPLATE if f"# {name}" in card]
    assert "must be installed" not in card
    links = re.findall(r"\]\((?!https?:)([^)#]+)", card)
    assert links and [link for link in links if not (folder / "docs" / link).exists()] == []


def test_a_card_without_the_line_to_replace_is_an_error(folder: Path) -> None:
    metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match=r"README.md lacks the line"):
        zoo_card("# Model Overview\n", metadata)


def imported_modules(paths: Iterable[Path]) -> set[str]:
    """Top-level names of what files import, wherever in them, but of the standard library."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def test_every_package_that_is_imported_is_required_or_an_extra(folder: Path) -> None:
    # What serves MONAI Label runs in the environment of its server.
    label = {*folder.rglob("label*.py"), *folder.glob("multimix_monai/label*/**/*.py")}
    modules = imported_modules({*folder.glob("multimix_monai/**/*.py")} - label)
    # Not packages_distributions, which in Python 3.10 knows only what names its top level.
    packages = {
        f.parts[0]: d.name.lower().replace("_", "-")
        for d in distributions()
        for f in d.files or ()
        if f.name == "__init__.py"
    }
    used = {packages.get(m, m.lower()) for m in modules - {"multimix_monai"}}
    metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    required = {line.partition("==")[0] for line in requirements(metadata)}
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    extras = project.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    optional = set(re.findall(r'"([\w.-]+?)(?:\[\w+\])?[><=]', extras))
    assert used - required <= optional | {"requests"}  # it comes with dicomweb-client
    # What MONAI's commands and Ignite's handlers import by themselves.
    assert required - used == {"fire", "jsonschema", "tensorboard"}


# --- the configs ---


def test_nothing_of_the_package_is_imported_before_its_place_is_known(folder: Path) -> None:
    for name, config in configs_of(folder / "configs").items():
        for item in items_of(config):
            if isinstance(item, dict) and "multimix_monai" in str(item.get("_target_")):
                assert item["_requires_"] == "@package", (name, item)
            if isinstance(item, str) and item.startswith("$import"):
                assert item.removeprefix("$import ") in sys.stdlib_module_names, (name, item)


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_every_reference_of_the_zoos_configs_is_defined(
    names: tuple[str, ...], folder: Path
) -> None:
    parser = ConfigParser()
    parser.read_config([str(folder / "configs" / name) for name in names])
    parser.parse()
    for item in parser.ref_resolver.items:
        parser.ref_resolver.get_item(item, resolve=True, instantiate=False, eval_expr=False)


def test_the_zoos_configs_are_the_bundles_but_for_where_things_are(folder: Path) -> None:
    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: plain(value) for key, value in item.items() if key != "_requires_"}
        if isinstance(item, list):
            return [plain(value) for value in item]
        return item.replace("@modules#", "") if isinstance(item, str) else item

    places = {"imports", "bundle_root", "package", "modules"}
    ours, theirs = configs_of(BUNDLE / "configs"), configs_of(folder / "configs")
    assert ours.keys() == theirs.keys()
    for name, config in theirs.items():
        stated = {**ours[name], **OWN.get(name, {})}
        assert {key: value for key, value in plain(config).items() if key not in places} == {
            key: value for key, value in stated.items() if key not in places
        }, name


def test_a_key_that_the_zoo_sets_must_be_one_of_the_bundles() -> None:
    configs = configs_of(BUNDLE / "configs")
    del configs["train.json"]["resume"]
    with pytest.raises(ValueError, match=r"train.json has no key 'resume'"):
        portable_configs(configs)


# --- run from another folder, where the package is not installed ---


def test_what_was_trained_is_evaluated_or_else_what_was_downloaded(tmp_path: Path) -> None:
    own = str(tmp_path / "bundle" / "models" / "model.pt")
    assert trained_or_own(str(tmp_path), str(tmp_path / "bundle")) == own
    (tmp_path / "model.pt").touch()
    assert trained_or_own(str(tmp_path), str(tmp_path / "bundle")) == str(tmp_path / "model.pt")


# Each in a process that has not seen the package, forked from one that knows MONAI.
CHECKS = """
import os, sys
from monai.bundle import ckpt_export, create_workflow, verify_net_in_out

root, data = sys.argv[1:]
configs = f"{root}/configs"
files = {"meta_file": f"{configs}/metadata.json", "config_file": f"{configs}/inference.json"}

def properties(kind, data, **override):
    workflow = create_workflow(
        workflow_type=kind, config_file=f"{configs}/{kind}.json", dataset_dir=data, **override
    )
    assert workflow.check_properties() == [], workflow.check_properties()
    assert workflow.bundle_root == root, workflow.bundle_root

for name, check in {
    "verify": lambda: verify_net_in_out(net_id="network_def", **files),
    "export": lambda: ckpt_export(
        net_id="network_def", filepath="model.ts", ckpt_file=f"{root}/models/model.pt", **files
    ),
    "train": lambda: properties("train", data, fused=False),
    "inference": lambda: properties("inference", f"{data}/images"),
}.items():
    assert "multimix_monai" not in sys.modules
    child = os.fork()
    if not child:
        check()
        assert sys.modules["multimix_monai"].__file__ == f"{root}/multimix_monai/__init__.py"
        print("passed:", name, flush=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, name
"""


@pytest.mark.slow
def test_it_is_verified_and_exported_and_has_its_properties_from_any_folder(
    folder: Path, tiny_dataset: Path, tmp_path: Path, elsewhere: Callable
) -> None:
    done = elsewhere("-c", CHECKS, folder, tiny_dataset)
    assert done.returncode == 0, done.stderr
    assert re.findall("passed: (.*)", done.stdout) == ["verify", "export", "train", "inference"]
    assert (tmp_path / "model.ts").stat().st_size > 2**20


@pytest.mark.slow
def test_it_predicts_from_any_folder_and_leaves_nothing_in_its_own(
    folder: Path, tiny_dataset: Path, tmp_path: Path, elsewhere: Callable
) -> None:
    done = elsewhere(
        *("-B", "-m", "monai.bundle", "run"),
        config_file=folder / "configs" / "inference.json",
        dataset_dir=tiny_dataset / "dicom",
        output_dir="predictions",
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "predictions" / "results.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["ok", "ok"]
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["LICENSE", "configs", "docs", "models", "multimix_monai"]


@pytest.mark.slow
def test_the_zoos_unit_tests_pass(folder: Path, elsewhere: Callable) -> None:
    root = folder.parents[1]
    done = elsewhere("-m", "unittest", "test_multimix", cwd=root)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Ran 2 tests in .*\n\nOK", done.stderr)


@pytest.mark.slow
def test_the_zoos_own_checks_pass_in_full_mode(
    folder: Path, tmp_path: Path, elsewhere: Callable
) -> None:
    clone = os.environ.get("MODEL_ZOO")
    if not clone or not SCHEMA.is_file():
        pytest.skip("needs MODEL_ZOO=path/to/a/clone/of/the/zoo, and ../shared/reference")
    shutil.copytree(Path(clone) / "ci", tmp_path / "ci")
    models = tmp_path / "models"
    shutil.copytree(folder, models / "multimix")
    (models / "model_info.json").write_text("{}")
    (models / "multimix" / "eval").mkdir()
    shutil.copyfile(SCHEMA, models / "multimix" / "eval" / "schema.json")
    done = elsewhere(tmp_path / "ci" / "verify_bundle.py", "-b", "multimix", "-m", "full")
    assert done.returncode == 0, done.stderr
    assert "metadata format is verified correctly" in done.stdout
    assert "data shape is verified correctly" in done.stdout
    assert "export weights into TorchScript module successfully" in done.stdout
    shutil.copy(folder.parents[1] / "test_multimix.py", tmp_path / "ci" / "unit_tests")
    done = elsewhere(tmp_path / "ci" / "unit_tests" / "runner.py", "--b", "multimix")
    assert done.returncode == 0, done.stderr


FEDERATED = """
import json, sys
import torch
from ignite.engine import Events
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, ModelType
from monai.fl.utils.exchange_object import ExchangeObject

def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in other)

settings = json.loads(sys.argv[2])
client = MonaiAlgo(
    sys.argv[1], send_weight_diff=False, train_kwargs=dict(settings), eval_kwargs=dict(settings)
)
client.initialize({ExtraItems.CLIENT_NAME: "hospital-1"})
server = {name: torch.zeros_like(w) + 0.01 for name, w in client.get_weights().weights.items()}
begun = []
client.trainer.add_event_handler(
    Events.ITERATION_STARTED,
    lambda trainer: begun.append({n: w.clone() for n, w in trainer.network.state_dict().items()}),
)
ends = []
for _ in range(2):
    client.train(ExchangeObject(weights=server))
    ends.append({n: w.clone() for n, w in client.get_weights().weights.items()})
metrics = client.evaluate(ExchangeObject(weights=ends[-1])).metrics
best = client.get_weights({ExtraItems.MODEL_TYPE: ModelType.BEST_MODEL}).weights
client.finalize()
print(json.dumps({
    "begins_with_the_servers": [equal(weights, server) for weights in begun],
    "learnt": [not equal(weights, server) for weights in ends],
    "measured": sorted(metrics),
    "best": best.keys() == server.keys(),
    "package": sys.modules["multimix_monai"].__file__,
}))
"""


@pytest.mark.slow
def test_a_federated_client_trains_from_the_servers_weights_in_every_round(
    folder: Path, tiny_dataset: Path, tmp_path: Path, elsewhere: Callable
) -> None:
    settings = {**SMALL, "dataset_dir": str(tiny_dataset)}
    done = elsewhere("-c", FEDERATED, folder, json.dumps(settings))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result == {
        "begins_with_the_servers": [True, True],
        "learnt": [True, True],
        "measured": ["val_auc", "val_mean_dice", "val_score"],
        "best": True,
        "package": str(folder / "multimix_monai" / "__init__.py"),
    }
    assert [path.name.partition("_")[0] for path in (tmp_path / "runs").iterdir()] == ["hospital-1"]
