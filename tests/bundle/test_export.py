"""The exports of MONAI, by the very commands of the bundle's docs/README.md."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from multimix_monai.apps.export_check import difference
from multimix_monai.handlers.checkpoints import load_weights
from multimix_monai.networks import PackedMultiMix


def run_documented(verb: str, bundle: Path) -> Path:
    """Run `python -m monai.bundle VERB ...` in a bundle's folder; the file that it wrote."""
    text = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^python (-m monai\.bundle {verb} .*)$", text, flags=re.MULTILINE)
    words = shlex.split(line)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        cwd=bundle,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return bundle / words[words.index("--filepath") + 1]


def assert_alike(
    run: Callable[[Tensor], Tensor], bundle: Path, *shapes: tuple[int, ...], allowed: float = 1e-4
) -> None:
    """What an export gives is what the network gives, in double precision."""
    network = load_weights(PackedMultiMix(), bundle / "models" / "model.pt").double().eval()
    generator = torch.Generator().manual_seed(0)
    for shape in shapes:
        images = torch.rand(shape, generator=generator)
        with torch.no_grad():
            got, expected = run(images), network(images.double())
        assert got.shape == (shape[0], 4, *shape[2:])
        found = difference(got, expected, mask_channels=1, threshold_prob=0.5)
        assert max(found.mask_logits, found.class_logits) < allowed
        assert found.saliency < 10 * allowed


@pytest.mark.slow
def test_the_exported_torchscript_equals_the_network_at_any_batch_and_size(
    bundle_copy: Path,
) -> None:
    exported = torch.jit.load(str(run_documented("ckpt_export", bundle_copy)))
    assert_alike(exported, bundle_copy, (1, 1, 64, 96), (3, 1, 160, 128))


@pytest.mark.slow
def test_the_exported_onnx_equals_the_network_at_any_batch_and_size(bundle_copy: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if torch.__version__ < (2, 9):
        pytest.skip("before 2.9 PyTorch's exporter does not know every operation of the network")
    session = onnxruntime.InferenceSession(run_documented("onnx_export", bundle_copy))

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["pred"], {"image": images.numpy()})[0])

    assert_alike(run, bundle_copy, (1, 1, 64, 96), (3, 1, 160, 128))


@pytest.mark.slow
@pytest.mark.gpu
def test_the_exported_tensorrt_equals_the_network_at_any_batch(bundle_copy: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip("torch_tensorrt", reason="needs pip install torch_tensorrt")
    exported = torch.jit.load(str(run_documented("trt_export", bundle_copy)))

    def run(images: Tensor) -> Tensor:
        return exported(images.cuda()).cpu()

    # TF32 is on in TensorRT: 10 bits of mantissa.
    assert_alike(run, bundle_copy, (1, 1, 160, 160), (8, 1, 160, 160), allowed=2e-2)
