from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from multimix_monai.apps import cli, label_environment
from multimix_monai.apps import label as label_app
from multimix_monai.apps.label import served_names, server_command
from multimix_monai.apps.label_environment import (
    APP,
    CONSTRAINTS,
    MONAI_LABEL,
    PACKAGE,
    READY,
    REQUIREMENTS,
    is_ready,
    prepare,
    python_of,
    recipe,
    site_packages,
)


def label(*words: object) -> Any:
    return CliRunner().invoke(cli.app, ["label", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "code", "remedy"),
    [
        ((), 2, "--studies FOLDER or --dicomweb URL"),
        (("--studies", "{tmp}", "--dicomweb", "http://127.0.0.1:9"), 2, "--studies FOLDER or"),
        (("--studies", "{tmp}/nowhere"), 2, "is no folder"),
        (("--dicomweb", "ftp://pacs"), 1, "is no URL"),
        (("--studies", "{tmp}", "--port", 0), 2, "value for '--port':"),
        (("--studies", "{tmp}", "--set", "max_epochs"), 1, "KEY=VALUE"),
        (("--studies", "{tmp}", "--host", "::1"), 2, "name an address of IPv4"),
        (("--studies", "{tmp}", "--weights", "{tmp}/none.pt"), 2, "does not exist"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_installed(
    words: tuple[object, ...], code: int, remedy: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(label_environment, "prepare", None)
    result = label(*(str(word).format(tmp=tmp_path) for word in words))
    assert result.exit_code == code, result.output
    assert remedy in " ".join(re.sub("│", " ", result.stderr).split())


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = label("--studies", tmp_path, "--port", taken.getsockname()[1])
    assert result.exit_code == 1 and "choose another --port" in result.stderr


def test_another_host_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_environment, "prepare", lambda _: Path("python"))
    monkeypatch.setattr(label_app, "start", lambda *_: None)
    words = ("--studies", tmp_path, "--app-dir", tmp_path / "app", "--port", free_port())
    told = label(*words, "--host", "0.0.0.0").stderr
    assert "can read all images, change labels and start trainings" in told
    assert "warning" not in label(*words).stderr


def test_what_clients_send_is_kept_where_others_cannot_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(label_environment, "prepare", lambda _: Path("python"))
    monkeypatch.setattr(label_app, "start", lambda _, variables: started.append(variables))
    result = label("--studies", tmp_path, "--app-dir", tmp_path / "app", "--port", free_port())
    assert result.exit_code == 0, result.output
    folder = Path(started[0]["MONAI_LABEL_SESSION_PATH"])
    assert folder == tmp_path / "app" / "sessions" and folder.stat().st_mode & 0o77 == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", ["127.0.0.1", "localhost"]),
        ("10.0.0.7", ["127.0.0.1", "localhost", "10.0.0.7"]),
        ("0.0.0.0", []),
    ],
)
def test_the_server_is_called_by_its_own_names(host: str, names: list[str]) -> None:
    assert served_names(host) == names


def test_the_server_is_told_all_and_nothing_secret(tmp_path: Path) -> None:
    options = {"weights": "w.pt", "pool": 3}
    command = server_command(
        Path("python"), app=tmp_path, studies="s", host="127.0.0.1", port=1, options=options
    )
    assert json.loads(command[-1]) == options
    assert command[command.index("--uvicorn_app") + 1].startswith("multimix_monai.apps.label_api")


def names(path: Path) -> dict[str, Requirement]:
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    return {re.sub("[-_.]+", "-", one.name).lower(): one for one in found}


def test_every_requirement_has_one_version_and_those_that_monai_label_needs() -> None:
    wanted, pinned = names(REQUIREMENTS), names(CONSTRAINTS)
    assert wanted.keys() <= pinned.keys()
    assert all(str(one.specifier).startswith("==") for one in pinned.values())
    assert pinned["numpy"].specifier.contains("1.26.4")
    assert pinned["pydicom"].specifier.contains("2.4.4")
    assert "sam2" not in pinned and "sam-2" not in pinned
    assert MONAI_LABEL == "monailabel==0.8.5"


def test_this_package_s_requirements_are_all_there() -> None:
    from multimix_monai.apps.doctor import requirements

    here = names(REQUIREMENTS)
    pinned = names(CONSTRAINTS)
    for one in (*requirements(), *requirements("dicom")):
        name = re.sub("[-_.]+", "-", one.name).lower()
        assert name in here, name
        version = str(pinned[name].specifier).removeprefix("==")
        assert one.specifier.contains(version), (name, version)


def test_the_app_s_files_belong_to_the_package() -> None:
    project = (PACKAGE.parent / "pyproject.toml").read_text()
    assert '"label_app/*"' in project
    assert {path.name for path in APP.iterdir() if path.is_file()} == {
        "main.py",
        "requirements.txt",
        "constraints.txt",
    }


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment without packages, as `python -m venv` makes it."""
    path = tmp_path_factory.mktemp("made") / "environment"
    label_environment._make(path)
    return path


@pytest.fixture
def installs(monkeypatch: pytest.MonkeyPatch, made: Path) -> list[Path]:
    """The environments that pip would have been called for; nothing is downloaded."""
    called: list[Path] = []

    def copy(environment: Path) -> None:
        if not label_environment._runs(environment):
            shutil.rmtree(environment, ignore_errors=True)
            shutil.copytree(made, environment, symlinks=True)

    monkeypatch.setattr(label_environment, "_make", copy)
    monkeypatch.setattr(label_environment, "_install", called.append)
    return called


def test_an_environment_is_made_once_and_has_this_package_without_a_copy(
    tmp_path: Path, installs: list[Path]
) -> None:
    environment = tmp_path / "label"
    python = prepare(environment)
    assert python == prepare(environment) == python_of(environment)
    assert installs == [environment] and is_ready(environment)
    code = "import multimix_monai; print(multimix_monai.__file__)"
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert Path(done.stdout.strip()).resolve() == PACKAGE / "__init__.py"
    link = site_packages(environment) / PACKAGE.name
    assert link.is_symlink() and os.path.samefile(link, PACKAGE)


def test_one_that_is_half_made_is_completed(
    tmp_path: Path, installs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "label"

    def broken(_: Path) -> None:
        raise OSError("no connection")

    with monkeypatch.context() as offline:
        offline.setattr(label_environment, "_install", broken)
        with pytest.raises(OSError, match="no connection"):
            prepare(environment)
    assert not is_ready(environment)
    prepare(environment)
    assert installs == [environment] and is_ready(environment)


@pytest.mark.parametrize("damage", ["versions", "marker", "interpreter"])
def test_one_that_is_out_of_date_or_broken_is_made_anew(
    tmp_path: Path, installs: list[Path], damage: str
) -> None:
    environment = tmp_path / "label"
    prepare(environment)
    if damage == "versions":
        (environment / READY).write_text(json.dumps({**recipe(), "packages": "others"}))
    elif damage == "marker":
        (environment / READY).write_text("{")
    else:
        python_of(environment).unlink()
        python_of(environment).symlink_to(tmp_path / "gone")
    assert not is_ready(environment)
    prepare(environment)
    assert len(installs) == 2 and is_ready(environment)


def test_a_pip_that_fails_names_the_remedy(tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    command = [sys.executable, "-m", "pip", "download", "multimix-has-no-such-package"]
    with pytest.raises(OSError, match="pip install failed with code 1, see above: check the conn"):
        label_environment._call(command, doing="pip install")
