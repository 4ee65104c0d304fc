"""Apps: the environment that MONAI Label runs in, made once beside that of this package.

MONAI Label 0.8.5 starts only with numpy 1.26 and pydicom 2, so it has an environment of its own,
with the versions of constraints.txt. This package is linked into it, not copied: what is changed
here, or upgraded, is what runs there.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import multimix_monai

MONAI_LABEL = "monailabel==0.8.5"
PACKAGE = Path(multimix_monai.__file__).resolve().parent
APP = PACKAGE / "label_app"
REQUIREMENTS, CONSTRAINTS = APP / "requirements.txt", APP / "constraints.txt"
READY = "multimix-label.json"  # written last: what the environment was made from
REMEDY = "check the connection, or point PIP_INDEX_URL or PIP_FIND_LINKS to where packages are"


def default_environment() -> Path:
    """Where the environment lies unless said, in the user's cache."""
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "multimix" / "label"


def python_of(environment: Path) -> Path:
    """The interpreter of an environment."""
    names = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return environment.joinpath(*names)


def prepare(environment: Path) -> Path:
    """Make an environment in which the server starts, or complete one; its interpreter.

    One that is ready is only looked at. What a failure or a kill left behind is completed by the
    same call again; versions that changed with this package are exchanged.

    Raises:
        OSError: it cannot be made, or pip failed, whose own words are on the terminal.
    """
    from filelock import FileLock

    environment = environment.expanduser().absolute()
    environment.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{environment}.lock"):
        if not is_ready(environment):
            print(f"making the environment of MONAI Label in {environment}, once", flush=True)
            (environment / READY).unlink(missing_ok=True)
            _make(environment)
            _install(environment)
            (environment / READY).write_text(json.dumps(recipe()), encoding="utf-8")
        _link(environment)
    return python_of(environment)


def recipe() -> dict[str, str]:
    """What an environment is made from: another one is not ready."""
    text = MONAI_LABEL.encode() + REQUIREMENTS.read_bytes() + CONSTRAINTS.read_bytes()
    return {"python": platform_python(), "packages": hashlib.sha256(text).hexdigest()}


def platform_python() -> str:
    """Version and build of this interpreter, which the environment takes over."""
    return f"{sysconfig.get_platform()} {sys.version_info.major}.{sys.version_info.minor}"


def is_ready(environment: Path) -> bool:
    """Whether it was made to the end, from what it would be made from now, and still runs."""
    try:
        made_from = json.loads((environment / READY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(made_from == recipe()) and _runs(environment)


def _runs(environment: Path) -> bool:
    """Whether its interpreter starts: that which it was made from may be gone."""
    try:
        command = [str(python_of(environment)), "-c", "import pip"]
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _make(environment: Path) -> None:
    clear = ["--clear"] if environment.exists() and not _runs(environment) else []
    _call([sys.executable, "-m", "venv", *clear, str(environment)], doing="python -m venv")


def _install(environment: Path) -> None:
    """Both steps can be repeated: what is there in the right version stays."""
    pip = [str(python_of(environment)), "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--progress-bar", "on" if sys.stdout.isatty() else "off"]
    _call([*pip, "-r", str(REQUIREMENTS), "-c", str(CONSTRAINTS)], doing="pip install")
    _call([*pip, "--no-deps", MONAI_LABEL], doing=f"pip install {MONAI_LABEL}")


def _call(command: Sequence[str], *, doing: str) -> None:
    # Packages that are built meet the same versions; nothing of this environment is imported.
    variables = {"PIP_CONSTRAINT": str(CONSTRAINTS), "PYTHONPATH": ""}
    code = subprocess.run(command, env=os.environ | variables).returncode
    if code:
        raise OSError(
            f"{doing} failed with code {code}, see above: {REMEDY}; the same command again goes on "
            "where it ended"
        )


def _link(environment: Path) -> None:
    """This package, and nothing else of its folder, can be imported there."""
    target = site_packages(environment) / PACKAGE.name
    if target.is_symlink() and target.resolve() == PACKAGE:
        return
    target.unlink(missing_ok=True)
    try:
        target.symlink_to(PACKAGE, target_is_directory=True)
    except OSError as error:
        raise OSError(
            f"cannot link {PACKAGE} into {target.parent} ({error.strerror}): on Windows switch on "
            "the developer mode, or name another --environment"
        ) from error


def site_packages(environment: Path) -> Path:
    """Where an environment of this interpreter's version has its packages."""
    base = str(environment)
    scheme = "nt" if os.name == "nt" else "posix_prefix"
    return Path(sysconfig.get_path("purelib", scheme, vars={"base": base, "platbase": base}))
