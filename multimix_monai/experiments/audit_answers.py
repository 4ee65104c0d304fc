"""Experiments: networks answer about whole radiographs and about parts of them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn
from tqdm import tqdm

from multimix_monai.arrays.parts import largest_parts
from multimix_monai.data.calibration import weights_digest
from multimix_monai.data.keys import Keys
from multimix_monai.engines import CaseDataset, CaseLoader, PackingInferer
from multimix_monai.engines.cases import without_error
from multimix_monai.experiments.shortcuts import (
    WHOLE,
    Frame,
    Mask,
    Plane,
    regions,
    view_names,
    views,
)
from multimix_monai.handlers import load_weights
from multimix_monai.transforms.quality import frame

INFO = "info"  # of an item: what the dataset tells of the case, as text by name
KNOWN = (Keys.CASE, Keys.PATIENT, Keys.LABEL, INFO)
BATCH = 16
logger = logging.getLogger(__name__)
Item = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How lungs come out of the networks' answers.

    Attributes:
        image_size: side of the network's input in pixels.
        lung_threshold_prob: from which a pixel is called lung.
        keep_components: parts of a mask that stay, 0 keeps all.
        margin_px: by how much lungs are widened, in pixels of the network's input.
    """

    image_size: int
    lung_threshold_prob: float
    keep_components: int
    margin_px: float


class Row(NamedTuple):
    """One case: what is known, what its pixels give, and what the K networks say."""

    item: Item
    pixels: dict[str, float]
    lung_share: list[float]
    kept: list[dict[str, float]]
    log_odds: dict[str, list[float]]


@dataclass(frozen=True)
class Answers:
    """What K networks say of the N cases of one source.

    Attributes:
        labels: (N,), 0 normal, 1 pneumonia.
        patients: (N,), key of each case's patient.
        info: (N,), what the dataset tells of each case.
        pixels: scores (N,) by name that the pixels give without a network.
        lung_share: (K, N), share of the picture that is predicted lung; 0 where none was found.
        kept: mean share of the picture by region that is kept.
        scores: (K, N) by view, log odds of pneumonia; nan in views of a case without lungs.
        unreadable: cases that are left out.
    """

    labels: NDArray[np.int_]
    patients: list[str]
    info: list[Mapping[str, str]]
    pixels: dict[str, NDArray[np.float64]]
    lung_share: NDArray[np.float64]
    kept: dict[str, float]
    scores: dict[str, NDArray[np.float64]]
    unreadable: int

    def probs(self) -> NDArray[np.float64]:
        """Of pneumonia, for the whole pictures: (K, N)."""
        probs: NDArray[np.float64] = expit(self.scores[WHOLE])
        return probs


