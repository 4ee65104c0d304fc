from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, verify_net_in_out

BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
CONFIGS = BUNDLE / "configs"
COMBINATIONS = [
    ("train.json",),
    ("train.json", "paper.json"),
    ("train.json", "multi_gpu_train.json"),
    ("train.json", "evaluate.json"),
    ("inference.json",),
]
ZOO_KEYS = {
    "train.json": [
        *("bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "device", "network_def"),
        *("network", "loss", "optimizer", "max_epochs", "initialize", "run", "training"),
        *("train::dataset", "train::dataloader", "train::inferer", "train::handlers"),
        *("train::trainer", "train::trainer::max_epochs", "train::dataset::data"),
        *("validate::dataset::data", "validate::dataloader", "validate::inferer"),
        *("validate::postprocessing", "validate::key_metric", "validate::evaluator"),
        *("validate::additional_metrics::val_mean_dice", "validate::additional_metrics::val_auc"),
    ],
    "inference.json": [
        *("bundle_root", "dataset_dir", "output_dir", "device", "network_def", "network"),
        *("preprocessing", "dataset", "dataset::data", "dataloader", "inferer", "postprocessing"),
        *("handlers", "evaluator", "initialize", "run", "inference"),
    ],
    "evaluate.json": ["network", "run", "evaluating"],
}


def parser_of(*names: str) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / name) for name in names])
    parser.read_meta(str(CONFIGS / "metadata.json"))
    parser.parse()
    return parser


def strings_of(config: Any) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict | list):
        for item in config.values() if isinstance(config, dict) else config:
            yield from strings_of(item)


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_every_reference_of_a_config_is_defined(names: tuple[str, ...]) -> None:
    parser = parser_of(*names)
    for item in parser.ref_resolver.items:
        parser.ref_resolver.get_item(item, resolve=True, instantiate=False, eval_expr=False)


@pytest.mark.parametrize("name", ["train.json", "evaluate.json", "inference.json"])
def test_a_config_has_the_keys_of_the_zoo(name: str) -> None:
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / name))
    assert [key for key in ZOO_KEYS[name] if key not in parser] == []


@pytest.mark.parametrize("name", ["paper.json", "multi_gpu_train.json"])
def test_an_override_has_no_key_that_training_does_not_read(name: str) -> None:
    training = json.loads((CONFIGS / "train.json").read_text())
    override = json.loads((CONFIGS / name).read_text())
    new = {key for key in override if key not in training}
    read = {key for key in new if f"@{key}" in " ".join(strings_of(override))}
    assert new - read - {"finalize"} == set()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.name)
def test_expressions_are_short_and_paths_relative(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    imports = config.pop("imports", [])
    assert all(re.fullmatch(r"\$import [\w.]+( as \w+)?", line) for line in imports)
    for text in strings_of(config):
        assert not text.startswith(("/", "~")), text
        if text.startswith("$"):
            assert len(text) < 160 and not re.search(r"\blambda\b|\bimport\b|;", text), text


def test_training_has_every_property_that_monai_asks_for(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    workflow = ConfigWorkflow(
        workflow_type="train",
        config_file=str(CONFIGS / "train.json"),
        logging_file=False,
        dataset_dir=str(tiny_dataset),
        output_dir=str(tmp_path),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_inference_has_every_property_that_monai_asks_for(
    tiny_dataset: Path, fresh_weights: Path, tmp_path: Path
) -> None:
    workflow = ConfigWorkflow(
        workflow_type="inference",
        config_file=str(CONFIGS / "inference.json"),
        logging_file=False,
        dataset_dir=str(tiny_dataset / "images"),
        output_dir=str(tmp_path),
        ckpt_path=str(fresh_weights),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("inference.json", {}),
        # The network that learns gives a tuple, which MONAI's check cannot take.
        ("train.json", {"network_def#_target_": "multimix_monai.networks.PackedMultiMix"}),
    ],
)
def test_the_network_takes_and_gives_what_the_metadata_says(name: str, override: dict) -> None:
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / name),
        **override,
    )


def test_training_and_inference_have_the_same_weights_and_image_size() -> None:
    training, inference = parser_of("train.json"), parser_of("inference.json")
    shapes = [
        {k: v.shape for k, v in parser.get_parsed_content("network_def").state_dict().items()}
        for parser in (training, inference)
    ]
    assert shapes[0] == shapes[1]
    assert training["image_size"] == inference["image_size"]


def test_no_file_is_larger_than_the_zoo_takes() -> None:
    sizes = {path: path.stat().st_size for path in BUNDLE.rglob("*") if path.is_file()}
    assert {path.name for path, size in sizes.items() if size > 25 * 2**20} == set()
