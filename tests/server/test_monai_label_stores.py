"""The app by MONAI Label's own code without a server: `make test-server`."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from multimix_monai.apps.label_environment import python_of

pytestmark = pytest.mark.server
REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("label_stores.py")
NAMES = re.findall(r"^    (\w+),$", SCRIPT.read_text().partition("CHECKS = (")[2], re.MULTILINE)


@pytest.fixture(scope="module")
def faults(label_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What failed, by check."""
    words = (python_of(label_environment), SCRIPT, tmp_path_factory.mktemp("stores"))
    command = [str(word) for word in words]
    variables = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_of_the_datastores(name: str, faults: dict[str, str]) -> None:
    assert faults[name] == ""
