"""Apps: the bundle as MONAI's model zoo takes it, with its package inside: `make zoo`.

A copy of `bundle/` whose configs find the package beside them, so that the folder runs, exports
and verifies wherever it lies, on a machine with MONAI and what metadata.json says is required.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

import multimix_monai
from multimix_monai.apps.bundle_files import is_bundle, own_bundle
from multimix_monai.apps.zoo_card import zoo_card
from multimix_monai.apps.zoo_configs import portable_configs

NAME = "multimix"
MAX_BYTES = 25 * 2**20  # of a file in the zoo's repository
# What a run, or a system, leaves in folders that are copied.
LEFT_BEHIND = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
UNIT_TESTS = Path("tests") / "apps" / "zoo_unit_tests.py"


def write_zoo(output: Path, *, source: Path, url: str | None = None) -> Path:
    """Write OUTPUT/multimix, and OUTPUT/test_multimix.py, its unit tests in the zoo's manner.

    Args:
        output: any folder; what an earlier call wrote there is replaced.
        source: the bundle to copy, in a checkout.
        url: of a public folder to which files above 25 MiB will be uploaded; such files are then
            left out and listed in large_files.yml.

    Returns:
        The bundle's folder.

    Raises:
        ValueError: something else lies in OUTPUT/multimix, or a file is too large and url is None.
        FileNotFoundError: the source is not the bundle of a checkout.
    """
    tests = source.parent / UNIT_TESTS
    if not is_bundle(source) or not tests.is_file():
        raise FileNotFoundError(f"{source} is no bundle of a checkout: run from the project's root")
    target = output / NAME
    _clear(target)
    # The configs first: they mark a folder as a bundle, and so as one to replace.
    metadata = _write_configs(source / "configs", target / "configs")
    shutil.copytree(source / "docs", target / "docs", ignore=LEFT_BEHIND)
    package = Path(multimix_monai.__file__).parent
    shutil.copytree(package, target / package.name, ignore=LEFT_BEHIND)
    for path in (source / "LICENSE", source / "configs" / "logging.conf", *_models(source)):
        _copy(path, target / path.relative_to(source))
    card = (source / "docs" / "README.md").read_text(encoding="utf-8")
    (target / "docs" / "README.md").write_text(zoo_card(card, metadata), encoding="utf-8")
    _leave_out_large(target, url)
    _copy(tests, output / f"test_{NAME}.py")
    return target


def _clear(target: Path) -> None:
    if target.exists() and not is_bundle(target):
        raise ValueError(f"{target} is no MultiMix bundle, and is not replaced: move it away")
    shutil.rmtree(target, ignore_errors=True)


def _models(source: Path) -> Iterator[Path]:
    """All weights, and what belongs to them."""
    for pattern in ("model.pt", "*.json"):
        yield from sorted((source / "models").rglob(pattern))


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _write_configs(source: Path, target: Path) -> Mapping[str, Any]:
    """All configs, laid out as the zoo's hooks lay out JSON; returns the metadata."""
    configs = {
        path.name: json.loads(path.read_text(encoding="utf-8")) for path in source.glob("*.json")
    }
    metadata: Mapping[str, Any] = configs.pop("metadata.json")
    target.mkdir(parents=True)
    for name, config in {**portable_configs(configs), "metadata.json": metadata}.items():
        text = json.dumps(config, indent=4) + "\n"
        (target / name).write_text(text, encoding="utf-8")
    return metadata


def _leave_out_large(target: Path, url: str | None) -> None:
    """Files that the zoo's repository does not take -> large_files.yml."""
    large = []
    for path in sorted(path for path in target.rglob("*") if path.stat().st_size > MAX_BYTES):
        if url is None:
            raise ValueError(
                f"{path} has {path.stat().st_size / 2**20:.0f} MiB and the zoo takes 25: upload it "
                "to a public folder and name that with --url"
            )
        name = path.relative_to(target).as_posix()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        item = {"path": name, "url": f"{url.rstrip('/')}/{name}"}
        large.append({**item, "hash_val": digest, "hash_type": "sha256"})
        path.unlink()
    if large:
        text = yaml.safe_dump({"large_files": large}, sort_keys=False)
        (target / "large_files.yml").write_text(text, encoding="utf-8")


def zoo_command(
    output: Annotated[Path, typer.Argument(help="Folder to write into.")] = Path("zoo"),
    url: Annotated[
        str | None,
        typer.Option(
            help="Public folder to which you upload files above 25 MiB, with their paths."
        ),
    ] = None,
) -> None:
    """Write the bundle, with its package inside, as MONAI's model zoo takes it."""
    try:
        folder = write_zoo(output, source=Path(own_bundle()), url=url)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"wrote {folder}, {size / 2**20:.0f} MiB: copy it into models/ of a clone of the zoo,")
    print(f"and {output / f'test_{NAME}.py'} into its ci/unit_tests/")


if __name__ == "__main__":
    typer.run(zoo_command)
