"""Checks of the MONAI Label app without a server, run by a Python that has MONAI Label.

`python label_stores.py FOLDER` prints by name what failed, as JSON.
"""

from __future__ import annotations

import json
import shutil
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from fastapi import HTTPException
from PIL import Image
from pydicom.dataset import Dataset

from multimix_monai.apps import label_pacs
from multimix_monai.apps.label_pacs import Drawn, PacsDatastore
from multimix_monai.apps.label_server import BatchInfer, MultiMixApp
from multimix_monai.apps.label_store import FINAL, FolderDatastore
from multimix_monai.dicom.web_faults import ServerError


def picture(path: Path, value: int = 1) -> Path:
    plane = np.arange(400, dtype=np.uint8).reshape(20, 20) % 2 * value
    Image.fromarray(plane).save(path)
    return path


def folder_of(root: Path, count: int = 2) -> Path:
    (root / "studies").mkdir()
    for number in range(count):
        picture(root / "studies" / f"{number}.png")
    return root / "studies"


def refused(call: Callable[..., Any], *words: Any) -> bool:
    try:
        call(*words)
    except HTTPException as error:
        return error.status_code == 422
    return False


def what_others_saved_meanwhile_is_kept(root: Path) -> None:
    """Two processes on one folder, of which one does not look for changes."""
    studies = folder_of(root, count=3)
    child, server = (FolderDatastore(str(studies), auto_reload=False) for _ in range(2))
    server.save_label("0", str(picture(root / "label.png")), FINAL, {"pneumonia": 1})
    server.update_image_info("1", {"pneumonia": 0})
    child.update_image_info("2", {"seen": True})
    child.save_label("1", str(root / "label.png"), "original", {})
    child.add_image("new", str(root / "label.png"), {})
    child.refresh()
    for store in (child, FolderDatastore(str(studies), auto_reload=False)):
        assert store.get_label_info("0", FINAL)["pneumonia"] == 1
        assert store.get_image_info("1")["pneumonia"] == 0
        assert store.get_image_info("2")["seen"] and "new" in store.list_images()


def a_thread_sees_no_change_by_halves(root: Path) -> None:
    store = FolderDatastore(str(folder_of(root)), auto_reload=False)
    with ThreadPoolExecutor() as pool, store._turn():
        store._datastore.base_path = None  # as MONAI Label has it for a moment
        del store._datastore.objects["1"]
        assert pool.submit(store.path_of, "0").result().is_file()
        assert sorted(pool.submit(store.list_images).result()) == ["0", "1"]
    assert store.list_images() == ["0"]
    store.refresh()
    assert sorted(store.list_images()) == ["0", "1"] and store.path_of("0").is_file()


def a_label_replaces_one_of_another_suffix(root: Path) -> None:
    studies = folder_of(root)
    store = FolderDatastore(str(studies), auto_reload=False)
    label = picture(root / "label.png")
    store.save_label("0", str(label), FINAL, {})
    shutil.copy(label, other := root / "label.PNG.jpg")
    Image.open(label).save(other)
    store.save_label("0", str(label), "original", {})
    store.save_label("0", str(other), "original", {})
    assert [path.name for path in (studies / "labels/original").iterdir()] == ["0.jpg"]
    assert [path.name for path in (studies / "labels/final").iterdir()] == ["0.png"]
    store.remove_label("0", "original")
    assert store.get_label_uri("0", "original") == ""


def ids_and_tags_are_no_paths(root: Path) -> None:
    studies = folder_of(root)
    store = FolderDatastore(str(studies), auto_reload=False)
    file = str(picture(root / "file.png"))
    for name in ("../x", "/x", "a/b", ".."):
        assert refused(store.add_image, name, file, {})
        assert refused(store.save_label, "0", file, name, {})
    (root / "x.json").write_text("{}")
    assert refused(store.add_image, "datastore_v2", str(root / "x.json"), {})
    assert store.add_image("", file, {}) == "file"


class Web:
    """As much of a PACS as lists need."""

    url = "http://pacs"

    client = None

    def __init__(self, **series: dict[str, str]) -> None:
        self.by_modality = series  # series -> study
        self.headers: dict[str, Dataset] = {}
        self.asked: list[str] = []

    def series(self, modality: str) -> dict[str, str]:
        return self.by_modality.get(modality, {})

    def header(self, study: str, series: str) -> Dataset:
        self.asked.append(series)
        if series not in self.headers:
            raise ServerError("http://pacs, retrieving metadata: 500")
        return self.headers[series]


