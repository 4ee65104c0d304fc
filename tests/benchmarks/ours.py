"""Benchmarks, what is measured: network and trainer as the bundle's configs build them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from multimix_monai.apps.bundle import config_files
from multimix_monai.apps.predict import parser_of
from multimix_monai.engines import MultiMixTrainer
from multimix_monai.engines.streams import STREAMS

RECIPES = {"paper": ("train.json", "paper.json"), "default": ("train.json",)}
Batch = dict[str, dict[str, Tensor]]
Predict = Callable[[Tensor], Tensor]
Forward = nn.Module | Predict


def drawn_batch(*, sizes: dict[str, int], size: int) -> Batch:
    """Random images, masks and labels of every stream, as `engines.StreamDataset` collates them.

    Args:
        sizes: stream -> images; one of 0 is left out.
        size: side of an image.
    """
    batch: Batch = {}
    for stream, n in sizes.items():
        if n:
            labelled = stream.endswith("_labelled")
            keys = ("image",) if labelled else ("image_weak", "image_strong")
            batch[stream] = {key: torch.rand(n, 1, size, size) for key in keys}
            batch[stream]["label"] = torch.arange(n) % 2 if labelled else torch.full((n,), -1)
            batch[stream]["hidden_label"] = torch.full((n,), -1)
    if "mask_labelled" in batch:
        batch["mask_labelled"]["mask"] = (
            torch.rand(sizes["mask_labelled"], 1, size, size) > 0.5
        ) * 1.0
    return batch


def even(n: int) -> dict[str, int]:
    """So many images for every stream."""
    return dict.fromkeys(STREAMS, n)


def config_of(recipe: str, settings: dict[str, Any], **named: Any) -> ConfigParser:
    """The bundle's training with overrides of its keys; `named` are known to its expressions."""
    parser = ConfigParser(globals=named)
    parser.read_config(config_files(*RECIPES[recipe]))
    parser.update(settings)
    return parser


def trainer_on(
    batches: Sequence[Batch], *, recipe: str, amp: bool, device: str = "cpu"
) -> MultiMixTrainer:
    """A trainer whose epochs are these batches, already in memory, and that nothing hangs on."""
    settings = {
        "device": f"$torch.device({device!r})",
        "amp": amp,
        "max_epochs": 1,
        "schedule_epochs": 1000,
        "steps_per_epoch": len(batches),
        "train#handlers": [],
        "train#trainer#train_data_loader": "$batches",
    }
    parser = config_of(recipe, settings, batches=batches)
    parser.get_parsed_content("initialize")
    return parser.get_parsed_content("train#trainer")


def epoch(trainer: MultiMixTrainer) -> None:
    """Train one epoch more."""
    trainer.run()
    trainer.state.max_epochs += 1


def step_on(batch: Batch, *, recipe: str, amp: bool, device: str = "cpu") -> Callable[[], None]:
    """A call of it is one step of training on the batch."""
    trainer = trainer_on([batch], recipe=recipe, amp=amp, device=device)
    return lambda: epoch(trainer)


def prediction(*, device: str = "cpu", autocast: bool = False) -> Predict:
    """Inference as the bundle's config builds it: images (B, 1, S, S) -> packed predictions."""
    parser = parser_of({"device": f"$torch.device({device!r})"})
    return by_inferer(parser.get_parsed_content("network"), autocast=autocast)


def by_inferer(network: Forward, *, autocast: bool = False) -> Predict:
    """Any network or call of it, run as the bundle's config runs ours."""
    inferer = parser_of({}).get_parsed_content("inferer")
    return forward_of(network, run=inferer, autocast=autocast)


def forward_of(
    network: Forward, *, run: Callable[..., Tensor] | None = None, autocast: bool = False
) -> Predict:
    """In evaluation mode, without a graph, in bfloat16 if asked for.

    Args:
        network: or a call of one that is in evaluation mode.
        run: takes images and the network; without it the network takes the images.
        autocast: to bfloat16.
    """
    if isinstance(network, nn.Module):
        network.eval()

    def predict(images: Tensor) -> Tensor:
        kind = images.device.type
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=autocast):
            return run(images, network) if run else network(images)

    return predict


def without_saliency(*, autocast: bool = False) -> Predict:
    """Our own encoder and decoder with an empty bridge: what the saliency costs, apart from all."""
    network = parser_of({"device": "$torch.device('cpu')"}).get_parsed_content("network").eval()

    def masks(images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        bridge = images.new_zeros(n, 2, height // 8, width // 8)
        return network.decoder(network.encoder(images).features, bridge)

    return by_inferer(masks, autocast=autocast)


def drawn_dataset(folder: Path, *, cases: int, size: int) -> dict[str, Any]:
    """Draw radiographs with half of the masks and labels known; the overrides that train on it."""
    from multimix_monai.apps.synth import synth_command
    from multimix_monai.data.datalist import Budget, build_datalist, write_datalist
    from multimix_monai.data.readers import read_folder

    synth_command(folder, cases=cases, seed=0, size=size, dicom=0)
    datalist = build_datalist(
        read_folder(folder),
        dataset_dir=folder,
        validation=0.1,
        training_budget=Budget(masks=cases // 3, labels=cases // 3),
    )
    write_datalist(datalist, folder / "datalist.json")
    return {
        "dataset_dir": str(folder),
        "datalist": str(folder / "datalist.json"),
        "output_dir": str(folder / "run"),
    }
