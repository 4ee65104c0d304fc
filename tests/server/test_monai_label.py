"""MONAI Label's real server with this bundle, on a folder of radiographs: `make test-server`."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from multimix_monai.apps.label_environment import python_of
from multimix_monai.data.images import Radiograph, read_mask
from multimix_monai.data.synthetic import SyntheticRadiograph, draw_radiograph
from multimix_monai.dicom.dx import write_dx

pytestmark = pytest.mark.server
REPOSITORY = Path(__file__).resolve().parents[2]
SIZE = (160, 144)
# Seconds on one core: the network's own size, for the frontal check knows no other.
QUICK = {
    "max_epochs": 2,
    "steps_per_epoch": 2,
    "val_interval": 1,
    "batch_sizes": {
        "mask_labelled": 2,
        "mask_unlabelled": 2,
        "label_labelled": 2,
        "label_unlabelled": 2,
    },
}
LONG = {**QUICK, "max_epochs": 500}


def draw(seed: int) -> SyntheticRadiograph:
    return draw_radiograph(seed=seed, pneumonia=seed % 2 == 1, size=SIZE)


def grey(drawn: SyntheticRadiograph) -> Image.Image:
    return Image.fromarray(np.round(255 * drawn.pixels).astype(np.uint8))


def write_mask(folder: Path, name: str, mask: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.png"
    Image.fromarray(255 * mask).save(path)
    return path


class Folder:
    """Drawn radiographs in several formats, and what an annotator would draw on them."""

    def __init__(self, root: Path, *, count: int = 10) -> None:
        self.studies, self.answers = root / "studies", root / "answers"
        self.studies.mkdir(parents=True)
        for seed in range(count):
            drawn = draw(seed)
            if seed == 1:
                grey(drawn).save(self.studies / "case1.jpg", quality=95)
            elif seed == 2:
                pixels = Radiograph(pixels=drawn.pixels, spacing_mm=drawn.spacing_mm)
                names = {"patient_name": "GEHEIM^NAME", "patient_id": "GEHEIM-1"}
                write_dx(self.studies / "case2.dcm", pixels, seed=2, **names)
            else:
                grey(drawn).save(self.studies / f"case{seed}.png")
            write_mask(self.answers, f"case{seed}", drawn.mask)

    def answer(self, image: str) -> Path:
        return self.answers / f"{image}.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("folder"))


@pytest.fixture(scope="module")
def server(label_server: Callable[..., Any], folder: Folder) -> Any:
    return label_server("--studies", folder.studies)


def parts(answer: Any) -> tuple[dict[str, Any], bytes]:
    """Params and file of a multipart answer."""
    import email

    header = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    found = email.message_from_bytes(header + answer.content).get_payload()
    by_name = {part.get_param("name", header="content-disposition"): part for part in found}
    return json.loads(by_name["params"].get_payload(decode=True)), by_name["image"].get_payload(
        decode=True
    )


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))


def test_the_app_says_what_it_can_do_and_nothing_of_a_gpu_or_of_sam(server: Any) -> None:
    info = server.get("/info/").json()
    assert set(info["models"]) == {"multimix", "multimix_saliency"}
    assert set(info["trainers"]) == {"multimix"}
    assert set(info["strategies"]) == {"multimix", "random", "first"}
    assert info["datastore"]["total"] == 10 and info["labels"] == ["lung"]


@pytest.mark.parametrize("image", ["case0", "case1"])
def test_a_picture_s_mask_lies_on_its_own_grid_with_all_else_in_params(
    server: Any, folder: Folder, image: str
) -> None:
    params, file = parts(server.infer(image))
    mask = np.asarray(Image.open(io.BytesIO(file)))
    assert mask.shape == SIZE and set(np.unique(mask)) == {0, 1}
    assert dice(mask > 0, read_mask(folder.answer(image)) > 0) > 0.8
    assert params["status"] == "ok" and params["label_names"] == {"lung": 1}
    assert abs(sum(params["probabilities"].values()) - 1) < 1e-5
    assert params["pneumonia_probability"] == params["probabilities"]["pneumonia"]
    assert params["quality"] in ("pass", "review") and 0 < params["threshold"] < 1
    assert isinstance(params["flags"], list) and "input" not in params


def test_a_dicom_study_gets_nifti_as_converters_write_it_and_any_other_format_on_demand(
    server: Any, folder: Folder, tmp_path: Path
) -> None:
    params, file = parts(server.infer("case2"))
    path = tmp_path / "label.nii.gz"
    path.write_bytes(file)
    label = nibabel.load(path)
    assert label.shape == (SIZE[1], SIZE[0], 1) and label.affine[0, 0] < 0 > label.affine[1, 1]
    mask = read_mask(path)
    assert dice(mask > 0, read_mask(folder.answer("case2")) > 0) > 0.8
    _, png = parts(server.infer("case2", result_extension=".png"))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), mask)
    _, nrrd = parts(server.infer("case2", result_extension=".nrrd"))
    assert nrrd.startswith(b"NRRD")
    assert server.infer("case2", result_extension=".jpg").status_code == 422
    assert params["rows"] == SIZE[0]


def test_the_server_finds_what_predict_finds(server: Any, folder: Folder, tmp_path: Path) -> None:
    from multimix_monai.apps.predict import predict

    cases = [{"image": str(folder.studies / "case2.dcm"), "case": "case2"}]
    (row,) = predict({"dataset#data": cases, "output_dir": str(tmp_path), "num_workers": 0})
    params, file = parts(server.infer("case2", result_extension=".png"))
    assert params["threshold_source"] == row["threshold_source"]
    for name in ("pneumonia_probability", "threshold", "frontal_score"):
        assert params[name] == pytest.approx(row[name], abs=1e-3)
    own = np.asarray(Image.open(tmp_path / row["mask"])) > 0
    assert dice(np.asarray(Image.open(io.BytesIO(file))) > 0, own) > 0.999


def test_saliency_is_a_task_of_its_own_on_the_same_grid(server: Any, tmp_path: Path) -> None:
    params, file = parts(server.infer("case0", model="multimix_saliency"))
    picture = np.asarray(Image.open(io.BytesIO(file)))
    assert picture.shape == SIZE and picture.max() == 65535 and params["saliency_max"] > 0
    _, nifti = parts(server.infer("case0", model="multimix_saliency", result_extension=".nii.gz"))
    path = tmp_path / "saliency.nii.gz"
    path.write_bytes(nifti)
    values = nibabel.load(path).get_fdata()[:, :, 0].T
    assert values.max() == pytest.approx(params["saliency_max"], rel=1e-5)
    np.testing.assert_allclose(values / values.max(), picture / 65535, atol=1e-4)


def test_a_dicom_study_s_mask_comes_as_dicom_segmentation(server: Any) -> None:
    answer = server.infer("case2", output="dicom_seg")
    assert answer.ok and answer.headers["Content-Type"] == "application/dicom"
    seg = pydicom.dcmread(io.BytesIO(answer.content))
    assert seg.Modality == "SEG" and (seg.Rows, seg.Columns) == SIZE
    assert seg.PatientID == "GEHEIM-1"
    assert server.infer("case0", output="dicom_seg").status_code == 422


def test_what_is_no_frontal_chest_is_refused_with_a_reason(
    server: Any, folder: Folder, tmp_path: Path
) -> None:
    turned = tmp_path / "turned.png"
    grey(draw(0)).rotate(90, expand=True).save(turned)
    lateral = tmp_path / "lateral.dcm"
    dataset = pydicom.dcmread(folder.studies / "case2.dcm")
    dataset.ViewPosition = "LL"
    dataset.save_as(lateral)
    for path, reason in ((turned, "rotated_90"), (lateral, "view")):
        answer = upload(server, path)
        assert answer.status_code == 422 and reason in answer.json()["detail"], answer.text
        assert str(tmp_path) not in answer.text
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert upload(server, broken).status_code == 422
    assert server.infer("nobody").status_code == 404
    assert server.infer("case0", model="nothing").status_code == 400


def upload(server: Any, path: Path) -> Any:
    import requests

    with path.open("rb") as file:
        files = {"file": (path.name, file)}
        return requests.post(f"{server.url}/infer/multimix", files=files, timeout=60)


def test_a_batch_goes_on_past_what_is_refused_and_images_may_come_and_go(
    server: Any, folder: Folder
) -> None:
    turned = folder.studies / "aaa.png"
    grey(draw(3)).rotate(180).save(turned)
    server.wait(lambda: server.get("/info/").json()["datastore"]["total"] == 11)
    settings = {"save_label": True}
    answer = server.post("/batch/infer/multimix", settings, images="all")
    assert answer.ok, answer.text
    assert server.finish("batch")["status"] == "DONE", server.log()[-3000:]
    assert re.findall(r"case \d+: (.*)", server.log()) == ["refused, rotated_180", *10 * ["ok"]]
    server.wait(lambda: server.get("/info/").json()["datastore"]["label_tags"] == {"original": 10})
    objects = server.get("/datastore/", output="all").json()["objects"]
    assert not objects["aaa"]["labels"]
    found = objects["case0"]["labels"]["original"]["info"]["params"]
    assert found["status"] == "ok" and found["quality"] in ("pass", "review")
    turned.unlink()
    server.wait(lambda: server.get("/info/").json()["datastore"]["total"] == 10)


def test_without_any_label_infer_works_and_train_says_what_is_missing(server: Any) -> None:
    assert server.infer("case3").ok
    assert server.post("/train/multimix", QUICK).ok
    task = server.finish()
    assert task["status"] == "ERROR"
    assert "nothing to learn from" in " ".join(task["details"])
    assert "nothing to learn from" in server.log()


def test_a_label_that_does_not_fit_is_refused_where_it_is_saved(
    server: Any, folder: Folder, tmp_path: Path
) -> None:
    small = write_mask(tmp_path, "small.refused", np.ones((64, 64), np.uint8))
    empty = write_mask(tmp_path, "empty", np.zeros(SIZE, np.uint8))
    for path, words in ((small, "64x64"), (empty, "empty")):
        answer = server.save("case0", path)
        assert answer.status_code == 422 and words in answer.json()["detail"]
    wrong = server.save("case0", folder.answer("case0"), pneumonia="maybe")
    assert wrong.status_code == 422 and "maybe" in wrong.json()["detail"]
    assert server.save("nobody", small).status_code == 404
    assert not list(Path(tempfile.gettempdir()).glob("*.refused.png"))  # what was sent is gone
    assert server.get("/info/").json()["datastore"]["completed"] == 0


def test_the_whole_loop_ends_with_weights_that_are_not_worse_and_in_use(
    server: Any, folder: Folder
) -> None:
    server.finish("scoring")
    before = parts(server.infer("case9"))[0]["weights"]
    seen = []
    for _ in range(6):
        sample = server.post("/activelearning/multimix", {"client_id": "a"}).json()
        assert sample["id"] not in seen
        seen.append(sample["id"])
        pneumonia = int(sample["id"].removeprefix("case")) % 2
        saved = server.save(sample["id"], folder.answer(sample["id"]), pneumonia=pneumonia)
        assert saved.ok, saved.text
    assert server.post("/train/multimix", QUICK).ok
    task = server.finish()
    assert task["status"] == "DONE", task["details"]
    outcome = server.outcome()
    assert outcome["counts"] == {
        "masks": 5,
        "classes": 5,
        "unannotated": 4,
        "held_back_masks": 1,
        "held_back_classes": 1,
    }
    after = parts(server.infer("case9"))[0]["weights"]
    assert outcome["published"] == (outcome["after"]["val_score"] >= outcome["before"]["val_score"])
    assert after == outcome["weights"] and (after != before) == outcome["published"]
    log = server.progress()
    assert "epoch 2/2" in log and "validation: " in log and not re.search(r"case\d", log)


def test_only_one_training_runs_and_it_can_be_stopped(server: Any) -> None:
    weights = parts(server.infer("case9"))[0]["weights"]
    assert server.post("/train/multimix", LONG).ok
    server.wait(lambda: any("epoch 1/" in line for line in server.task().get("details", ())))
    second = server.post("/train/multimix", LONG)
    assert second.status_code == 429 and "Already Running" in second.json()["detail"]
    assert server.infer("case9").ok
    import requests

    assert requests.delete(f"{server.url}/train/", timeout=60).ok
    assert server.task()["status"] == "STOPPED"
    assert parts(server.infer("case9"))[0]["weights"] == weights


def test_a_killed_server_s_training_ends_with_it_and_goes_on_from_its_last_epoch(
    label_server: Callable[..., Any], tmp_path: Path
) -> None:
    folder = Folder(tmp_path, count=4)
    server = label_server("--studies", folder.studies, app_dir=tmp_path / "app")
    assert server.save("case0", folder.answer("case0")).ok
    settings = {**QUICK, "max_epochs": 60}
    assert server.post("/train/multimix", settings).ok
    server.wait(lambda: any("epoch 2/" in line for line in server.task().get("details", ())))
    (trainer,) = trainings(server.process.pid)
    server.kill()
    server.wait(lambda: not is_alive(trainer), seconds=10)
    assert not (tmp_path / "app/model/multimix/model.pt").exists()
    server.start()
    assert server.infer("case1").ok  # the last good weights
    assert server.post("/train/multimix", settings).ok
    server.wait(lambda: "going on from" in server.progress())
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(30)
    assert (tmp_path / "app/model/multimix/training/models/last.pt").is_file()


def cpu_seconds(pid: int) -> float:
    """Of a process, which a busy machine does not lengthen, in hundredths."""
    return (
        sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / 100
    )


def trainings(server: int) -> list[int]:
    """Processes that train, of a server; as Linux tells them."""
    lists = [path.read_text() for path in Path(f"/proc/{server}/task").glob("*/children")]
    started = [int(pid) for pids in lists for pid in pids.split()]
    return [pid for pid in started if b"\0-m\0train\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_of_a_thousand_images_info_and_next_sample_come_within_a_second(
    label_server: Callable[..., Any], tmp_path: Path
) -> None:
    studies = tmp_path / "studies"
    studies.mkdir()
    grey(draw(0)).save(studies / "0.png")
    for number in range(1, 1000):
        shutil.copyfile(studies / "0.png", studies / f"{number}.png")
    server = label_server("--studies", studies)
    for ask in (
        lambda: server.get("/info/"),
        lambda: server.post("/activelearning/multimix", {}),
        lambda: server.post("/activelearning/multimix", {}),
    ):
        start = cpu_seconds(server.process.pid)
        assert ask().ok
        assert cpu_seconds(server.process.pid) - start < 1
    server.kill()


def test_two_clients_are_not_given_the_same_sample(server: Any) -> None:
    first = server.post("/activelearning/multimix", {"client_id": "a"}).json()["id"]
    second = server.post("/activelearning/multimix", {"client_id": "b"}).json()["id"]
    again = server.post("/activelearning/multimix", {"client_id": "a"}).json()["id"]
    assert first == again != second
    assert server.post("/activelearning/nothing", {}).status_code == 404


def test_nothing_about_a_patient_is_logged(server: Any) -> None:
    assert "GEHEIM" not in server.log()
    logs = "".join(path.read_text() for path in (server.app_dir / "logs").iterdir())
    assert "GEHEIM" not in logs and "case2" not in logs


def test_the_example_of_the_docs_drives_the_loop_by_monai_label_s_own_client(
    server: Any, folder: Folder, label_environment: Path, tmp_path: Path
) -> None:
    before = server.get("/info/").json()["datastore"]["completed"]
    script = REPOSITORY / "bundle" / "docs" / "monai_label_loop.py"
    words = [server.url, "--answers", folder.answers, "--count", 2, "--pictures", tmp_path]
    words += ["--train", json.dumps(QUICK)]
    command = [python_of(label_environment), script, *words]
    done = subprocess.run([str(w) for w in command], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.get("/info/").json()["datastore"]["completed"] == before + 2
    assert "score" in done.stdout and len(list(tmp_path.glob("*.png"))) == 3


def test_the_bundle_is_found_by_the_stock_monaibundle_app_from_a_folder(
    stock_server: Any, folder: Folder, tmp_path: Path
) -> None:
    info = stock_server.get("/info/").json()
    model = info["models"]["multimix_segmentation"]
    assert model["type"] == "segmentation" and model["dimension"] == 2
    answer = stock_server.infer("case0", model="multimix_segmentation", result_extension=".nii.gz")
    assert answer.ok, stock_server.log()[-4000:]
    path = tmp_path / "label.nii.gz"
    path.write_bytes(parts(answer)[1])
    mask = np.squeeze(nibabel.load(path).get_fdata())
    truth = read_mask(folder.answer("case0")) > 0
    assert mask.shape == truth.shape
    assert dice(mask > 0, truth) > 0.8


@pytest.fixture
def stock_server(
    label_server: Callable[..., Any], label_environment: Path, folder: Folder, tmp_path: Path
) -> Iterator[Any]:
    """MONAI Label's own app for bundles, with ours linked into it, as its documentation says."""
    app = tmp_path / "monaibundle"
    shutil.copytree(label_environment / "monailabel" / "sample-apps" / "monaibundle", app)
    (app / "model").mkdir(exist_ok=True)
    (app / "model" / "multimix_segmentation").symlink_to(REPOSITORY / "bundle")
    server = label_server("--studies", folder.studies, start=False, app_dir=app)
    words = ["-m", "monailabel.main", "start_server", "--app", app, "--studies", folder.studies]
    words += ["--host", "127.0.0.1", "--port", server.port, "--conf", "zoo_source", "local"]
    words += ["--conf", "models", "multimix_segmentation", "--conf", "sam2", "false"]
    # Whoever asks for anything but the loopback fails.
    offline = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    command = [str(word) for word in (python_of(label_environment), *words)]
    yield server.run(command, {**offline, "no_proxy": "127.0.0.1"})
    server.kill()


