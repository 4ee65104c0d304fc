"""Apps: MONAI Label's web service with what its 0.8.5 cannot do for radiographs.

`output=dicom_seg` of MONAI Label 0.8.5 works on a PACS only, calls a tool that it downloads and
that takes no radiographs, and expects NIfTI; ours is written by this package, of any DICOM image.
Its own answer to what a client got wrong is 500 without a word.
"""

from __future__ import annotations

import json
import mimetypes
import os
import shutil
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.background import BackgroundTasks
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from monailabel.app import app
from monailabel.config import settings
from monailabel.endpoints import datastore
from monailabel.endpoints.infer import ResultType, run_inference
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.exception import MONAILabelException
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks.task import AsyncTask

from multimix_monai.apps.label import LOOPBACK
from multimix_monai.apps.label_files import SEG
from multimix_monai.apps.label_guard import Guard
from multimix_monai.apps.label_learn import SERVER_PID
from multimix_monai.apps.label_request import SENT, plain_name
from multimix_monai.dicom.web_faults import ServerError

# What this app has not: whole slides, files of models, and an app to be made anew while it runs.
DEAD = ("/infer/wsi", "/model/", "/reload")
router = APIRouter()
upstream_lifespan = app.router.lifespan_context


@router.post("/infer/{model}")
def infer(
    background_tasks: BackgroundTasks,
    model: str,
    image: str = "",
    session_id: str = "",
    params: str = Form("{}"),
    file: UploadFile = File(None),  # noqa: B008
    label: UploadFile = File(None),  # noqa: B008
    output: ResultType | None = None,
    user: User = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER)),  # noqa: B008
) -> Any:
    """As of MONAI Label, with a DICOM segmentation of any DICOM image; others are not held up."""
    wanted = {**_parsed(params), SENT: bool(file or session_id)}
    wanted.pop("image", None)  # it would replace what was sent
    if not (file or image or session_id):
        raise HTTPException(422, "no image is named: give its id as `image`, or send a `file`")
    if session_id:
        _check_session(session_id)
    if output == ResultType.dicom_seg:
        wanted, output = {**wanted, "result_extension": SEG}, ResultType.image
    words = json.dumps(wanted)
    with tidied(background_tasks):
        return run_inference(background_tasks, model, image, session_id, words, file, label, output)


@router.put("/datastore/", include_in_schema=False)
@router.put("/datastore/image")
def add_image(
    background_tasks: BackgroundTasks,
    image: str | None = None,
    params: str = Form("{}"),
    file: UploadFile = File(...),  # noqa: B008
    user: User = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR)),  # noqa: B008
) -> Any:
    """As of MONAI Label; others are not held up."""
    words = json.dumps(_parsed(params))
    with tidied(background_tasks):
        return datastore.add_image(background_tasks, image, words, file, user.username)


@router.put("/datastore/label")
def save_label(
    background_tasks: BackgroundTasks,
    image: str,
    params: str = Form("{}"),
    tag: str = "",
    label: UploadFile = File(...),  # noqa: B008
    user: User = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR)),  # noqa: B008
) -> Any:
    """As of MONAI Label; others are not held up while a PACS is given it."""
    words = json.dumps(_parsed(params))
    with tidied(background_tasks):
        return datastore.save_label(background_tasks, image, words, tag, label, user.username)


@contextmanager
def tidied(background_tasks: BackgroundTasks) -> Iterator[None]:
    """What MONAI Label does after its answer, above all removing uploads, after a refusal too."""
    try:
        yield
    except BaseException:
        for task in background_tasks.tasks:
            task.func(*task.args, **task.kwargs)
        raise


def _check_session(session_id: str) -> None:
    try:
        name = plain_name(session_id, what="session_id")
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    if not app_instance().sessions().get_session(name):
        raise HTTPException(404, "no such session: send the file again")


def _parsed(params: str) -> dict[str, Any]:
    try:
        parsed = json.loads(params or "{}")
    except ValueError as error:
        raise HTTPException(422, f"params is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise HTTPException(422, "params is no JSON object")
    return parsed


def wrong_request(request: Request, error: Exception) -> JSONResponse:
    """What a client got wrong."""
    return JSONResponse({"detail": str(getattr(error, "msg", error))}, status_code=400)


def absent_server(request: Request, error: Exception) -> JSONResponse:
    """The PACS does not answer."""
    return JSONResponse({"detail": str(error)}, status_code=502)


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[Any]:
    """As of MONAI Label; processes that it started end with it."""
    os.environ[SERVER_PID] = str(os.getpid())
    async with upstream_lifespan(application) as state:
        yield state
    for method in ("train", "batch_infer", "scoring"):
        AsyncTask.stop(method)


def guard() -> None:
    """Answer clients and the server's own pages alone.

    Differs: MONAI Label answers every page that the user visits, and its setting for that,
    MONAI_LABEL_CORS_ORIGINS, keeps 0.8.5 from starting.
    """
    options = json.loads(settings.MONAI_LABEL_APP_CONF.get("multimix", "{}"))
    origins = options.get("origins", [])
    for middleware in app.user_middleware:
        if middleware.cls is CORSMiddleware:
            middleware.kwargs["allow_origins"] = origins
    app.add_middleware(Guard, hosts=options.get("hosts", LOOPBACK), origins=origins)


def guard_archives() -> None:
    """What the archive of a session names stays in its folder.

    Where Python cannot see to that (before 3.10.12 and 3.11.4), tar archives are not taken.
    """
    if hasattr(tarfile, "data_filter"):
        tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
        return
    for name in [name for name, *_ in shutil.get_unpack_formats() if "tar" in name]:
        shutil.unregister_unpack_format(name)


mimetypes.add_type("application/dicom", SEG)
guard()
guard_archives()
app.router.lifespan_context = lifespan
kept = [route for route in app.router.routes if not getattr(route, "path", "").startswith(DEAD)]
app.router.routes[:] = [*router.routes, *kept]  # before MONAI Label's of the same path
app.add_exception_handler(MONAILabelException, wrong_request)
app.add_exception_handler(ServerError, absent_server)

__all__ = ["app"]
