"""Apps: where the bundle lies."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

logger = logging.getLogger(__name__)


def default_bundle_root() -> str:
    """The bundle whose config runs, which MONAI puts on sys.path, or else the package's own.

    A copy of the bundle, trained further, must never be run with the weights of another.
    """
    folders = [entry for entry in sys.path if is_bundle(Path(entry))]
    return folders[0] or "." if folders else own_bundle()


def own_bundle() -> str:
    """The folder with configs/ and models/: beside the package, around it, or here.

    In a checkout it is `bundle/` beside the package; in a self-contained bundle the package lies
    in its root.
    """
    beside = Path(__file__).resolve().parents[2]
    for root in (beside / "bundle", beside, Path.cwd() / "bundle"):
        if is_bundle(root):
            return str(root)
    return "."


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle of this package."""
    metadata = folder / "configs" / "metadata.json"
    return metadata.is_file() and "MultiMix" in metadata.read_text(encoding="utf-8")


def config_files(*names: str) -> list[str]:
    """Paths of the bundle's configs.

    Raises:
        FileNotFoundError: the bundle's folder is not found.
    """
    folder = Path(own_bundle()) / "configs"
    if not folder.is_dir():
        raise FileNotFoundError("no folder bundle/configs: run from the project's root")
    return [str(folder / name) for name in names]


def trained_or_own(ckpt_dir: str, bundle_root: str) -> str:
    """The best weights of a run, or where it has none those that came with the bundle."""
    trained = Path(ckpt_dir) / "model.pt"
    path = trained if trained.is_file() else Path(bundle_root) / "models" / "model.pt"
    logger.info("weights: %s", path)
    return str(path)


def beside_weights(ckpt_path: str, name: str, bundle_root: str) -> str:
    """A file that was fitted to weights lies beside them; else that of the bundle's own weights."""
    beside = Path(ckpt_path).with_name(name)
    return str(beside if beside.is_file() else Path(bundle_root) / "models" / name)