def test_real_radiographs_are_segmented(
    label_server: Callable[..., Any], shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    montgomery = shared_data("montgomery")
    studies = tmp_path / "studies"
    studies.mkdir()
    pictures = sorted((montgomery / "images").iterdir())[::30]
    for picture in pictures:
        (studies / picture.name).symlink_to(picture)
    server = label_server("--studies", studies)
    for picture in pictures:
        params, file = parts(server.infer(picture.stem, result_extension=".png"))
        truth = read_mask(montgomery / "masks" / picture.name)
        assert dice(np.asarray(Image.open(io.BytesIO(file))) > 0, truth > 0) > 0.9, params
    server.kill()


def test_no_other_page_of_a_browser_may_read_images_or_start_a_training(server: Any) -> None:
    import requests

    own = requests.get(f"{server.url}/info/", headers={"Origin": server.url}, timeout=60)
    assert own.ok and own.headers["Access-Control-Allow-Origin"] == server.url
    for headers in ({"Origin": "https://elsewhere.example"}, {"Host": "rebound.example:8000"}):
        answer = requests.get(f"{server.url}/info/", headers=headers, timeout=60)
        assert answer.status_code == 403 and "Access-Control-Allow-Origin" not in answer.headers
        sent = requests.post(f"{server.url}/train/multimix", headers=headers, timeout=60)
        assert sent.status_code == 403
    assert server.post("/reload").status_code == 404


def test_no_request_runs_code_or_reaches_other_files(
    server: Any, folder: Folder, tmp_path: Path
) -> None:
    import requests

    made = tmp_path / "made"
    code = f"$__import__('os').system('touch {made}')"
    (tmp_path / "sitecustomize.py").write_text(f"open({str(made)!r}, 'w')")
    assert server.post("/train/multimix", {"max_epochs": code, "bundle_path": str(tmp_path)}).ok
    assert server.finish()["status"] == "ERROR" and not made.exists()
    assert "a setting of a request" in server.progress()
    outside = tmp_path / "outside.png"
    grey(draw(1)).save(outside)
    for ask in (
        server.infer(str(outside)),
        server.infer("nobody", image=str(outside)),
        server.infer("README.md"),  # a file of the folder that the server was started in
        server.infer("nobody", sent=True),
    ):
        assert ask.status_code == 404, ask.text
    name = "pneumonia_probability"
    found, own = (parts(server.infer("case0", **p))[0] for p in ({"image": str(outside)}, {}))
    assert found[name] == own[name]
    assert server.post("/infer/wsi/multimix", {}, image=str(outside)).status_code == 404
    body = {"images": [str(outside)], "sent": True}
    assert server.post("/batch/infer/multimix", body).ok
    assert server.finish("batch")["status"] == "ERROR"
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../" * 20 + str(made)))
    sent = {"params": {"uncompress": True}, "files": {"files": (tmp_path / "evil.tar").open("rb")}}
    assert not requests.put(f"{server.url}/session/", timeout=60, **sent).ok and not made.exists()
    before = sorted(folder.studies.rglob("*"))
    for image, name in (("../new", "new.png"), ("datastore_v2", "new.json"), (".", "new.png")):
        assert upload_image(server, image, outside, name=name).status_code == 422
    assert server.save("case0", folder.answer("case0"), tag="../../final").status_code == 422
    assert sorted(folder.studies.rglob("*")) == before


def upload_image(server: Any, image: str, path: Path, *, name: str) -> Any:
    import requests

    with path.open("rb") as file:
        sent = {"params": {"image": image}, "files": {"file": (name, file)}}
        return requests.put(f"{server.url}/datastore/image", timeout=60, **sent)


def test_what_an_algorithm_found_is_not_saved_as_drawn_by_a_person(server: Any) -> None:
    before = server.get("/datastore/", output="all").json()
    found = server.infer("case4", save_label=True, label_tag="final")
    assert found.status_code == 422 and "a person" in found.json()["detail"]
    assert server.post("/batch/infer/multimix", {"label_tag": "final"}).ok
    assert server.finish("batch")["status"] == "ERROR"
    assert server.get("/datastore/", output="all").json() == before
