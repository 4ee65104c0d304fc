"""Experiments: is the choice of the next case a good one? Asked without a training, of known masks.

    python -m multimix_monai.experiments.annotator_choice DATALIST --dataset-dir DATA \
        --weights runs/annotator/random-supervised/masks-5/seed-0/models/model.pt --image-size 64

prints Markdown over the training part of a datalist. First, how much the masks of chosen cases
resemble all others: Dice of each case's mask with the most similar chosen one, for our choice
before there is a network, for random choices and for the farthest case first. Second, whether the
measures of uncertainty tell where weights are wrong: their rank correlation with 1 - Dice, of cases
whose mask the datalist hides.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from multimix_monai.data.datalist import load_part
from multimix_monai.data.keys import Keys
from multimix_monai.engines import appearance, informativeness, next_cases
from multimix_monai.engines.sampling import MEASURES, uncertainty
from multimix_monai.handlers import load_weights
from multimix_monai.networks import MultiMix
from multimix_monai.transforms import preprocessing

DRAWS = 1000  # random choices


def read(items: Sequence[dict[str, Any]], *, image_size: int) -> tuple[Tensor, NDArray[np.bool_]]:
    """Images (n, 1, S, S) and masks (n, S, S) of cases that have one, hidden or not."""
    chain = preprocessing(image_size=image_size, keys=(Keys.IMAGE, Keys.MASK))
    cases = [
        chain({Keys.IMAGE: i[Keys.IMAGE], Keys.MASK: i.get(Keys.MASK) or i[Keys.HIDDEN_MASK]})
        for i in items
    ]
    images = torch.stack([case[Keys.IMAGE].as_tensor() for case in cases])
    masks = torch.stack([case[Keys.MASK].as_tensor()[0] for case in cases])
    return images, masks.numpy() > 0.5


def dice_of_pairs(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each of (n, H, W) with each of (m, H, W): (n, m)."""
    x, y = (masks.reshape(len(masks), -1).astype(np.float64) for masks in (a, b))
    return 2 * x @ y.T / np.maximum(x.sum(axis=1)[:, None] + y.sum(axis=1), 1)


def farthest_first(features: NDArray[np.floating], count: int) -> list[int]:
    """Greedy k-centre: the most central case, then always the one farthest from those chosen.

    Source: CoreSet, ICLR 2018 (arXiv 1708.00489), algorithm 1.
    """
    distance = np.linalg.norm(features[:, None] - features, axis=-1)
    chosen = [int(distance.sum(axis=0).argmin())]
    while len(chosen) < count:
        chosen.append(int(distance[chosen].min(axis=0).argmax()))
    return chosen


def coverage_rows(
    images: Tensor, masks: NDArray[np.bool_], *, counts: Sequence[int]
) -> list[dict[str, float]]:
    """For each count the mean Dice with the most similar chosen mask, by way of choosing."""
    dice = dice_of_pairs(masks, masks)
    pool = {f"{n:06d}": case for n, case in enumerate(appearance(images))}
    features = np.array([case.features for case in pool.values()])
    rng, rows = np.random.default_rng(0), []
    for count in counts:
        drawn = [dice[rng.permutation(len(dice))[:count]].max(axis=0).mean() for _ in range(DRAWS)]
        chosen = [int(name) for name in next_cases(pool, count=count)]
        ours = float(dice[chosen].max(axis=0).mean())
        far = float(dice[farthest_first(features, count)].max(axis=0).mean())
        row = {"count": count, "ours": ours, "random": float(np.mean(drawn))}
        row |= {"spread": float(np.std(drawn)), "farthest": far}
        rows.append(row | {"better than": float(np.mean(np.array(drawn) < ours))})
    return rows


def correlations(
    network: MultiMix, images: Tensor, masks: NDArray[np.bool_], *, threshold_prob: float
) -> dict[str, float]:
    """Measure -> its rank correlation with 1 - Dice; "together" as `next_cases` weighs them."""
    network.eval()
    with torch.inference_mode():
        found = [network(image[None]).seg_logits.sigmoid()[0, 0].numpy() for image in images]
    predicted = np.stack(found) >= threshold_prob
    error = 1 - np.diag(dice_of_pairs(predicted, masks))
    cases = [
        informativeness(network, image[None], threshold_prob=threshold_prob)[0] for image in images
    ]
    measures = {m: np.array([case.uncertainty[m] for case in cases]) for m in MEASURES["mask"]}
    measures["together"] = uncertainty(cases, class_weight=0)
    return {name: float(spearmanr(values, error)[0]) for name, values in measures.items()}


def main(arguments: Sequence[str]) -> str:
    """The tables for the command line's arguments."""
    parser = argparse.ArgumentParser(prog="python -m multimix_monai.experiments.annotator_choice")
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--dataset-dir", type=Path, default=Path())
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--weights", type=Path, help="for the second table")
    parser.add_argument("--lung-threshold-prob", type=float, default=0.6, help="as in train.json")
    parser.add_argument("--counts", nargs="+", type=int, default=[5, 10, 20, 40])
    given = parser.parse_args(arguments)
    items = load_part(given.datalist, "training", dataset_dir=given.dataset_dir)
    items = [item for item in items if item.get(Keys.MASK) or item.get(Keys.HIDDEN_MASK)]
    images, masks = read(items, image_size=given.image_size)
    lines = [f"| of {len(items)} | our choice | better than | random | farthest first |"]
    lines.append("|---|---|---|---|---|")
    lines += [
        f"| {r['count']} | {r['ours']:.3f} | {100 * r['better than']:.0f} % of {DRAWS} random | "
        f"{r['random']:.3f} ± {r['spread']:.3f} | {r['farthest']:.3f} |"
        for r in coverage_rows(images, masks, counts=given.counts)
    ]
    if given.weights:
        hidden = [n for n, item in enumerate(items) if Keys.HIDDEN_MASK in item]
        network: Any = load_weights(MultiMix(), given.weights)
        found = correlations(
            network, images[hidden], masks[hidden], threshold_prob=given.lung_threshold_prob
        )
        lines += ["", f"| measure | rank correlation with 1 - Dice (n = {len(hidden)}) |"]
        lines += ["|---|---|", *(f"| {name} | {value:.2f} |" for name, value in found.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
