"""Apps: `multimix pacs`, radiographs of a PACS judged, and the results stored beside them."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from multimix_monai.apps.interrupt import INTERRUPTED
from multimix_monai.apps.predict import SOME_WITHOUT_RESULT

if TYPE_CHECKING:
    from multimix_monai.apps.pacs_images import Work
    from multimix_monai.apps.pacs_ledger import Ledger
    from multimix_monai.apps.pacs_run import Query
    from multimix_monai.dicom.web import Bearer

USER, PASSWORD, TOKEN = (f"MULTIMIX_PACS_{name}" for name in ("USER", "PASSWORD", "TOKEN"))
MODALITIES = ("DX", "CR")
# Options of every command that speaks with a PACS.
Modality = Annotated[
    list[str] | None, typer.Option(help="Of the PACS' images, repeatable; DX and CR if absent.")
]
User = Annotated[str | None, typer.Option(envvar=USER, help=f"Password: {PASSWORD}, or asked for.")]
Authorities = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Authorities, as PEM.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Take any certificate: for tests only.")]
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DATES = ["%Y-%m-%d", "%Y%m%d"]
_COLUMNS = {  # what is counted: how the summary calls it
    "studies": "studies",
    "unread": "unread",
    "stored": "images stored",
    "there": "already there",
    "kept": "kept",
    "refused": "refused",
    "failed": "failed",
    "objects": "objects stored",
}


def pacs_command(
    url: Annotated[str, typer.Argument(help="DICOMweb, as http://localhost:8042/dicom-web.")],
    first: Annotated[
        datetime | None, typer.Option("--from", formats=_DATES, help="First day of the study.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=_DATES, help="Last day of the study.")
    ] = None,
    modality: Modality = None,
    patient: Annotated[str | None, typer.Option(help="Patient ID.")] = None,
    study: Annotated[str | None, typer.Option(help="Study Instance UID.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Studies at most.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on for ever; without --from, since yesterday.")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks.")] = 60,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds for which a new study must not have grown.")
    ] = 30,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the ledger and, with --no-store, of results.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count; retrieve and store nothing.")
    ] = False,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Keep results in --output instead.")
    ] = False,
    captures: Annotated[
        bool, typer.Option("--captures", help="Store pictures of contour and saliency too.")
    ] = False,
    user: User = None,
    ca: Authorities = None,
    insecure: Insecure = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds without a byte.")] = 60,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds for which a failing request is repeated.")
    ] = 120,
    weights: Annotated[
        Path | None, typer.Option(help="Weights; the bundle's own if absent.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Of these weights, by `multimix calibrate`.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of the probability; calibration's if absent")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Score what is refused as no frontal chest, flagged.")
    ] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any key of inference.json: KEY=VALUE.")
    ] = None,
) -> None:
    """Judge radiographs of a PACS, and store segmentation and report beside them.

    What has a result of the same weights and settings is left alone, so that a run can be
    repeated. A token in MULTIMIX_PACS_TOKEN replaces user and password.

    Exit code 0: all have a result; 3: some were refused or failed; 2: wrong usage; 1: the server
    cannot be reached, or refuses the login.
    """
    from multimix_monai.apps.pacs_images import Work
    from multimix_monai.apps.pacs_ledger import Ledger
    from multimix_monai.apps.pacs_run import Query, count
    from multimix_monai.apps.predict import algorithm
    from multimix_monai.data.patient import digest
    from multimix_monai.dicom.web import DicomWeb

    keywords = {"PatientID": patient, "StudyInstanceUID": study}
    query = Query(
        filters={keyword: value for keyword, value in keywords.items() if value},
        modalities=tuple(modality or MODALITIES),
        first=first.date() if first else None,
        last=last.date() if last else None,
        limit=limit,
        since_yesterday=watch and first is None,
    )
    _check_usage(query, watch=watch, dry_run=dry_run, keep=no_store, output=output)
    settings = _settings(
        {
            "ckpt_path": weights and str(weights),
            "calibration_path": calibration and str(calibration),
            "threshold_prob": threshold,
            "force": force,
        },
        overrides or [],
    )
    judged_by = algorithm(settings)
    if judged_by is None:
        raise typer.BadParameter("a PACS takes results as DICOM only: leave out --set dicom")
    server = DicomWeb(
        url,
        auth=login(url, user),
        verify=str(ca) if ca else not insecure,
        timeout_s=timeout,
        patience_s=patience,
    )
    server.check()
    work = Work(
        server=server,
        settings=settings,
        algorithm=judged_by,
        ledger=Ledger(output, algorithm=digest(judged_by.uid("ledger", ""))),
        captures=captures,
        keep=output if no_store else None,
    )
    if dry_run:
        typer.echo(count(work, query))
    else:
        _run(work, query, watch=(every, settle) if watch else None)


def _settings(given: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Those of `predict` that were given, with results as DICOM and no bar for each batch."""
    from multimix_monai.apps.bundle import parse_overrides

    named = {name: value for name, value in given.items() if value is not None}
    return {"dicom": True, "show_bar": False, **named, **parse_overrides(overrides)}


def login(url: str, user: str | None) -> tuple[str, str] | Bearer | None:
    """What a server is told of us: a token, user and password, or nothing (or ~/.netrc).

    Raises:
        BadParameter: there is a user but no password, and no one to ask for it.
    """
    from multimix_monai.dicom.web import Bearer

    token = os.environ.get(TOKEN)
    parts = urlsplit(url)
    if (user or token) and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        typer.echo("warning: http shows the login to the whole network: use https", err=True)
    if token:
        return Bearer(token)
    if not user:
        return None
    password = os.environ.get(PASSWORD)
    if password is None and not sys.stdin.isatty():
        raise typer.BadParameter(f"no password for {user}: set {PASSWORD}")
    return user, typer.prompt("Password", hide_input=True) if password is None else password


def _check_usage(
    query: Query, *, watch: bool, dry_run: bool, keep: bool, output: Path | None
) -> None:
    narrowed = query.filters or query.first or query.last or query.limit
    if not (narrowed or watch):
        raise typer.BadParameter(
            "this would go through the whole PACS: narrow it by --from, --to, --patient, --study "
            "or --limit"
        )
    if watch and (dry_run or query.limit):
        raise typer.BadParameter("--watch goes on for ever: leave out --dry-run and --limit")
    if keep and not output:
        raise typer.BadParameter("--no-store keeps results in a folder: name it with --output")


def _run(work: Work, query: Query, *, watch: tuple[float, float] | None) -> None:
    """One round, or rounds for ever; the summary comes whatever ends it."""
    from multimix_monai.apps.pacs_run import interruptible, once, watching
    from multimix_monai.engines.failure import quiet_libraries

    code = 0
    try:
        with interruptible(), quiet_libraries():
            if watch:
                watching(work, query, every_s=watch[0], settle_s=watch[1])
            once(work, query)
    except KeyboardInterrupt:
        code = 0 if watch else INTERRUPTED
    finally:
        _show_summary(work.ledger)
    counts = work.ledger.counts()
    if not code and any(counts[status] for status in ("refused", "failed", "unread")):
        code = SOME_WITHOUT_RESULT
    if code:
        raise typer.Exit(code)


def _show_summary(ledger: Ledger) -> None:
    from rich.console import Console
    from rich.table import Table

    counts = ledger.counts()
    table = Table(*_COLUMNS.values())
    table.add_row(*(str(counts[column]) for column in _COLUMNS))
    console = Console()
    console.print(table)
    for (status, reason), number in ledger.reasons().most_common():
        console.print(f"{number} {status}: {reason}", soft_wrap=True, highlight=False)
