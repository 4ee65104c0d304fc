"""Apps: the MONAI Label app: what it can infer, learn, choose and score, in MONAI Label's words.

It is imported in MONAI Label's own environment only; what it does is done elsewhere.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.utils.async_tasks.utils import processes

import multimix_monai
from multimix_monai.apps.label import own_weights
from multimix_monai.apps.label_answer import answer
from multimix_monai.apps.label_datalist import CLASS_KEY
from multimix_monai.apps.label_judge import CurrentJudge
from multimix_monai.apps.label_learn import SERVER_PID, Training, end_with_parent
from multimix_monai.apps.label_request import SENT, plain_settings
from multimix_monai.apps.label_scores import Scores, choose
from multimix_monai.apps.label_store import FINAL, FolderDatastore
from multimix_monai.apps.pacs import MODALITIES, USER, login
from multimix_monai.data.patient import digest

logger = logging.getLogger(__name__)

# Their logs repeat ids and UIDs of images, which may name patients; MONAI Label's processes log
# their results as __main__.
TELLTALES = ("monailabel", "__main__", "highdicom", "pydicom", "dicomweb_client")
NAME = "multimix"
SALIENCY = "multimix_saliency"
LABELS = {"lung": 1}
# What `multimix label` may be told; without it, MONAI Label itself can start the app.
DEFAULTS: dict[str, Any] = {
    "weights": None,
    "labels": None,
    "modalities": MODALITIES,
    "pool": 500,
    "verify": True,
    "force": False,
    "train": {},
}
BUSY_S = 600  # for so long a sample that one client has is not offered to another


class MultiMixApp(MONAILabelApp):
    """Lungs and pneumonia on chest radiographs, learnt from few labels and many images.

    Args:
        app_dir: folder of weights, scores and trainings, in `model/multimix`.
        studies: folder, or URL of a DICOMweb server.
        conf: `multimix`: JSON of the options of `multimix label`.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        for library in TELLTALES:
            logging.getLogger(library).setLevel(logging.ERROR)
        self.options: dict[str, Any] = {**DEFAULTS, **json.loads(conf.get(NAME, "{}"))}
        self.folder = Path(app_dir, "model", NAME)
        self.training = Training(
            self.folder,
            initial=Path(self.options["weights"] or own_weights()),
            settings=self.options["train"],
        )
        self.judge = CurrentJudge(lambda: self.training.weights, {"force": self.options["force"]})
        self.scores = Scores(self.folder / "scores")
        self.asked: tuple[str, list[str]] | None = None
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name=f"MultiMix {multimix_monai.__version__}",
            description="Lungs and pneumonia on chest radiographs. Research only.",
            version=multimix_monai.__version__,
            labels=list(LABELS),
        )

    @property
    def classes(self) -> Path | None:
        """The csv of classes, if one was given."""
        return Path(self.options["labels"]) if self.options["labels"] else None

    def init_datastore(self) -> Datastore:
        """Of a folder."""
        if self.studies.startswith(("http://", "https://")):
            return super().init_datastore()
        return FolderDatastore(
            self.studies,
            classes=self.classes,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def init_remote_datastore(self) -> Datastore:
        """Of a PACS."""
        from multimix_monai.apps.label_pacs import PacsDatastore
        from multimix_monai.dicom.web import DicomWeb

        web = DicomWeb(
            self.studies,
            auth=login(self.studies, os.environ.get(USER)),
            verify=self.options["verify"],
            patience_s=10,
        )
        return PacsDatastore(
            web,
            cache=Path(self.app_dir, "retrieved"),
            modalities=self.options["modalities"],
            pool=self.options["pool"],
            classes=self.classes,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
        )

    def init_infers(self) -> dict[str, InferTask]:
        """The lungs, and where the class hangs on the pixels."""
        return {
            NAME: Infer(self.judge, saliency=False),
            SALIENCY: Infer(self.judge, saliency=True),
        }

    def init_trainers(self) -> dict[str, TrainTask]:
        """The bundle's training on the datastore."""
        return {NAME: Train(self)}

    def init_strategies(self) -> dict[str, Strategy]:
        """By what an annotation would tell, by chance, or by name."""
        return {NAME: MostInformative(self), "random": Random(), "first": First()}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """What the strategy chooses by."""
        return {NAME: Score(self)}

    def init_batch_infer(self) -> BatchInferTask:
        """MONAI Label's own, on machines without a GPU too."""
        return BatchInfer(self)

    def bundle_path(self, model: str | None) -> str:
        """What MONAI Label lets a process import from: what is there anyway.

        Without one it would take over the folder that a request names.
        """
        return str(self.app_dir)

    def async_scoring(self, method: str | None, params: Any = None) -> Any:
        """Not beside another one, and not where nothing new is to be scored.

        Differs: MONAI Label's asks the server for it from a training too, by an address at which
        that may not listen; ours scores when the next sample is asked for.
        """
        if not self._server_mode or processes("scoring") or not self.unscored():
            return {}
        return super().async_scoring(method, params)

    def unscored(self) -> bool:
        """Whether images have no score by the weights of now that were not just asked for.

        What cannot be retrieved stays without one, and is asked for once.
        """
        weights = self.judge().digest
        lacking = (weights, self.scores.lacking(weights, self.datastore().candidates()))
        new = bool(lacking[1]) and lacking != self.asked
        self.asked = lacking
        return new

    def end_with_server(self) -> None:
        """In a process that the server started: end when it is gone."""
        if not self._server_mode:
            end_with_parent(int(os.environ.get(SERVER_PID, os.getppid())))

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """As of MONAI Label, of an image of the datastore or of a file that a client sent.

        Differs: MONAI Label's judges any file of this machine that a request names.

        Raises:
            HTTPException: 404, no such image; 422, what was found cannot be saved so.
        """
        if request.get(SENT):
            return super().infer(request, datastore)  # type: ignore[no-any-return]
        store, image = datastore or self.datastore(), str(request["image"])
        tag = found_tag(request) if request.get("save_label") else None
        known = {**request, "image": str(store.path_of(image))}
        found: dict[str, Any] = super().infer(known, store)  # which saves no label of a path
        if tag and found["file"]:
            info = {"model": request["model"], "params": found["params"]}
            found["label"] = store.save_label(image, found["file"], tag, info)
        return found

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """As of MONAI Label.

        Raises:
            HTTPException: 404, there is no such strategy.
        """
        if request.get("strategy") not in self._strategies:
            raise HTTPException(404, f"no such strategy: there are {', '.join(self._strategies)}")
        found: dict[str, Any] = super().next_sample(request)
        return found

    def has_classes(self) -> bool:
        """Whether a class of any image is known."""
        store = self.datastore()
        infos = (store.get_label_info(id, FINAL) for id in store.get_labeled_images())
        return self.classes is not None or any(CLASS_KEY in info for info in infos)


def found_tag(request: Mapping[str, Any]) -> str:
    """The tag under which a request saves what an algorithm found.

    Raises:
        HTTPException: 422, it is that of what a person answers for.
    """
    asked = request.get("label_tag") or DefaultLabelTag.ORIGINAL
    tag = str(getattr(asked, "value", asked))
    if tag == FINAL:
        raise HTTPException(
            422, f'"{FINAL}" is for what a person has drawn or corrected: save that as a label'
        )
    return tag


class Infer(InferTask):
    """The mask, or the saliency, of one radiograph on its own grid, with all else in `params`."""

    def __init__(self, judge: CurrentJudge, *, saliency: bool) -> None:
        super().__init__(
            type=InferType.OTHERS if saliency else InferType.SEGMENTATION,
            labels={} if saliency else LABELS,
            dimension=2,
            description="Where the class hangs on the pixels" if saliency else "Both lungs",
        )
        self.judge = judge
        self.saliency = saliency

    def is_valid(self) -> bool:
        """It is."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Path of the label, and what was found.

        Raises:
            HTTPException: 422, it cannot be judged, or not be written so. In a batch that is told
                in `params`, and the others go on.
        """
        start, path = time.perf_counter(), Path(request["image"])
        wanted = request.get("result_extension")
        try:
            with self.judge.lock:
                file, found = answer(self.judge(), path, saliency=self.saliency, wanted=wanted)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        if found["status"] != "ok" and "_image_id" not in request:
            raise HTTPException(422, f"{found['status']}, {found['reason']}: {found['message']}")
        found["label_names"] = self.labels
        found["latencies"] = {"total": round(time.perf_counter() - start, 3)}
        return (str(file) if file else None), found


class BatchInfer(BatchInferTask):
    """MONAI Label's own; it divides by the number of GPUs, so without one it is not told of any."""

    def __init__(self, app: MultiMixApp) -> None:
        self.app = app

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Any) -> Any:
        """As of MONAI Label; says which case it is at.

        Raises:
            HTTPException: 422, what is found cannot be saved so.
        """
        self.app.end_with_server()
        found_tag(request)
        request = {**request, SENT: False}
        done = {"cases": 0}

        def counted(*args: Any) -> Any:
            result = infer(*args)
            done["cases"] += 1
            found = (result["params"].get(name) for name in ("status", "reason"))
            logger.info(f"case {done['cases']}: {', '.join(filter(None, found))}")
            return result

        if not torch.cuda.is_available():
            request = {**request, "multi_gpu": False, "device": "cpu"}
        return super().__call__(request, datastore, counted)


