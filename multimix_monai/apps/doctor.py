"""Beside the path of data: `multimix doctor`, what is installed, decodable, and where it runs."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from packaging.requirements import Requirement

from multimix_monai.apps.bundle_files import own_bundle

PACKAGE = "multimix-monai"
EXTRAS = ("dicom", "label", "onnx", "onnx-runtime", "mlflow")
SYNTAXES = {
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless, first-order prediction",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Lossless",
    "1.2.840.10008.1.2.5": "RLE Lossless",
}


@dataclass(frozen=True)
class Check:
    """One line of the report. status: ok, absent (optional), or failed (required)."""

    group: str
    name: str
    status: str
    detail: str


def installed(requirement: Requirement) -> tuple[bool, str]:
    """Whether the installed version satisfies a requirement, and what to say of it."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False, f"{requirement.name} missing"
    good = requirement.specifier.contains(version, prereleases=True)
    wanted = "" if good else f", needs {requirement.specifier}"
    return good, f"{requirement.name} {version}{wanted}"


def requirements(extra: str = "") -> list[Requirement]:
    """The requirements that pyproject.toml declares: of the package itself, or of one extra."""
    declared = [Requirement(line) for line in metadata.requires(PACKAGE) or []]
    if not extra:
        return [r for r in declared if r.marker is None or r.marker.evaluate({"extra": ""})]
    return [
        r
        for r in declared
        if r.marker and "extra" in str(r.marker) and r.marker.evaluate({"extra": extra})
    ]


def package_checks() -> list[Check]:
    """Python and every required package with its version; each extra as one line."""
    checks = [Check("package", "python", "ok", platform.python_version())]
    for requirement in requirements():
        good, detail = installed(requirement)
        version = detail.removeprefix(f"{requirement.name} ")
        checks.append(Check("package", requirement.name, "ok" if good else "failed", version))
    for extra in EXTRAS:
        states = [installed(r) for r in requirements(extra)]
        lacking = ", ".join(detail for good, detail in states if not good)
        detail = lacking or ", ".join(detail for _, detail in states)
        checks.append(Check("extra", extra, "absent" if lacking else "ok", detail))
    return checks


def bf16_speed() -> float:
    """How many times as fast as float32 a bfloat16 matrix product is on this CPU (best of 3)."""
    import torch

    def seconds(dtype: torch.dtype) -> float:
        a = torch.ones(512, 512, dtype=dtype)
        best = float("inf")
        for _ in range(4):
            start = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - start)
        return best

    return seconds(torch.float32) / seconds(torch.bfloat16)


def device_checks() -> list[Check]:
    """The CPU, with threads and bfloat16, and every CUDA device."""
    try:
        import torch
    except (ImportError, OSError) as error:
        detail = f"does not import: {error}; what is left is `multimix predict --runtime onnx`"
        return [Check("device", "torch", "failed", detail)]
    cpu = f"{torch.get_num_threads()} threads, bf16 {bf16_speed():.1f}x as fast as fp32"
    checks = [Check("device", "cpu", "ok", cpu)]
    if not torch.cuda.is_available():
        return [*checks, Check("device", "cuda", "absent", "no CUDA device: all runs on the CPU")]
    bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        detail = f"{card.name}, {card.total_memory / 2**30:.0f} GiB, {bf16}"
        checks.append(Check("device", f"cuda:{index}", "ok", detail))
    return checks


def decodable(syntax: str) -> bool:
    """Whether the pixels of a transfer syntax can be decoded here; ImportError without pydicom."""
    import pydicom  # noqa: F401

    from multimix_monai.dicom.decode import can_decode

    return can_decode(syntax)


def dicom_checks() -> list[Check]:
    """One line a transfer syntax; the uncompressed ones are required."""
    checks = []
    for syntax, name in SYNTAXES.items():
        try:
            good = decodable(syntax)
        except ImportError as error:
            return [Check("dicom", "pydicom", "failed", f"does not import: {error}")]
        uncompressed = name.endswith("Endian")
        status = "ok" if good else "failed" if uncompressed else "absent"
        remedy = "" if good else 'no decoder: pip install "multimix-monai[dicom]"'
        checks.append(Check("dicom", name, status, remedy or syntax))
    return checks


def weights_check(bundle: Path) -> Check:
    """Whether the bundle's folder holds weights."""
    path = bundle / "models" / "model.pt"
    if path.is_file():
        return Check("bundle", "weights", "ok", f"{path} ({path.stat().st_size / 2**20:.1f} MiB)")
    remedy = "train a model, or name the bundle's folder with --bundle"
    return Check("bundle", "weights", "absent", f"{path} not found: {remedy}")


def examine(bundle: Path) -> list[Check]:
    """All checks in the order in which they are shown."""
    return [*package_checks(), *device_checks(), *dicom_checks(), weights_check(bundle)]


def show(checks: list[Check]) -> None:
    """Print the checks as one table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "absent": "yellow", "failed": "red"}
    table = Table(box=None, pad_edge=False)
    for heading in ("", "part", "status", "detail"):
        table.add_column(heading, overflow="fold")
    last = ""
    for check in checks:
        group = "" if check.group == last else check.group
        last = check.group
        table.add_row(
            group, Text(check.name), Text(check.status, colours[check.status]), Text(check.detail)
        )
    Console().print(table)


def doctor_command(
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of the bundle; the package's own if absent.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what is installed, decodable, and on which device.

    Exit code 1: a required part is missing or too old.
    """
    checks = examine(bundle or Path(own_bundle()))
    failed = list(dict.fromkeys(c.name for c in checks if c.status == "failed"))
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "checks": [asdict(c) for c in checks]}, indent=2))
    else:
        show(checks)
    if failed:
        typer.echo(f"error: required and missing or too old: {', '.join(failed)}", err=True)
        raise typer.Exit(1)
