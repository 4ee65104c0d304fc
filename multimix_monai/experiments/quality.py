"""Experiments: what the rules on masks do: who goes to review, and are broken masks caught?

    python -m multimix_monai.experiments.quality WEIGHTS --datalist DATALIST --dataset-dir DATA \
        --part training --source nih=nih_pneumonia --cases 400

prints Markdown: by source the share of cases sent to review and the rules that did it, the Dice of
what passes and of what does not where a mask is known (to training or withheld), percentiles of
the measures, and how many masks that were broken on purpose are caught by the rules on the mask
alone, which leave out the check by a flip.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from multimix_monai.data.datalist import load_part
from multimix_monai.data.images import read_mask
from multimix_monai.data.keys import Keys
from multimix_monai.data.readers import READERS
from multimix_monai.engines import FlipCheck
from multimix_monai.handlers import load_weights
from multimix_monai.metrics import mask_metrics
from multimix_monai.networks import PackedMultiMix
from multimix_monai.transforms import postprocessing, preprocessing
from multimix_monai.transforms.quality import RULES, frame, judge, measure_mask, parts_by_size

Probs = NDArray[np.float64]
BATCH = 16
QUANTILES = (0.01, 0.5, 0.99)


def one_lung(probs: Probs, *, threshold_prob: float) -> Probs:
    """Only the largest part is left."""
    parts = parts_by_size(probs >= threshold_prob)
    return np.where(parts > 1, 0.01, probs)


def flooded(probs: Probs, *, threshold_prob: float) -> Probs:
    """Grown by a fifth of the picture on all sides."""
    reach = max(probs.shape) // 5
    return ndimage.maximum_filter(probs, 2 * reach + 1)


def shrunken(probs: Probs, *, threshold_prob: float) -> Probs:
    """Worn away by a twentieth of the picture on all sides."""
    return ndimage.minimum_filter(probs, 2 * (max(probs.shape) // 20) + 1)


def upper_half(probs: Probs, *, threshold_prob: float) -> Probs:
    """All below the mask's middle row is missing."""
    rows = np.flatnonzero((probs >= threshold_prob).any(axis=1))
    middle = int(rows.mean()) if rows.size else 0
    return np.where(np.arange(len(probs))[:, None] > middle, 0.01, probs)


def shifted(probs: Probs, *, threshold_prob: float) -> Probs:
    """Moved to the right by a third of the picture."""
    moved = np.full_like(probs, 0.01)
    by = probs.shape[1] // 3
    moved[:, by:] = probs[:, :-by]
    return moved


def blobs(probs: Probs, *, threshold_prob: float) -> Probs:
    """Sure, random and coarse, with as much lung as there was."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random(probs.shape), 4)
    share = (probs >= threshold_prob).mean()
    return np.where(noise >= np.quantile(noise, 1 - share), 0.99, 0.01)


def empty(probs: Probs, *, threshold_prob: float) -> Probs:
    """No lung."""
    return np.full_like(probs, 0.01)


BREAKS: tuple[Callable[..., Probs], ...] = (
    one_lung,
    flooded,
    shrunken,
    upper_half,
    shifted,
    blobs,
    empty,
)


def judged(
    items: Sequence[Mapping[str, Any]], weights: Path, *, image_size: int, threshold_prob: float
) -> Iterator[dict[str, Any]]:
    """Source, measures, fired rules, Dice if known, and the fate of broken masks, of each case."""
    network = load_weights(PackedMultiMix(), weights).eval()
    chain = preprocessing(image_size=image_size)
    post = postprocessing(
        preprocessing=chain, threshold_prob=threshold_prob, keep_components=2, quality_rules={}
    )
    check = FlipCheck(threshold_prob=threshold_prob)
    for start in range(0, len(items), BATCH):
        batch = items[start : start + BATCH]
        cases = [chain({Keys.IMAGE: item[Keys.IMAGE]}) for item in batch]
        images = torch.stack([case[Keys.IMAGE].as_tensor() for case in cases])
        with torch.inference_mode():
            packed = network(images)
            found = check(images, packed, network)
        for item, case, prediction, more in zip(batch, cases, packed, found, strict=True):
            result = post({**case, **more, Keys.PRED: prediction})
            probs = prediction[0].sigmoid()[frame(case[Keys.IMAGE])].double().numpy()
            yield {
                "source": item[Keys.SOURCE],
                **result[Keys.QUALITY],
                "dice": dice(np.asarray(result[Keys.PRED][0]), item),
                "caught": caught(probs, threshold_prob=threshold_prob),
            }


def dice(mask: NDArray[np.uint8], item: Mapping[str, Any]) -> float | None:
    """Of the mask and the case's own, shown to training or withheld; None without."""
    truth = item.get(Keys.MASK) or item.get(Keys.HIDDEN_MASK)
    return mask_metrics(mask, read_mask(truth))["dice"] if truth else None


