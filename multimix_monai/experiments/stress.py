"""Experiments: what do masks lose on pictures such as other scanners and hospitals give?

    python -m multimix_monai.experiments.stress A/models/model.pt B/models/model.pt \
        --datalist DATALIST --dataset-dir DATA --part test

prints Markdown: by change the mean Dice of each of the weights over the cases that have a mask, and
for all but the first the difference from the first on the same cases, with its interval by
bootstrap over patients. Every picture is changed as a file would hold it, before preprocessing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from multimix_monai.data.datalist import load_part
from multimix_monai.data.images import read_image, read_mask
from multimix_monai.data.keys import Keys
from multimix_monai.data.trained_as import read_trained_as
from multimix_monai.experiments.changed import CHANGES, Change, Picture
from multimix_monai.experiments.quality import truth_of
from multimix_monai.handlers import load_weights
from multimix_monai.metrics import mask_metrics, paired_difference
from multimix_monai.networks import PackedMultiMix
from multimix_monai.transforms import postprocessing, preprocessing

BATCH = 16
Dices = NDArray[np.float64]  # (N,), of the cases


class Masks:
    """Weights that draw masks as inference does.

    Args:
        weights: of the network; `model.json` beside them tells their size.
        threshold_prob: from which a pixel is called lung.

    Raises:
        ValueError: nothing is known of the weights' size.
    """

    def __init__(self, weights: Path, *, threshold_prob: float) -> None:
        used = read_trained_as(weights)
        if "image_size" not in used:
            raise ValueError(
                f"{weights} has no model.json beside it that tells its image_size: name the "
                "model.pt of a training"
            )
        self.network = load_weights(PackedMultiMix(bridge=used["bridge"]), weights).eval()
        self.chain = preprocessing(image_size=used["image_size"], percentiles=used["percentiles"])
        self.post = postprocessing(
            preprocessing=self.chain, threshold_prob=threshold_prob, keep_components=2
        )

    def __call__(self, paths: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
        """The mask of each file, on its own grid (H, W)."""
        cases = [self.chain({Keys.IMAGE: str(path)}) for path in paths]
        images = torch.stack([case[Keys.IMAGE].as_tensor() for case in cases])
        with torch.inference_mode():
            packed = self.network(images)
        for case, prediction in zip(cases, packed, strict=True):
            yield np.asarray(self.post({**case, Keys.PRED: prediction})[Keys.PRED][0], np.uint8)


def changed_pairs(items: Sequence[Mapping[str, Any]], change: Change) -> Iterator[tuple]:
    """Of each case the changed picture and its mask."""
    for item in items:
        mask = read_mask(truth_of(item)).astype(np.float32)
        yield change(read_image(item[Keys.IMAGE]).pixels, mask)


def dices(
    draws: Sequence[Masks], items: Sequence[Mapping[str, Any]], change: Change
) -> list[Dices]:
    """Of each of the weights the Dice of every case (N,), all on the same changed pictures."""
    pairs = changed_pairs(items, change)
    found: list[list[float]] = [[] for _ in draws]
    while batch := list(islice(pairs, BATCH)):
        with tempfile.TemporaryDirectory() as folder:
            paths = [save(image, Path(folder) / f"{n}.png") for n, (image, _) in enumerate(batch)]
            for own, draw in zip(found, draws, strict=True):
                masks = zip(draw(paths), batch, strict=True)
                own += [mask_metrics(mask, truth)["dice"] for mask, (_, truth) in masks]
    return [np.array(own) for own in found]


def save(image: Picture, path: Path) -> Path:
    """As a PNG of 8 bits."""
    Image.fromarray((image * 255).round().astype(np.uint8)).save(path)
    return path


def report(names: Sequence[str], rows: Mapping[str, list[Dices]], patients: Sequence[str]) -> str:
    """Markdown of the table.

    Args:
        names: of the weights.
        rows: by change, as of `dices`.
        patients: (N,), of the cases.
    """
    heads = [*names, *(f"{name}, less {names[0]}" for name in names[1:])]
    lines = [f"| Dice, {len(patients)} cases | {' | '.join(heads)} |"]
    lines += [f"|---|{'---|' * len(heads)}"]
    for change, (first, *others) in rows.items():
        cells = [f"{own.mean():.3f}" for own in (first, *others)]
        cells += [_less(own, first, patients) for own in others]
        lines.append(f"| {change} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _less(ours: Dices, theirs: Dices, patients: Sequence[str]) -> str:
    found = paired_difference([(_mean(ours), _mean(theirs))], patients)
    text = f"{found.value:.3f} ({found.interval.low:.3f} to {found.interval.high:.3f})"
    return f"**{text}**" if found.is_clear else text


def _mean(values: Dices) -> Callable[[NDArray[np.float64]], float]:
    return partial(_weighted, values)


def _weighted(values: Dices, weights: NDArray[np.float64]) -> float:
    return float(np.average(values, weights=weights))


def main(arguments: Sequence[str]) -> str:
    """The report for the command line's arguments."""
    parser = argparse.ArgumentParser(prog="python -m multimix_monai.experiments.stress")
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--name", action="append", default=[], help="of the weights, in order")
    parser.add_argument("--datalist", type=Path, required=True)
    parser.add_argument("--dataset-dir", type=Path, default=Path())
    parser.add_argument("--part", default="test")
    parser.add_argument("--lung-threshold-prob", type=float, default=0.6)
    given = parser.parse_args(arguments)
    draws = [Masks(path, threshold_prob=given.lung_threshold_prob) for path in given.weights]
    items = load_part(given.datalist, given.part, dataset_dir=given.dataset_dir)
    known = [item for item in items if truth_of(item)]
    names = given.name or [str(path) for path in given.weights]
    bar = tqdm(CHANGES.items(), disable=None)
    rows = {name: dices(draws, known, change) for name, change in bar}
    return report(names, rows, [item[Keys.PATIENT] for item in known])


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
