"""Experiments: fit and measure the check whether a picture is a frontal chest radiograph.

    python -m multimix_monai.experiments.frontal_check fit --dataset-dir DATA \
        --datalist DATALIST [DATALIST ...] --output bundle/models/frontal_check.json

fits it to the weights and the image size of the bundle's inference.json, on radiographs that no
datalist tests on. Every other network, or one trained further, needs its own fit.

    python -m multimix_monai.experiments.frontal_check measure --dataset-dir DATA \
        --datalist DATALIST --source nih=nih_pneumonia --parameters bundle/models/frontal_check.json

measures it on the test part and whole other sets, each picture as a DX file that says it is a
chest, and on what must be refused, and prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from scipy.stats import binomtest
from torch import Tensor, nn

from multimix_monai.apps.bundle_files import own_bundle
from multimix_monai.arrays.frontal_model import FRONTAL, save_frontal_model
from multimix_monai.arrays.lung_measures import lung_measures
from multimix_monai.arrays.lung_view import lung_views, sure_lungs
from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.datalist import load_datalist
from multimix_monai.data.images import ImageError, Radiograph
from multimix_monai.data.keys import Keys
from multimix_monai.data.readers import READERS
from multimix_monai.dicom.dx import write_dx
from multimix_monai.engines.frontal import FrontalCheck
from multimix_monai.experiments.frontal_fit import Seen, fit_frontal_model
from multimix_monai.experiments.frontal_pictures import (
    TURNED,
    Picture,
    other_pictures,
    pictures_to_fit,
    stand_ins,
)
from multimix_monai.transforms.load import read_radiograph

BATCH = 16
TARGETS = {True: 0.99, False: 0.95}  # of frontal chests accepted, of others refused


class Bundle(NamedTuple):
    """What a config of inference says of its network."""

    network: nn.Module
    preprocessing: Compose
    image_size: int
    ckpt_path: Path


def read_bundle(folder: Path, **overrides: Any) -> Bundle:
    """The network with its weights, from FOLDER/configs/inference.json; None overrides nothing."""
    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "inference.json"))
    given = {key: value for key, value in overrides.items() if value is not None}
    parser.update({"bundle_root": str(folder), **given})
    names = ("network", "preprocessing", "image_size", "ckpt_path")
    network, chain, image_size, ckpt_path = (parser.get_parsed_content(n) for n in names)
    return Bundle(network.eval().cpu(), chain, int(image_size), Path(ckpt_path))


def predict(bundle: Bundle, images: Tensor) -> Tensor:
    """images: (B, 1, S, S) -> packed predictions (B, K, S, S)."""
    with torch.inference_mode():
        return bundle.network(images)


def chests_to_fit(datalists: Sequence[Path], *, dataset_dir: Path, n: int, seed: int) -> list[Path]:
    """n radiographs that no datalist tests on, sources in equal shares: small ones repeatedly."""
    parts = [load_datalist(path, dataset_dir=dataset_dir) for path in datalists]
    tested = {item[Keys.IMAGE] for part in parts for item in part["test"]}
    known = {
        item[Keys.IMAGE]: item[Keys.SOURCE]
        for part in parts
        for item in (*part["training"], *part["validation"])
        if item[Keys.IMAGE] not in tested
    }
    sources = {s: sorted(p for p in known if known[p] == s) for s in sorted(set(known.values()))}
    chosen = []
    for paths in sources.values():
        share, order = n // len(sources), random.Random(seed).sample(paths, len(paths))
        chosen += [order[i % len(order)] for i in range(share)]
    return [Path(path) for path in chosen]


def see(bundle: Bundle, pictures: Iterable[tuple[int, Picture]]) -> Seen:
    """What the network makes of pictures; those without any contrast are left out."""
    views, told, kinds, groups = [], [], [], []
    for batch in batches(prepared(bundle.preprocessing, pictures)):
        images = torch.stack([image for image, _, _ in batch])
        logits = predict(bundle, images)[:, 0].float().numpy()
        planes, lungs = images[:, 0].numpy(), sure_lungs(logits)
        views.append(lung_views(planes, lungs))
        told.append(lung_measures(planes, lungs))
        kinds += [picture.kind for _, _, picture in batch]
        groups += [group for _, group, _ in batch]
    measures = {name: np.concatenate([part[name] for part in told]) for name in told[0]}
    return Seen(np.concatenate(views), measures, kinds, groups)


def prepared(
    chain: Compose, pictures: Iterable[tuple[int, Picture]]
) -> Iterator[tuple[Tensor, int, Picture]]:
    """Each picture as (1, S, S), with its group."""
    for group, picture in pictures:
        try:
            image = chain({Keys.IMAGE: np.ascontiguousarray(picture.pixels)})[Keys.IMAGE]
        except ImageError:
            continue
        yield image.as_tensor(), group, picture


def batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Lists of up to BATCH items."""
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def judged(
    bundle: Bundle, check: FrontalCheck, pictures: Iterable[Picture]
) -> Iterator[dict[str, Any]]:
    """Kind, source, name, score and reason of each picture, that is read as a DX file."""
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches(pictures):
            read = [_through_dicom(bundle, p, Path(folder) / "image.dcm") for p in batch]
            verdicts = _verdicts(bundle, check, [r for r in read if isinstance(r, Tensor)])
            for picture, image in zip(batch, read, strict=True):
                row = {"kind": picture.kind, "source": picture.source, "name": picture.name}
                refused = {"score": None, "reason": image}
                yield row | (next(verdicts) if isinstance(image, Tensor) else refused)