class Train(TrainTask):
    """The bundle's training on the datastore's labels and on all other images."""

    def __init__(self, app: MultiMixApp) -> None:
        super().__init__("Semi-supervised training on labelled and unlabelled radiographs")
        self.app = app
        self.training = app.training

    def config(self) -> dict[str, Any]:
        """What a client may set; the names are train.json's."""
        return dict(self.training.settings)

    def stats(self) -> dict[str, Any]:
        """What came of the last training, with the names that MONAI Label's viewers look for."""
        history = self.training.history()
        if not history:
            return {}
        last = history[-1]
        best = last["after" if last["published"] else "before"].get("val_mean_dice", 0)
        return {
            **last,
            "best_metric": best,
            "total_time": last["seconds"],
            "trainings": len(history),
        }

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        """Train, in the process that MONAI Label starts for it.

        Raises:
            MONAILabelException: nothing to learn from, or a wrong setting: one line of the log.
        """
        self.app.end_with_server()
        known = self.training.settings
        chosen = {n: v for n, v in request.items() if n in (*known, *FURTHER)}
        try:
            chosen = plain_settings(chosen, known=known)
            images, left_out = datastore.known()
            return vars(self.training.run(images, left_out=left_out, settings=chosen))
        except (ValueError, OSError, FloatingPointError) as error:
            message = " ".join(str(error).split())
            logger.error(f"error: {message}")
            raise MONAILabelException(MONAILabelError.APP_TRAIN_FAILED, message) from error


