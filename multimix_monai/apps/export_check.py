"""Apps: whether an exported network gives what PyTorch gives, on radiographs.

PyTorch computes in double precision: a rounding that both share would not be seen otherwise.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from multimix_monai.apps.export_formats import Run
from multimix_monai.data.inputs import find_cases
from multimix_monai.data.keys import Keys
from multimix_monai.data.synthetic import draw_radiograph
from multimix_monai.networks.multimix import MultiMix
from multimix_monai.transforms.preprocess import NETWORK_STRIDE, preprocessing

BATCH = 3
N_DRAWN = 4
DRAWN_SIZE = (320, 280)


class Difference(NamedTuple):
    """How much two packed predictions of a batch differ; 0 is not at all."""

    mask_logits: float  # largest difference, as part of the largest logit
    masks: float  # part of the pixels that lie on the other side of the threshold
    saliency: float  # median difference, as part of the mean
    class_logits: float  # as of the masks


# Of the saliency the median: where rounding decides which of two pixels is the maximum of a window,
# or the sign of a number near 0, it jumps around that pixel. On radiographs, float32 is off by more
# than a hundredth of the largest in up to 3 % of the pixels, and at the median by 2e-7 of the mean.
ALLOWED = Difference(mask_logits=1e-4, masks=1e-4, saliency=1e-3, class_logits=1e-4)


class Checked(NamedTuple):
    """What was compared at one shape of the input, and the largest differences of all batches."""

    shape: tuple[int, ...]
    images: int
    worst: Difference


class ExportError(ValueError):
    """An exported network does not give what PyTorch gives."""


def difference(
    got: Tensor, expected: Tensor, *, mask_channels: int, threshold_prob: float
) -> Difference:
    """Of packed predictions, (B, K, H, W) each; the second is the true one.

    Args:
        mask_channels: mask logits at the front.
        threshold_prob: a pixel at or above it belongs to the mask.
    """
    sizes = [mask_channels, 1, expected.shape[1] - mask_channels - 1]
    ours, true = (packed.double().split(sizes, dim=1) for packed in (got, expected))
    errors = [(a - b).abs() for a, b in zip(ours, true, strict=True)]
    masks = [seg_logits.sigmoid() >= threshold_prob for seg_logits in (ours[0], true[0])]
    return Difference(
        mask_logits=float(errors[0].max() / true[0].abs().max()),
        masks=float((masks[0] != masks[1]).double().mean()),
        saliency=float(errors[1].median() / true[1].mean()),
        class_logits=float(errors[2].max() / true[2].abs().max()),
    )


def check(
    run: Run, network: MultiMix, batches: Iterator[Tensor], *, threshold_prob: float
) -> list[Checked]:
    """Compare on all batches; a line for each shape.

    Args:
        run: the exported network.
        network: what it was exported from, in evaluation.
        batches: images, (B, C, H, W) each.
        threshold_prob: of the lung's probability.
    """
    exact = copy.deepcopy(network).double()
    mask_channels = network.decoder.head.out_channels
    lines: dict[tuple[int, ...], Checked] = {}
    with torch.no_grad():
        for images in batches:
            found = difference(
                run(images),
                exact(images.double()),
                mask_channels=mask_channels,
                threshold_prob=threshold_prob,
            )
            shape = tuple(images.shape)
            _, n, worst = lines.get(shape, Checked(shape, 0, found))
            worst = Difference(*map(max, worst, found))
            lines[shape] = Checked(shape, n + len(images), worst)
    return list(lines.values())


def refuse(lines: Sequence[Checked]) -> None:
    """Raise ExportError for the first difference that is not allowed, if there is one."""
    for line in lines:
        for name, found, allowed in zip(Difference._fields, line.worst, ALLOWED, strict=True):
            if not found <= allowed:  # neither is what is no number
                shape = "x".join(map(str, line.shape))
                raise ExportError(
                    f"the exported network differs from PyTorch at {shape}: {name} by {found:.1e}, "
                    f"{allowed:.0e} is allowed; nothing was written: update the packages that "
                    "`multimix doctor` lists, or export to another form"
                )


def batches_of(folders: Sequence[Path], *, image_size: int) -> Iterator[Tensor]:
    """Radiographs as the network sees them: one alone, then three at a time.

    Args:
        folders: as of `find_cases`; synthetic radiographs are drawn where there are none.
        image_size: S; batches are (B, 1, S, S), the first two also (B, 1, S, S + 32).

    Raises:
        FileNotFoundError: there is no radiograph in the folders.
        ValueError: one cannot be read.
    """
    if folders:
        yield from _batches(find_cases(folders), image_size=image_size)
        return
    with TemporaryDirectory() as folder:
        draw(Path(folder))
        yield from _batches(find_cases(folder), image_size=image_size)


def _batches(cases: Sequence[dict[str, Any]], *, image_size: int) -> Iterator[Tensor]:
    square = preprocessing(image_size=image_size)
    larger = preprocessing(image_size=image_size + NETWORK_STRIDE)
    rows = slice(NETWORK_STRIDE // 2, NETWORK_STRIDE // 2 + image_size)
    starts = [0, *range(1, len(cases), BATCH), len(cases)]
    batches = [cases[i:j] for i, j in itertools.pairwise(starts)]
    for batch in batches[:2]:
        yield _images(batch, larger)[:, :, rows]
    for batch in track(batches, description=f"Checking it on {len(cases)} radiographs"):
        yield _images(batch, square)


def _images(cases: Sequence[dict[str, Any]], transform: Callable[[dict], dict]) -> Tensor:
    """(B, 1, S, S)."""
    return torch.stack([transform(dict(case))[Keys.IMAGE].as_tensor() for case in cases])


def draw(folder: Path) -> None:
    """Draw synthetic radiographs, every other with pneumonia, as PNG."""
    for seed in range(N_DRAWN):
        drawn = draw_radiograph(seed=seed, pneumonia=seed % 2 == 1, size=DRAWN_SIZE)
        pixels = (255 * drawn.pixels + 0.5).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{seed}.png")