def _verdicts(
    bundle: Bundle, check: FrontalCheck, images: Sequence[Tensor]
) -> Iterator[dict[str, Any]]:
    """Score and reason of each image (1, S, S)."""
    if not images:
        return
    batch = torch.stack(list(images))
    for items in check(batch, predict(bundle, batch), bundle.network):
        found = items[Keys.FRONTAL]
        if found["score"] is None:
            raise ValueError(found["message"])
        yield {"score": found["score"], "reason": found["reason"]}


def _through_dicom(bundle: Bundle, picture: Picture, path: Path) -> Tensor | str:
    """As the network sees it, (1, S, S), or the reason why it was refused before."""
    try:
        write_dx(
            path,
            Radiograph(picture.pixels, spacing_mm=(0.4, 0.4)),
            patient_name="CHEST^FRONTAL",
            patient_id="1",
            seed=0,
        )
        return bundle.preprocessing({Keys.IMAGE: str(path)})[Keys.IMAGE].as_tensor()
    except ImageError as error:
        return error.reason


def pictures_to_measure(
    items: Sequence[tuple[str, Path]], *, n_stand_ins: int, n_drawn: int, seed: int
) -> Iterator[Picture]:
    """All frontal chests by source, then what must be refused."""
    for source, path in items:
        yield Picture(FRONTAL, source, path.name, read_radiograph(path).pixels)
    for source in dict.fromkeys(source for source, _ in items):
        own = [path for s, path in items if s == source]
        some = random.Random(seed).sample(own, min(n_stand_ins, len(own)))
        yield from stand_ins(source, some, seed=seed)
    yield from other_pictures(seed=seed, n_drawn=n_drawn)


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each kind and source: counts, the rate that counts, its 95 % Wilson interval."""
    lines = []
    for kind, source in dict.fromkeys((row["kind"], row["source"]) for row in rows):
        own = [row for row in rows if (row["kind"], row["source"]) == (kind, source)]
        wanted = [(row["reason"] is None) == (kind == FRONTAL) for row in own]
        low, high = binomtest(sum(wanted), len(own)).proportion_ci(method="wilson")
        lines.append(
            {
                "kind": kind,
                "source": source,
                "pictures": len(own),
                "right": sum(wanted),
                "rate": sum(wanted) / len(own),
                "low": float(low),
                "high": float(high),
                "target": TARGETS[kind == FRONTAL],
                "named": sum(row["reason"] == kind for row in own) if kind in TURNED else None,
                "wrong": [row["name"] for row, good in zip(own, wanted, strict=True) if not good],
            }
        )
    return lines


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Markdown of a summary."""
    text = [
        "| picture | of | should be | is | rate (95 % interval) | target | reason named |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        verdict = "accepted" if line["kind"] == FRONTAL else "refused"
        named = "" if line["named"] is None else f"{line['named']} of {line['pictures']}"
        text.append(
            f"| {line['kind']} | {line['source']} | {verdict} | {line['right']} of "
            f"{line['pictures']} | {line['rate']:.3f} ({line['low']:.3f} to {line['high']:.3f}) | "
            f"{line['target']:.2f}{'' if line['rate'] >= line['target'] else ', missed'} | "
            f"{named} |"
        )
    return "\n".join(text)


def fit(given: argparse.Namespace) -> str:
    """Write the parameters; what cross-validation says of them."""
    bundle = read_bundle(given.bundle, ckpt_path=given.weights, image_size=given.image_size)
    chests = chests_to_fit(
        given.datalist, dataset_dir=given.dataset_dir, n=given.radiographs, seed=given.seed
    )
    model = fit_frontal_model(
        see(bundle, pictures_to_fit(chests, seed=given.seed, n_drawn=given.drawn)),
        image_size=bundle.image_size,
        weights_sha256=weights_digest(bundle.ckpt_path),
        accepted=given.accepted,
        fitted_on={"radiographs": len(set(chests)), "seed": given.seed},
    )
    save_frontal_model(model, given.output)
    return json.dumps({"threshold_prob": model.threshold_prob, **model.fitted_on}, indent=1)


def measure(given: argparse.Namespace) -> str:
    """The table; with --output also as JSON, with the names of what was judged wrongly."""
    bundle = read_bundle(given.bundle, ckpt_path=given.weights, image_size=given.image_size)
    check = FrontalCheck(given.parameters, ckpt_path=bundle.ckpt_path)
    parts = [load_datalist(path, dataset_dir=given.dataset_dir)["test"] for path in given.datalist]
    items = [(f"{i[Keys.SOURCE]} test", Path(i[Keys.IMAGE])) for part in parts for i in part]
    for reader, folder in (text.split("=", 1) for text in given.source):
        items += [(reader, case.image) for case in READERS[reader](given.dataset_dir / folder)]
    pictures = pictures_to_measure(
        list(dict.fromkeys(items)),
        n_stand_ins=given.stand_ins,
        n_drawn=given.drawn,
        seed=given.seed,
    )
    lines = summary(list(judged(bundle, check, pictures)))
    if given.output:
        given.output.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
    return table(lines)


def main(arguments: Sequence[str]) -> str:
    """What the command line's arguments ask for, as text."""
    parser = argparse.ArgumentParser(prog="python -m multimix_monai.experiments.frontal_check")
    commands = parser.add_subparsers(required=True)
    for command in (fit, measure):
        sub = commands.add_parser(command.__name__, help=command.__doc__)
        sub.set_defaults(command=command)
        sub.add_argument("--dataset-dir", type=Path, required=True)
        sub.add_argument("--datalist", type=Path, nargs="+", default=[])
        sub.add_argument("--bundle", type=Path, default=Path(own_bundle()))
        sub.add_argument("--weights", help="the bundle's own if absent")
        sub.add_argument("--image-size", type=int, help="the bundle's if absent")
        sub.add_argument("--seed", type=int, default=0)
        sub.add_argument("--drawn", type=int, default=80, help="pictures of each painter")
        sub.add_argument("--output", type=Path, required=command is fit)
        if command is fit:
            sub.add_argument("--radiographs", type=int, default=800)
            sub.add_argument("--accepted", type=float, default=0.995)
        else:
            sub.add_argument("--parameters", type=Path, required=True)
            sub.add_argument("--source", action="append", default=[], metavar="READER=FOLDER")
            sub.add_argument("--stand-ins", type=int, default=150, help="of each source")
    given = parser.parse_args(arguments)
    return str(given.command(given))


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