FURTHER = ("batch_sizes", "seed", "num_workers", "weight_decay", "ema_decay")  # of train.json


class MostInformative(Strategy):
    """The image whose annotation would tell most, and that no other client has just been given.

    Scores are computed beside the server; until they are there, it chooses by chance.
    """

    def __init__(self, app: MultiMixApp) -> None:
        super().__init__("Uncertainty of lungs and class, disagreement of views, and diversity")
        self.app = app

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any] | None:
        """Its id; None if every image has a label."""
        unlabelled = datastore.get_unlabeled_images()
        if not unlabelled:
            return None
        client = request.get("client_id")
        free = [id for id in unlabelled if not _is_taken(datastore.get_image_info(id), client)]
        pool = free or unlabelled
        labelled = datastore.get_labeled_images()
        names = [digest(id) for id in (*pool, *labelled)]
        known = self.app.scores.best(self.app.judge().digest, names)
        weight = 1.0 if self.app.has_classes() else 0.0
        return {"id": choose(pool, labelled, known, class_weight=weight)[0]}


def _is_taken(info: dict[str, Any], client: str | None) -> bool:
    given = info.get("strategy", {}).get(NAME, {})
    return given.get("client_id") != client and time.time() - given.get("ts", 0) < BUSY_S


class Score(ScoringMethod):
    """What an annotation of each image would tell, by the weights of now."""

    def __init__(self, app: MultiMixApp) -> None:
        super().__init__("What an annotation would tell, for the choice of the next sample")
        self.app = app

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        """Scores what has no score, in the process that MONAI Label starts for it."""
        self.app.end_with_server()
        judge = self.app.judge()
        lacking = self.app.scores.lacking(judge.digest, datastore.within_reach())
        return {"scored": self.app.scores.add(judge, lacking, datastore.path_of)}
