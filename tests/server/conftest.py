"""Real servers for the tests, on loopback: Orthanc with its DICOMweb plug-in, and MONAI Label."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dicomweb_client", reason='needs pip install "multimix-monai[dicom]"')

import pydicom
import requests

from multimix_monai.dicom.web import DicomWeb

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
USER, PASSWORD = "reader", "s3cret-of-the-tests"


class Orthanc:
    """An Orthanc that can be killed and started again with what it had stored."""

    user, password = USER, PASSWORD

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/dicom-web"
        self.web = DicomWeb(self.url, auth=(USER, PASSWORD), timeout_s=10, patience_s=0)
        self.process: subprocess.Popen[bytes] | None = None
        config = {
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "HttpPort": self.port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "Plugins": [PLUGIN],
            "DicomWeb": {"Enable": True},
        }
        (folder / "orthanc.json").write_text(json.dumps(config))

    def start(self) -> None:
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["Orthanc", "orthanc.json"], cwd=self.folder, stdout=log, stderr=log
            )
        end = time.monotonic() + 20
        while not self.web.is_there():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.folder / "orthanc.log").read_text())
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def get(self, path: str) -> requests.Response:
        """Of Orthanc's own interface, or of DICOMweb below dicom-web/."""
        url = f"http://127.0.0.1:{self.port}/{path}"
        return requests.get(url, auth=(USER, PASSWORD), timeout=10)

    def count(self) -> int:
        """Instances stored."""
        return int(self.get("statistics").json()["CountInstances"])

    def put(self, *paths: Path) -> None:
        for path in paths:
            dataset = pydicom.dcmread(path)
            assert self.web.store(dataset.StudyInstanceUID, [path]) == []

    def empty(self) -> None:
        for study in self.get("studies").json():
            url = f"http://127.0.0.1:{self.port}/studies/{study}"
            requests.delete(url, auth=(USER, PASSWORD), timeout=10).raise_for_status()

    def instances(self, study_uid: str) -> dict[str, pydicom.Dataset]:
        """All instances of a study by modality and, for secondary captures, series number."""
        found = {}
        for reference in self.web.images(study_uid, modalities=["DX", "SEG", "SR", "OT"]):
            path = self.folder / "retrieved.dcm"
            self.web.retrieve(reference, path)
            dataset = pydicom.dcmread(path)
            dataset.decode()
            found[f"{dataset.Modality}{dataset.SeriesNumber}"] = dataset
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def orthanc_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    if not shutil.which("Orthanc") or not Path(PLUGIN).is_file():
        pytest.skip(
            "no PACS to test with: apt-get install --no-install-recommends orthanc orthanc-dicomweb"
        )
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def orthanc(orthanc_process: Orthanc) -> Orthanc:
    """The PACS, running and empty."""
    if orthanc_process.process is None or orthanc_process.process.poll() is not None:
        orthanc_process.start()
    orthanc_process.empty()
    return orthanc_process


@pytest.fixture(scope="session")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], list[Path]]:
    """Synthetic frontal DX files of one patient each, with a name to look for in logs."""
    from multimix_monai.data.images import Radiograph
    from multimix_monai.data.synthetic import draw_radiograph
    from multimix_monai.dicom.dx import write_dx

    folder = tmp_path_factory.mktemp("radiographs")

    def draw(count: int) -> list[Path]:
        paths = [folder / f"{number}.dcm" for number in range(count)]
        for number, path in enumerate(paths):
            if not path.exists():
                drawn = draw_radiograph(seed=number, pneumonia=number % 2 == 1, size=(256, 224))
                write_dx(
                    path,
                    Radiograph(pixels=drawn.pixels, spacing_mm=drawn.spacing_mm),
                    patient_name=f"GEHEIM^NAME {number}",
                    patient_id=f"GEHEIM-{number}",
                    seed=number,
                )
        return paths

    return draw


