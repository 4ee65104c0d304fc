"""A real PACS for the tests: Orthanc with its DICOMweb plug-in, on loopback, in an own folder."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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
