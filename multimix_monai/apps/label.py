"""Apps: `multimix label`, MONAI Label's server with this bundle, in an environment of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Annotated, Any

import typer

from multimix_monai.apps.pacs import (
    MODALITIES,
    PASSWORD,
    USER,
    Authorities,
    Insecure,
    Modality,
    User,
    login,
)

API = "multimix_monai.apps.label_api:app"
SESSIONS = "MONAI_LABEL_SESSION_PATH"
LOOPBACK, EVERYWHERE = ("127.0.0.1", "localhost"), "0.0.0.0"


def label_command(
    studies: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of PNG, JPEG or DICOM files.")
    ] = None,
    dicomweb: Annotated[
        str | None, typer.Option(help="PACS, as http://localhost:8042/dicom-web.")
    ] = None,
    app_dir: Annotated[
        Path, typer.Option(file_okay=False, help="Folder of trained weights, scores and logs.")
    ] = Path("runs/label"),
    environment: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="MONAI Label's own; in the user's cache if absent."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    weights: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="To begin with; the bundle's if absent."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="csv of classes: image,label,patient."),
    ] = None,
    modality: Modality = None,
    pool: Annotated[
        int, typer.Option(min=0, help="Unlabelled images of the PACS that are retrieved to learn.")
    ] = 500,
    user: User = None,
    ca: Authorities = None,
    insecure: Insecure = False,
    force: Annotated[
        bool, typer.Option("--force", help="Judge what is refused as no frontal chest, flagged.")
    ] = False,
    prepare_only: Annotated[
        bool, typer.Option("--prepare-only", help="Make the environment, and start nothing.")
    ] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of train.json: KEY=VALUE.")
    ] = None,
) -> None:
    """Annotate a few radiographs, learn from all: a MONAI Label server with this bundle.

    The first start makes an environment for MONAI Label, which takes minutes; later ones find it.
    Viewers and clients connect to http://127.0.0.1:8000. Ctrl-C ends it.
    """
    from multimix_monai.apps.label_environment import default_environment, prepare
    from multimix_monai.data.overrides import parse_overrides

    if not prepare_only:
        _check_usage(studies, dicomweb, host=host, port=port)
    options: dict[str, Any] = {
        "weights": str((weights or own_weights()).absolute()),
        "labels": labels and str(labels.absolute()),
        "modalities": list(modality or MODALITIES),
        "pool": pool,
        "verify": str(ca.absolute()) if ca else not insecure,
        "force": force,
        "hosts": served_names(host),
        "origins": [f"http://{name}:{port}" for name in served_names(host) or LOOPBACK],
        "train": parse_overrides(overrides or []),
    }
    variables = _login(dicomweb, user) if dicomweb and not prepare_only else {}
    python = prepare(environment or default_environment())
    if prepare_only:
        typer.echo(f"ready: {python}")
        return
    app = make_app(app_dir)
    variables[SESSIONS] = str(app / "sessions")
    source = dicomweb or str(Path(studies or ".").absolute())
    command = server_command(python, app=app, studies=source, host=host, port=port, options=options)
    typer.echo(f"MONAI Label with MultiMix: http://{host}:{port}, data of {app}", err=True)
    start(command, variables)


def served_names(host: str) -> list[str]:
    """By which names browsers and clients may call the server; none: by any."""
    return [] if host == EVERYWHERE else list(dict.fromkeys((*LOOPBACK, host)))


def own_weights() -> Path:
    """Those that the bundle came with.

    Raises:
        FileNotFoundError: there are none.
    """
    from multimix_monai.apps.bundle_files import own_bundle

    path = Path(own_bundle(), "models", "model.pt")
    if not path.is_file():
        raise FileNotFoundError("no bundle/models/model.pt: run from the project's root")
    return path


def make_app(folder: Path) -> Path:
    """The folder that MONAI Label calls an app: our main.py, and room for what it writes.

    Raises:
        OSError: it cannot be written.
    """
    from multimix_monai.apps.label_environment import APP

    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.py").write_bytes((APP / "main.py").read_bytes())
    (folder / "sessions").mkdir(mode=0o700, exist_ok=True)  # images that clients send
    return folder


def server_command(
    python: Path, *, app: Path, studies: str, host: str, port: int, options: dict[str, Any]
) -> list[str]:
    """How MONAI Label's server is started with our app."""
    words = ["-m", "monailabel.main", "start_server", "--app", str(app), "--studies", studies]
    words += ["--host", host, "--port", str(port), "--uvicorn_app", API]
    return [str(python), *words, "--conf", "multimix", json.dumps(options)]


def start(command: list[str], variables: dict[str, str]) -> None:
    """Become the server, or on Windows wait for it."""
    variables = os.environ | variables | {"PYTHONUNBUFFERED": "1"}
    variables.pop("PYTHONPATH", None)  # the packages of this environment are others
    if os.name != "nt":
        os.execve(command[0], command, variables)
    raise typer.Exit(subprocess.run(command, env=variables).returncode)


def _check_usage(studies: Path | None, dicomweb: str | None, *, host: str, port: int) -> None:
    if (studies is None) == (dicomweb is None):
        raise typer.BadParameter("name the radiographs: --studies FOLDER or --dicomweb URL")
    if studies is not None and not studies.is_dir():
        raise typer.BadParameter(f"{studies} is no folder: name that of the radiographs")
    if dicomweb is not None:
        from multimix_monai.dicom.web_session import checked_url

        checked_url(dicomweb)
    if ":" in host:
        raise typer.BadParameter(
            f"--host {host} is of IPv6, which MONAI Label does not serve: "
            "name an address of IPv4, as 127.0.0.1"
        )
    if host not in LOOPBACK:
        typer.echo(
            f"warning: no login: whoever reaches {host}:{port} can read all images, change labels "
            "and start trainings",
            err=True,
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(
                f"cannot listen on {host}:{port} ({error.strerror}): choose another --port"
            ) from error


def _login(url: str, user: str | None) -> dict[str, str]:
    """User and password for the server, by its environment, which no list of processes shows."""
    known = login(url, user)
    if not isinstance(known, tuple):
        return {}  # a token is in the environment already
    return {USER: known[0], PASSWORD: known[1]}