def header(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def seg(image: str, time: str, code: str = "39607008") -> Dataset:
    kind = header(CodeValue=code, CodingSchemeDesignator="SCT", CodeMeaning="Lung")
    segment = header(SegmentAlgorithmType="MANUAL", SegmentedPropertyTypeCodeSequence=[kind])
    return header(
        ContentDate="20260101",
        ContentTime=time,
        SegmentSequence=[segment],
        ReferencedSeriesSequence=[header(SeriesInstanceUID=image)],
    )


def the_newest_lungs_of_each_image_count(root: Path) -> None:
    segs = {"1.1": "1", "1.2": "1", "1.3": "1", "2.1": "2", "3.1": "3", "9.1": "9"}
    web = Web(DX={"1.0": "1", "2.0": "2", "3.0": "3"}, SEG=segs)
    web.headers = {
        "1.1": seg("1.0", "120000"),
        "1.2": seg("1.0", "130000"),
        "1.3": seg("1.0", "120001"),
        "2.1": seg("2.0", "120000", code="36118008"),  # pneumothorax
        "9.1": seg("9.0", "120000"),  # a study without our modalities
    }
    store = PacsDatastore(web, cache=root, auto_reload=False)
    assert store.get_labeled_images() == ["1.0"]
    assert store._annotations() == {"1.0": Drawn("1.2", "1", "1.0", "20260101130000")}
    assert store.get_labeled_images() and sorted(web.asked) == ["1.1", "1.2", "1.3", "2.1", "3.1"]
    web.headers["3.1"] = seg("3.0", "120000")  # it can be read again
    label_pacs.AGAIN_S = 0
    assert store.get_labeled_images() == ["1.0", "3.0"]
    assert refused(store.remove_label, "1.0", FINAL) and refused(store.add_image, "a", "b.dcm", {})


def images_of_the_csv_are_the_first_of_the_pool(root: Path) -> None:
    web = Web(DX={f"1.{number}": "1" for number in range(50)})
    (root / "classes.csv").write_text("image,label\n1.7,1\n1.33.dcm,0\nelsewhere,1\n")
    store = PacsDatastore(web, cache=root, pool=4, classes=root / "classes.csv", auto_reload=False)
    assert set(store.candidates()[:2]) == {"1.7", "1.33"} and len(store.candidates()) == 4
    (root / "classes.csv").write_text("nothing\n")
    assert len(store.candidates()) == 4


def a_label_here_gives_way_to_a_newer_one_and_is_none_once_it_is_gone_there(root: Path) -> None:
    web = Web(DX={"1.0": "1"}, SEG={"1.1": "1"})
    web.headers = {"1.1": seg("1.0", "120000")}
    store = PacsDatastore(web, cache=root, auto_reload=False)
    file = picture(root / "file.png")
    super(PacsDatastore, store).add_image("1.0", str(file), {})
    info = {"pneumonia": 1, "drawn_at": "20260101110000"}
    store._put_label("1.0", file, FINAL, info)
    assert store._is_newer(store._annotations()["1.0"])
    store._put_label("1.0", file, FINAL, {**info, "drawn_at": "20260101120000"})
    assert not store._is_newer(store._annotations()["1.0"])
    assert store.get_label_uri("1.0", FINAL)
    web.by_modality["SEG"], label_pacs.FRESH_S = {}, -1.0
    assert store.get_label_uri("1.0", FINAL)  # it may not be listed yet
    label_pacs.LAG_S = -1.0
    assert not store.get_label_uri("1.0", FINAL) and store.get_labeled_images() == []


def what_cannot_be_scored_is_asked_for_once(root: Path) -> None:
    lacking = ["a", "b"]
    app: Any = SimpleNamespace(asked=None, judge=lambda: SimpleNamespace(digest="weights"))
    app.datastore = lambda: SimpleNamespace(candidates=lambda: lacking)
    app.scores = SimpleNamespace(lacking=lambda weights, ids: list(ids))
    assert MultiMixApp.unscored(app) and not MultiMixApp.unscored(app)
    lacking.remove("a")
    assert MultiMixApp.unscored(app) and not MultiMixApp.unscored(app)
    lacking.clear()
    assert not MultiMixApp.unscored(app)


def what_a_server_started_asks_it_nothing_and_ends_with_it(root: Path) -> None:
    ended: list[bool] = []
    child: Any = SimpleNamespace(_server_mode=False, end_with_server=lambda: ended.append(True))
    assert MultiMixApp.async_scoring(child, None) == {}
    assert refused(BatchInfer(child), {"label_tag": "final"}, None, None) and ended


CHECKS = (
    what_others_saved_meanwhile_is_kept,
    a_thread_sees_no_change_by_halves,
    a_label_replaces_one_of_another_suffix,
    ids_and_tags_are_no_paths,
    the_newest_lungs_of_each_image_count,
    images_of_the_csv_are_the_first_of_the_pool,
    a_label_here_gives_way_to_a_newer_one_and_is_none_once_it_is_gone_there,
    what_cannot_be_scored_is_asked_for_once,
    what_a_server_started_asks_it_nothing_and_ends_with_it,
)


def fault(check: Callable[[Path], None], root: Path) -> str:
    """What failed; "" if nothing did."""
    root.mkdir()
    try:
        check(root)
    except Exception:
        return traceback.format_exc()
    return ""


if __name__ == "__main__":
    faults = {check.__name__: fault(check, Path(sys.argv[1], check.__name__)) for check in CHECKS}
    sys.stdout.write(json.dumps(faults) + "\n")
