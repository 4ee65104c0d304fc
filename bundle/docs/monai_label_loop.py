"""The whole loop by MONAI Label's own client: choose, infer, correct, save, train, infer again.

Run it where MONAI Label is installed; the server's environment will do:

    python monai_label_loop.py http://127.0.0.1:8000 --answers MASKS --count 10 --pictures PICTURES

An annotator corrects labels in a viewer. Here a folder of masks, named after the images, answers
in his place; without it, what was inferred is saved as it is.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from monailabel.client import MONAILabelClient
from PIL import Image

from multimix_monai.data.images import read_mask
from multimix_monai.handlers.pictures import contact_sheet, overlay
from multimix_monai.transforms.load import read_radiograph

MODEL = "multimix"


def main() -> None:
    """Annotate, train, and show what it changed."""
    words = arguments()
    client = MONAILabelClient(words.server, client_id="example")
    for number in range(words.count):
        sample = client.next_sample(MODEL, {})
        mask, found = infer(client, sample["id"])
        print(f"{number + 1}: quality {found['quality']}, pneumonia {probability(found):.2f}")
        answer = corrected(sample, mask, answers=words.answers)
        client.save_label(sample["id"], str(answer), params={"label_info": [{"name": "lung"}]})
    last = client.next_sample(MODEL, {})
    pictures = {"before": draw(client, last, words.answers)}
    train(client, words.train)
    pictures["after"] = draw(client, last, words.answers)
    if words.pictures:
        save(pictures, words.pictures)


def arguments() -> Any:
    """Those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server")
    parser.add_argument("--answers", type=Path, help="folder of masks, named after the images")
    parser.add_argument("--count", type=int, default=10, help="images to annotate")
    parser.add_argument("--train", type=json.loads, default={}, help="JSON of train.json's keys")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the last sample")
    return parser.parse_args()


def infer(client: MONAILabelClient, image: str) -> tuple[Path, dict[str, Any]]:
    """The mask that the server finds, and what else it found."""
    file, found = client.infer(MODEL, image, {"result_extension": ".png"})
    return Path(file), found


def probability(found: dict[str, Any]) -> float:
    """Of pneumonia."""
    return float(found["probabilities"]["pneumonia"])


def corrected(sample: dict[str, Any], mask: Path, *, answers: Path | None) -> Path:
    """What the annotator saves."""
    return answers / f"{sample['id']}.png" if answers else mask


def train(client: MONAILabelClient, settings: dict[str, Any]) -> None:
    """Start a training, follow its log, and say what came of it."""
    client.train_start(MODEL, settings)
    told = ""
    while (status := client.train_status())["status"] in ("SUBMITTED", "RUNNING"):
        line = next(iter(reversed(status.get("details", []))), "")
        if line != told and ": loss" in line:
            print(line)
            told = line
        time.sleep(1)
    if status["status"] != "DONE":
        raise SystemExit(f"training {status['status']}: {status.get('details', [])[-1:]}")
    stats = client.info()["train_stats"][MODEL]
    print(f"{'published' if stats['published'] else 'not published'}: {stats['reason']}")


def draw(client: MONAILabelClient, sample: dict[str, Any], answers: Path | None) -> Any:
    """The contour that is found now, beside that of the answer, uint8 (H, W, 3)."""
    mask, found = infer(client, sample["id"])
    truth = read_mask(corrected(sample, mask, answers=answers)) if answers else None
    image = read_radiograph(sample["path"]).pixels
    words = f"pneumonia {probability(found):.2f}"
    return overlay(image, read_mask(mask), truth=truth, text=words)


def save(pictures: dict[str, Any], folder: Path) -> None:
    """Each picture, and both side by side."""
    both = contact_sheet(list(pictures.values()), columns=2)
    for name, picture in {**pictures, "loop": both}.items():
        Image.fromarray(picture).save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
