"""The script in docs/deploy.md, where the SDK is: it is no dependency, and CI has no use for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multimix_monai.apps.bundle import own_bundle
from multimix_monai.apps.predict import predict


def documented_script() -> str:
    text = (Path(own_bundle()) / "docs" / "deploy.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return str(script)


def test_the_documented_script_is_python() -> None:
    compile(documented_script(), "deploy.py", "exec")


@pytest.mark.slow
def test_the_bundle_operator_gives_the_masks_of_predict(tiny_dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("monai.deploy", reason="needs pip install monai-deploy-app-sdk")
    (tmp_path / "deploy.py").write_text(documented_script(), encoding="utf-8")
    path = tiny_dataset / "dicom" / "dx_0001.dcm"
    words = [sys.executable, "deploy.py", str(path), "out"]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    case = {"image": str(path), "case": "dx"}
    (row,) = predict(
        {"dataset#data": [case], "output_dir": str(tmp_path / "predicted"), "num_workers": 0}
    )
    assert f"probability of pneumonia: {row['pneumonia_probability']:.6f}" in run.stdout
    masks = [Image.open(tmp_path / name) for name in ("out/mask.png", f"predicted/{row['mask']}")]
    assert np.array_equal(*map(np.asarray, masks))