def caught(probs: Probs, *, threshold_prob: float) -> set[str]:
    """Names of the BREAKS that send a mask to review that passes before."""

    def fires(p: Probs) -> bool:
        measures = measure_mask(p, threshold_prob=threshold_prob, keep_components=2)
        return bool(judge(measures, RULES))

    return {f.__name__ for f in BREAKS if fires(f(probs, threshold_prob=threshold_prob))}


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of the three tables."""
    sources = {
        s: [r for r in rows if r["source"] == s] for s in dict.fromkeys(r["source"] for r in rows)
    }
    lines = [
        "| source | cases | review | Dice of pass | Dice of review | rules that fired |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_rates(source, part) for source, part in sources.items()]
    lines += ["", "| measure | " + " | ".join(f"{s}: 1 %, 50 %, 99 %" for s in sources) + " |"]
    lines += ["|---|" + "---|" * len(sources)]
    for name in RULES:
        cells = [_percentiles([row["measures"][name] for row in part]) for part in sources.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| broken mask | " + " | ".join(sources) + " |", "|---|" + "---|" * len(sources)]
    for kind in (f.__name__ for f in BREAKS):
        cells = [
            f"{np.mean([kind in row['caught'] for row in part]):.3f}" for part in sources.values()
        ]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rates(source: str, part: Sequence[Mapping[str, Any]]) -> str:
    codes = Counter(code for row in part for code in row["fired"])
    share = np.mean([bool(row["fired"]) for row in part])
    passed, reviewed = (
        [row["dice"] for row in part if row["dice"] is not None and bool(row["fired"]) == fired]
        for fired in (False, True)
    )
    fired = ", ".join(f"{code} {count}" for code, count in codes.most_common())
    return (
        f"| {source} | {len(part)} | {share:.3f} | {_mean(passed)} | {_mean(reviewed)} | {fired} |"
    )


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{np.mean(values):.3f}, lowest {min(values):.3f} (n = {len(values)})"


def _percentiles(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in np.quantile(values, QUANTILES))


def sample(items: Sequence[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    """At most n cases of each source, at random but always the same."""
    chosen = []
    for source in dict.fromkeys(item[Keys.SOURCE] for item in items):
        own = [item for item in items if item[Keys.SOURCE] == source]
        chosen += random.Random(0).sample(own, min(n, len(own)))
    return chosen


def main(arguments: Sequence[str]) -> str:
    """The report for the command line's arguments."""
    parser = argparse.ArgumentParser(prog="python -m multimix_monai.experiments.quality")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--datalist", type=Path, required=True)
    parser.add_argument("--dataset-dir", type=Path, default=Path())
    parser.add_argument("--part", default="training")
    parser.add_argument("--source", action="append", default=[], metavar="READER=FOLDER")
    parser.add_argument("--cases", type=int, default=400, help="at most, of each source")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--lung-threshold-prob", type=float, default=0.6)
    given = parser.parse_args(arguments)
    items = load_part(given.datalist, given.part, dataset_dir=given.dataset_dir)
    for reader, folder in (text.split("=", 1) for text in given.source):
        cases = READERS[reader](given.dataset_dir / folder)
        items += [{Keys.IMAGE: str(c.image), Keys.SOURCE: c.source} for c in cases]
    rows = judged(
        sample(items, given.cases),
        given.weights,
        image_size=given.image_size,
        threshold_prob=given.lung_threshold_prob,
    )
    return report(list(rows))


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
