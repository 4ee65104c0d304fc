"""Experiments: what the rules on masks do: who goes to review, and are broken masks caught?

    python -m multimix_monai.experiments.quality WEIGHTS --image-size 160 \
        --lung-threshold-prob 0.6 --datalist DATALIST --dataset-dir DATA \
        --source nih=nih_pneumonia --cases 400

prints Markdown: by source the share of cases sent to review and the rules that did it, the Dice of
what passes and of what does not where a mask is known (to training or withheld), for such cases the
same of degraded pictures; percentiles of the measures; and how many masks that were broken on
purpose are caught by the rules on the mask alone, which leave out the check by a flip.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multimix_monai.arrays.quality import RULES, judge, measure_mask
from multimix_monai.data.datalist import load_part
from multimix_monai.data.images import read_mask
from multimix_monai.data.keys import Keys
from multimix_monai.data.readers import READERS
from multimix_monai.engines import FlipCheck
from multimix_monai.experiments.broken import BREAKS, DEGRADED, Probs
from multimix_monai.handlers import load_weights
from multimix_monai.metrics import mask_metrics
from multimix_monai.networks import PackedMultiMix
from multimix_monai.transforms import postprocessing, preprocessing
from multimix_monai.transforms.quality import frame

Item = Mapping[str, Any]
BATCH = 16
QUANTILES = (0.01, 0.5, 0.99)


class Judge:
    """Runs weights over pictures as inference does and judges the masks.

    Args:
        weights: of the network.
        image_size: of its input.
        threshold_prob: from which a pixel is called lung.
    """

    def __init__(self, weights: Path, *, image_size: int, threshold_prob: float) -> None:
        self.network = load_weights(PackedMultiMix(), weights).eval()
        self.threshold_prob = threshold_prob
        self.chain = preprocessing(image_size=image_size)
        self.post = postprocessing(
            preprocessing=self.chain,
            threshold_prob=threshold_prob,
            keep_components=2,
            quality_rules={},
        )
        self.check = FlipCheck(threshold_prob=threshold_prob)

    def rows(self, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        """For each case, and for each degraded copy of those with a mask, what became of it."""
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            cases = [self.chain({Keys.IMAGE: item[Keys.IMAGE]}) for item in batch]
            images = torch.stack([case[Keys.IMAGE].as_tensor() for case in cases])
            yield from self._judged(batch, cases, images, kind="")
            known = [n for n, item in enumerate(batch) if truth_of(item)]
            for degrade in DEGRADED if known else ():
                yield from self._judged(
                    [batch[n] for n in known],
                    [cases[n] for n in known],
                    degrade(images[known]),
                    kind=degrade.__name__,
                )

    def _judged(
        self, items: Sequence[Item], cases: Sequence[dict], images: torch.Tensor, *, kind: str
    ) -> Iterator[dict[str, Any]]:
        with torch.inference_mode():
            packed = self.network(images)
            found = self.check(images, packed, self.network)
        for item, case, prediction, more in zip(items, cases, packed, found, strict=True):
            result = self.post({**case, **more, Keys.PRED: prediction})
            probs = prediction[0].sigmoid()[frame(case[Keys.IMAGE])].double().numpy()
            yield {
                "source": item[Keys.SOURCE],
                "kind": kind,
                **result[Keys.QUALITY],
                "dice": dice(np.asarray(result[Keys.PRED][0]), item),
                "caught": set() if kind else caught(probs, threshold_prob=self.threshold_prob),
            }


def truth_of(item: Item) -> Any:
    """The case's mask files, shown to training or withheld; None without."""
    return item.get(Keys.MASK) or item.get(Keys.HIDDEN_MASK)


def dice(mask: NDArray[np.uint8], item: Item) -> float | None:
    """Of a mask and the case's own; None without."""
    truth = truth_of(item)
    return mask_metrics(mask, read_mask(truth))["dice"] if truth else None


def caught(probs: Probs, *, threshold_prob: float) -> set[str]:
    """Names of the BREAKS that send a mask to review that passes before."""

    def fires(p: Probs) -> bool:
        measures = measure_mask(p, threshold_prob=threshold_prob, keep_components=2)
        return bool(judge(measures, RULES))

    return {f.__name__ for f in BREAKS if fires(f(probs, threshold_prob=threshold_prob))}


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of the tables. rows: as of `Judge.rows`."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["source"], row["kind"]), []).append(row)
    lines = ["| source | cases | review | Dice of pass | Dice of review | rules that fired |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [_rates(" ".join(name).strip(), group) for name, group in groups.items()]
    sources = {source: group for (source, kind), group in groups.items() if not kind}
    lines += _columns("measure: 1, 50, 99 %", sources, RULES, _percentiles)
    return "\n".join(lines + _columns("caught if", sources, [f.__name__ for f in BREAKS], _caught))


def _columns(
    heading: str,
    sources: Mapping[str, Sequence[Mapping[str, Any]]],
    names: Iterable[str],
    cell: Callable[[Sequence[Mapping[str, Any]], str], str],
) -> list[str]:
    """A table with a column a source and a row a name."""
    lines = ["", f"| {heading} | {' | '.join(sources)} |", f"|---|{'---|' * len(sources)}"]
    rows = ((name, [cell(group, name) for group in sources.values()]) for name in names)
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]


def _percentiles(group: Sequence[Mapping[str, Any]], name: str) -> str:
    values = np.quantile([row["measures"][name] for row in group], QUANTILES)
    return ", ".join(f"{value:.3f}" for value in values)


def _caught(group: Sequence[Mapping[str, Any]], name: str) -> str:
    return f"{np.mean([name in row['caught'] for row in group]):.3f}"


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
    parser.add_argument("--image-size", type=int, required=True, help="as in inference.json")
    parser.add_argument("--lung-threshold-prob", type=float, required=True, help="likewise")
    given = parser.parse_args(arguments)
    items = load_part(given.datalist, given.part, dataset_dir=given.dataset_dir)
    for reader, folder in (text.split("=", 1) for text in given.source):
        cases = READERS[reader](given.dataset_dir / folder)
        items += [{Keys.IMAGE: str(c.image), Keys.SOURCE: c.source} for c in cases]
    judge_of = Judge(
        given.weights, image_size=given.image_size, threshold_prob=given.lung_threshold_prob
    )
    return report(list(judge_of.rows(sample(items, given.cases))))


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