class Panel:
    """Networks that are asked the same.

    Args:
        networks: each packs its prediction of (B, 1, S, S) as `networks.pack` does, and has an
            `encoder` that gives the same `class_logits` (B, 2).
        chain: the preprocessing, from an item to its `image`, MetaTensor (1, S, S).
        settings: shared by all.
        device: of the networks.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        chain: Compose,
        settings: Settings,
        *,
        device: torch.device,
    ) -> None:
        self.networks = [network.to(device).eval() for network in networks]
        self.settings = settings
        self.device = device
        self.chain = chain
        self.predict = PackingInferer()

    def ask(self, items: Sequence[Item], *, name: str, with_views: bool = True) -> Answers:
        """Answers about the cases that can be read.

        Args:
            items: of one source, each with `image` and `label`.
            name: of the source, for progress and errors.
            with_views: also ask about the parts of each picture.

        Raises:
            ValueError: no case can be read.
        """
        loader = CaseLoader(CaseDataset(items, self.chain), batch_size=BATCH, num_workers=0)
        rows: list[Row] = []
        for batch in tqdm(loader, desc=name, disable=None):
            for case in batch:
                if Keys.ERROR in case:
                    logger.error(f"left out: {case[Keys.ERROR]}")
            rows += self._rows(without_error(batch), with_views=with_views)
        if not rows:
            raise ValueError(f"{name}: none of {len(items)} cases could be read: check its files")
        return _joined(rows, unreadable=len(items) - len(rows), with_views=with_views)

    def _rows(self, cases: Sequence[Item], *, with_views: bool) -> Iterator[Row]:
        if not cases:
            return
        images = torch.stack([case[Keys.IMAGE].as_tensor() for case in cases])
        frames = [frame(case[Keys.IMAGE]) for case in cases]
        answers = [self._answer(n, images, frames, with_views) for n in range(len(self.networks))]
        for i, case in enumerate(cases):
            pixels = pixel_scores(images[i, 0].numpy()[frames[i]])
            shares, kept, odds = zip(*(answer[i] for answer in answers), strict=True)
            by_view = {view: [part[view] for part in odds] for view in odds[0]}
            known = {key: case[key] for key in KNOWN if key in case}  # not the image
            yield Row(known, pixels, list(shares), list(kept), by_view)

    def _answer(
        self, network: int, images: Tensor, frames: Sequence[Frame], with_views: bool
    ) -> list[tuple[float, dict[str, float], dict[str, float]]]:
        """For each image the share of its lungs, of its regions, and the log odds by view."""
        packed = self.packed(network, images)
        answers = []
        for image, plane, of in zip(images, packed, frames, strict=True):
            lungs = self.lungs(plane, of)
            odds = {WHOLE: float(plane[-1, 0, 0] - plane[-2, 0, 0])}
            kept: dict[str, float] = {}
            if with_views:
                odds |= dict.fromkeys(view_names()[1:], np.nan)
                if lungs.any():
                    shown, kept = self._shown(image[0].numpy(), lungs, of)
                    odds |= self._log_odds(network, shown)
            answers.append((float(lungs[of].mean()), kept, odds))
        return answers

    def packed(self, network: int, images: Tensor) -> NDArray[np.float32]:
        """The packed prediction of images (B, 1, S, S)."""
        with torch.inference_mode():
            return self.predict(images.to(self.device), self.networks[network]).cpu().numpy()

    def lungs(self, packed: NDArray[np.float32], of: Frame) -> Mask:
        """The predicted mask (S, S) of one packed prediction, none of it in the padding."""
        mask = np.zeros(packed.shape[1:], dtype=bool)
        mask[of] = expit(packed[0][of]) >= self.settings.lung_threshold_prob
        return largest_parts(mask, self.settings.keep_components)

    def _shown(
        self, image: Plane, lungs: Mask, of: Frame
    ) -> tuple[dict[str, Plane], dict[str, float]]:
        """Views but the whole, and what share of the picture each region is."""
        found = regions(lungs, of, margin_px=self.settings.margin_px)
        shown = views(image, found, of)
        del shown[WHOLE]
        return shown, {region: float(keep[of].mean()) for region, keep in found.items()}

    def _log_odds(self, network: int, shown: Mapping[str, Plane]) -> dict[str, float]:
        images = torch.from_numpy(np.stack(list(shown.values())))[:, None].to(self.device)
        encoder: Any = self.networks[network].encoder
        with torch.inference_mode():
            logits = encoder(images, keep=0).class_logits.cpu()
        return dict(zip(shown, (logits[:, 1] - logits[:, 0]).tolist(), strict=True))


def _joined(rows: Sequence[Row], *, unreadable: int, with_views: bool) -> Answers:
    items = [row.item for row in rows]
    kept = [part for row in rows for part in row.kept if part]
    return Answers(
        labels=np.array([item[Keys.LABEL] for item in items], dtype=int),
        patients=[str(item.get(Keys.PATIENT) or item[Keys.CASE]) for item in items],
        info=[item.get(INFO, {}) for item in items],
        pixels={name: np.array([row.pixels[name] for row in rows]) for name in rows[0].pixels},
        lung_share=np.array([row.lung_share for row in rows]).T,
        kept={region: float(np.mean([part[region] for part in kept])) for region in kept[0]}
        if kept
        else {},
        scores={
            view: np.array([row.log_odds[view] for row in rows]).T
            for view in (view_names() if with_views else [WHOLE])
        },
        unreadable=unreadable,
    )


def pixel_scores(picture: Plane) -> dict[str, float]:
    """What a picture's pixels tell without a network. picture: (H, W), normalised, no padding."""
    height, width = picture.shape
    return {
        "mean grey": float(picture.mean()),
        "spread of grey": float(picture.std()),
        "height to width": height / width,
    }


def read_panel(
    bundle: Path,
    weights: Sequence[Path],
    *,
    image_size: int | None = None,
    lung_threshold_prob: float | None = None,
    keep_components: int | None = None,
    margin: float,
) -> tuple[Panel, list[str]]:
    """Networks of a bundle's inference.json with each of the weights, and the weights' digests.

    Args:
        bundle: its folder.
        weights: files of plain state dicts, such as of several seeds.
        image_size, lung_threshold_prob, keep_components: None takes them from inference.json.
        margin: by how much lungs are widened, as a share of the network's input side.

    Raises:
        FileNotFoundError: weights, or the bundle's config, do not exist.
        ValueError: weights do not fit the bundle's network; the first difference is named.
    """
    config = bundle / "configs" / "inference.json"
    if not config.is_file():
        raise FileNotFoundError(f"{config} does not exist: name the bundle's folder with --bundle")
    parser = ConfigParser()
    parser.read_config(str(config))
    given = {
        "image_size": image_size,
        "lung_threshold_prob": lung_threshold_prob,
        "keep_components": keep_components,
    }
    parser.update({name: value for name, value in given.items() if value is not None})
    parser.update({"preprocessing#picture": False})
    known = {name: parser.get_parsed_content(name) for name in given}
    chain, network = map(parser.get_parsed_content, ("preprocessing", "network_def"))
    networks = [load_weights(copy.deepcopy(network), path) for path in weights]
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    settings = Settings(**known, margin_px=margin * known["image_size"])
    panel = Panel(networks, chain, settings, device=device)
    return panel, [weights_digest(path) for path in weights]
