"""An audit finds the shortcut that was planted, and clears the network that has none."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from multimix_monai.data.datalist import build_datalist, load_datalist, write_datalist
from multimix_monai.data.images import read_mask
from multimix_monai.data.readers import read_folder
from multimix_monai.data.synthetic import draw_radiograph
from multimix_monai.experiments.audit import audit, external_set, in_domain_sets, main
from multimix_monai.experiments.audit_answers import Panel, Settings
from multimix_monai.experiments.audit_estimates import Bootstrap
from multimix_monai.networks import MultiMix, Prediction, pack
from multimix_monai.networks.encoder import Encoded
from multimix_monai.transforms import preprocessing

BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
SIDE = 64
CORNER = (slice(2, 12), slice(2, 12))
IN_LUNG = (slice(26, 36), slice(18, 26))
Draw = Callable[[int, int], np.ndarray]  # of a seed and a label, (H, W) in [0, 1]


def fixed_lungs() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[16:48, 14:28] = mask[16:48, 36:50] = True
    return mask


def write_folder(
    root: Path, draw: Draw, *, cases: int, first: int = 0, labels: tuple[int, ...] = (0, 1)
) -> Path:
    """A plain folder of cases with both labels by turns; two images a patient."""
    (root / "images").mkdir(parents=True)
    rows = [("image", "label", "patient")]
    for n in range(cases):
        label, name = labels[n // 2 % len(labels)], f"film{first + n:04d}.png"
        pixels = np.clip(255 * draw(first + n, label) + 0.5, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / name)
        rows.append((name, str(label), f"PERSON-{first + n // 2:04d}"))
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


def noise_with(place: tuple[slice, slice]) -> Draw:
    """Noise, with a patch that is bright in pneumonia and dark without.

    The noise has all greys, so that the patch does not shift them by the normalisation.
    """

    def draw(seed: int, label: int) -> np.ndarray:
        image = np.random.default_rng(seed).random((SIDE, SIDE))
        image[place] = 0.9 if label else 0.1
        return image

    return draw


class Sees(nn.Module):
    """Stands for a network that knows the lungs and takes bright pixels of one place for pneumonia.

    Args:
        place: rows and columns.
    """

    def __init__(self, place: tuple[slice, slice]) -> None:
        super().__init__()
        self.place = place

    def encoder(self, x: Tensor, *, keep: int | None = None) -> Encoded:
        rows, columns = self.place
        bright = 10 * (x[:, 0, rows, columns].mean(dim=(1, 2)) - 0.5)
        return Encoded((), torch.stack([-bright, bright], dim=1), None)

    def forward(self, x: Tensor) -> Tensor:
        seg = torch.from_numpy(np.where(fixed_lungs(), 5.0, -5.0)).float()
        seg = seg.expand(len(x), 1, SIDE, SIDE)
        return pack(Prediction(seg, self.encoder(x).class_logits, torch.zeros_like(seg)))


def audited(tmp_path: Path, place: tuple[slice, slice], *, n_networks: int = 1) -> dict[str, Any]:
    """What an audit says of networks that see a place, where the finding is."""
    items = external_set("folder", write_folder(tmp_path / "set", noise_with(place), cases=32))
    settings = Settings(SIDE, lung_threshold_prob=0.6, keep_components=2, margin_px=2)
    chain = preprocessing(image_size=SIDE)
    networks = [Sees(place) for _ in range(n_networks)]
    panel = Panel(networks, chain, settings, device=torch.device("cpu"))
    sets = {"made": ("external", items)}
    return audit(panel, sets, validation=items, strata="view", bootstrap=Bootstrap(50))


def values(found: dict[str, Any], table: str) -> dict[str, float]:
    return {n: e.value for n, e in found["sets"]["made"]["shortcuts"][table].items()}


def test_what_is_read_off_a_marker_is_told_without_lungs_and_not_with_them_alone(
    tmp_path: Path,
) -> None:
    found = audited(tmp_path, CORNER, n_networks=2)
    aucs = values(found, "auc")
    for view in ("background", "outside the box", "rim"):
        assert aucs["whole"] == aucs[f"{view}, mean"] == aucs[f"{view}, smooth"] == 1
        assert values(found, "rank_correlation")[f"{view}, mean"] > 0.7
    assert all(0.2 < aucs[f"lungs, {fill}"] < 0.8 for fill in ("mean", "smooth"))
    assert aucs["shape only"] == aucs["area of the lungs"] == 0.5
    assert values(found, "difference")["lungs less background, smooth"] < -0.2
    group = found["sets"]["made"]["groups"]["all"]
    assert group["auc"]["network"].each == (1, 1) and group["auc"]["network"].spread == 0
    assert group["calls"]["accuracy"].value == 1 and group["n_patients"] == 16


def test_what_is_read_off_the_lungs_is_told_by_them_alone_and_not_without(tmp_path: Path) -> None:
    aucs = values(audited(tmp_path, IN_LUNG), "auc")
    assert aucs["whole"] == aucs["lungs, mean"] == aucs["lungs, smooth"] == 1
    for view in ("background", "outside the box", "rim"):
        assert all(0.2 < aucs[f"{view}, {fill}"] < 0.8 for fill in ("mean", "smooth"))


def test_an_unreadable_case_is_counted_and_the_others_are_audited(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_folder(tmp_path / "set", noise_with(CORNER), cases=16)
    (root / "images" / "film0003.png").write_bytes(b"no picture")
    settings = Settings(SIDE, lung_threshold_prob=0.6, keep_components=2, margin_px=2)
    chain = preprocessing(image_size=SIDE)
    panel = Panel([Sees(CORNER)], chain, settings, device=torch.device("cpu"))
    answers = panel.ask(external_set("folder", root), name="set", with_views=False)
    assert (answers.unreadable, len(answers.labels)) == (1, 15)
    assert "left out" in caplog.text
    with pytest.raises(ValueError, match="none of 1 cases could be read"):
        panel.ask([{"image": "absent.png", "label": 0, "case": "x"}], name="set")


def test_cases_in_which_a_network_finds_no_lungs_are_left_out_of_the_views(tmp_path: Path) -> None:
    items = external_set("folder", write_folder(tmp_path / "set", noise_with(CORNER), cases=8))
    settings = Settings(SIDE, lung_threshold_prob=0.999, keep_components=2, margin_px=2)
    chain = preprocessing(image_size=SIDE)
    panel = Panel([Sees(CORNER)], chain, settings, device=torch.device("cpu"))
    answers = panel.ask(items, name="set")
    assert not answers.lung_share.any() and np.isnan(answers.scores["shape only"]).all()
    with pytest.raises(ValueError, match="lungs were found in 0 of 8 cases"):
        audit(
            panel,
            {"set": ("external", items)},
            validation=[],
            strata="view",
            bootstrap=Bootstrap(10),
        )


def test_a_set_without_both_classes_or_reader_is_refused(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", noise_with(CORNER), cases=4, labels=(0,))
    with pytest.raises(ValueError, match="4 normal and 0 pneumonia labels; an AUC needs both"):
        external_set("folder", root)
    with pytest.raises(ValueError, match="no reader 'chexpert'; write one of jsrt"):
        external_set("chexpert", root)
    with pytest.raises(ValueError, match="no source of the datalist's test part"):
        in_domain_sets([{"source": "a", "label": 0}, {"source": "b", "label": 1}])


def home_datalist(root: Path) -> Path:
    """Of the folder `home` below root: a third of its patients to test on."""
    datalist = build_datalist(
        read_folder(root / "home"), dataset_dir=root, test={"folder": 0.35}, validation=0.2
    )
    write_datalist(datalist, root / "datalist.json")
    return root / "datalist.json"


def words(root: Path, weights: Path, *more: object) -> list[str]:
    fixed = [weights, "--datalist", root / "datalist.json", "--dataset-dir", root]
    fixed += ["--bundle", BUNDLE, "--image-size", SIDE, "--output", root / "audit"]
    return [str(word) for word in (*fixed, "--resamples", 50, *more)]


def test_the_command_refuses_foreign_weights_and_sets_that_were_trained_on(
    tmp_path: Path, fresh_weights: Path
) -> None:
    write_folder(tmp_path / "home", noise_with(CORNER), cases=24)
    home_datalist(tmp_path)
    torch.save(MultiMix(widths=(4, 4, 4, 4, 4)).state_dict(), tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt does not fit the network"):
        main(words(tmp_path, tmp_path / "other.pt"))
    with pytest.raises(ValueError, match=r"folder=home: .* are in the datalist's training"):
        main(words(tmp_path, fresh_weights, "--external", "folder=home"))
    with pytest.raises(FileNotFoundError, match="name the bundle's folder with --bundle"):
        main([*words(tmp_path, fresh_weights), "--bundle", str(tmp_path)])
    assert not (tmp_path / "audit").exists()


def chest_with(place: str) -> Draw:
    """A drawn chest, normal but for what is planted where pneumonia is claimed."""

    def draw(seed: int, label: int) -> np.ndarray:
        drawn = draw_radiograph(seed=seed, pneumonia=False, size=(96, 84))
        pixels, stripes = drawn.pixels.copy(), np.arange(84) // 4 % 2
        if label and place == "corner":
            pixels[4:16, 4:16] = 1
        elif label:
            pixels = np.where(drawn.mask > 0, (pixels + stripes) / 2, pixels)
        return pixels

    return draw


def train(root: Path, *, seed: int, steps: int = 60) -> Path:
    """Weights that have learnt masks and labels of the training part of `home`, in a minute."""
    torch.manual_seed(seed)
    chain = preprocessing(image_size=SIDE, keys=("image", "mask"))
    items = load_datalist(root / "datalist.json", dataset_dir=root)["training"]
    cases = [chain({"image": i["image"], "mask": i["mask"]}) for i in items]
    images, masks = (torch.stack([c[k].as_tensor() for c in cases]) for k in ("image", "mask"))
    labels = torch.tensor([item["label"] for item in items])
    network = MultiMix(dropout_prob=0.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(steps):
        batch = torch.randint(len(items), (12,))
        out = network(images[batch])
        loss = F.cross_entropy(out.class_logits, labels[batch])
        loss = loss + F.binary_cross_entropy_with_logits(out.seg_logits, masks[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(network.state_dict(), root / f"seed{seed}.pt")
    return root / f"seed{seed}.pt"


def draw_masks(root: Path, *, cases: int) -> None:
    (root / "masks").mkdir()
    for n in range(cases):
        mask = 255 * draw_radiograph(seed=n, pneumonia=False, size=(96, 84)).mask
        Image.fromarray(mask).save(root / "masks" / f"film{n:04d}.png")
    assert read_mask(root / "masks" / "film0000.png").any()


@pytest.mark.slow
def test_the_command_says_where_trained_networks_look(tmp_path: Path) -> None:
    place = "corner"
    write_folder(tmp_path / "home", chest_with(place), cases=72)
    draw_masks(tmp_path / "home", cases=72)
    # Elsewhere nothing is planted: what was learnt is of no use.
    write_folder(tmp_path / "away", lambda seed, _: chest_with(place)(seed, 0), cases=24, first=900)
    home_datalist(tmp_path)
    weights = [train(tmp_path, seed=seed) for seed in (0, 1)]
    text = main([str(weights[1]), *words(tmp_path, weights[0], "--external", "folder=away")])
    folder = tmp_path / "audit"
    stored = (folder / "audit.json").read_text()
    assert (folder / "audit.md").read_text() == text
    sets = json.loads(stored)["sets"]
    assert [sets[name]["role"] for name in sets] == ["in-domain", "external"]
    aucs = sets["folder, test"]["shortcuts"]["auc"]
    assert aucs["whole"]["value"] > 0.95 and len(aucs["whole"]["by_weights"]) == 2
    for fill in ("mean", "smooth"):
        assert aucs[f"background, {fill}"]["value"] > 0.9
        assert aucs[f"background, {fill}"]["value"] > aucs[f"lungs, {fill}"]["value"] + 0.2
    away = sets["away"]["groups"]["all"]["auc"]
    assert away["network"]["value"] < 0.75
    assert "| network |" in text and "What this shows, and what it cannot" in text
    for picture in ("auc.png", "views.png"):
        assert np.asarray(Image.open(folder / picture)).std() > 5
    assert not any(word in stored + text for word in ("film0", "PERSON", str(tmp_path)))