class LabelServer:
    """`multimix label` in a process of its own, with what clients of MONAI Label ask of it."""

    def __init__(self, app_dir: Path, *words: object, environment: Path) -> None:
        self.app_dir = app_dir
        self.environment = environment
        self.words = [str(word) for word in words]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> LabelServer:
        self.app_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "multimix_monai.apps.cli", "label", *self.words]
        command += ["--app-dir", str(self.app_dir), "--port", str(self.port)]
        return self.run([*command, "--environment", str(self.environment)], {})

    def run(self, command: list[str], variables: dict[str, str]) -> LabelServer:
        variables = os.environ | {"OMP_NUM_THREADS": "1"} | variables
        with (self.app_dir / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=variables)
        self.wait(self.answers)
        return self

    def answers(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise RuntimeError(self.log())
        try:
            return self.get("/info/").ok
        except requests.ConnectionError:
            return False

    def log(self) -> str:
        return (self.app_dir / "server.log").read_text()

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """SIGTERM, as a service manager."""
        if self.process:
            self.process.terminate()
            self.process.wait(60)

    def wait(self, condition: Callable[[], bool], *, seconds: float = 600) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(self.log()[-4000:])
            time.sleep(0.1)

    def get(self, path: str, **query: object) -> requests.Response:
        return requests.get(self.url + path, params=query, timeout=60)  # type: ignore[arg-type]

    def post(self, path: str, body: object = None, **query: object) -> requests.Response:
        return requests.post(self.url + path, json=body, params=query, timeout=120)  # type: ignore[arg-type]

    def infer(
        self, image: str, /, *, model: str = "multimix", output: str = "", **params: object
    ) -> requests.Response:
        query = {"image": image} | ({"output": output} if output else {})
        data = {"params": json.dumps(params)}
        url = f"{self.url}/infer/{model}"
        return requests.post(url, params=query, data=data, timeout=120)

    def save(self, image: str, label: Path, *, tag: str = "final", **info: object) -> Any:
        with label.open("rb") as file:
            return requests.put(
                f"{self.url}/datastore/label",
                params={"image": image, "tag": tag},
                data={"params": json.dumps(info)},
                files={"label": (label.name, file)},
                timeout=120,
            )

    def task(self, kind: str = "train") -> dict[str, Any]:
        """The last task of a kind; its status is SUBMITTED, RUNNING, DONE, ERROR or STOPPED."""
        answer = self.get(f"/{kind}/" if kind != "batch" else "/batch/infer")
        return answer.json() if answer.ok else {"status": None}

    def finish(self, kind: str = "train") -> dict[str, Any]:
        self.wait(lambda: self.task(kind)["status"] not in ("SUBMITTED", "RUNNING"))
        return self.task(kind)

    def progress(self) -> str:
        """Last lines of the server's log, as it tells them itself."""
        return self.get("/logs/", text=True, lines=1000).text

    def outcome(self) -> dict[str, Any]:
        return self.get("/info/").json()["train_stats"]["multimix"]


@pytest.fixture(scope="session")
def label_environment() -> Path:
    from multimix_monai.apps.label_environment import is_ready

    root = Path(__file__).resolve().parents[2]
    path = Path(os.environ.get("MULTIMIX_LABEL_ENVIRONMENT", root / ".venv-label"))
    if not is_ready(path):
        pytest.skip("no MONAI Label to test with: bash tests/server/install_monai_label.sh")
    return path


@pytest.fixture(scope="module")
def label_server(
    label_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., LabelServer]]:
    """Starts servers: (words of `multimix label`, maybe an app_dir) -> a server that answers."""
    servers: list[LabelServer] = []

    def start_one(*words: object, app_dir: Path | None = None, start: bool = True) -> LabelServer:
        folder = app_dir or tmp_path_factory.mktemp("label")
        servers.append(LabelServer(folder, *words, environment=label_environment))
        return servers[-1].start() if start else servers[-1]

    yield start_one
    for server in servers:
        server.kill()
