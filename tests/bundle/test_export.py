from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.bundle import ckpt_export

from multimix_monai.handlers.checkpoints import load_weights
from multimix_monai.networks import PackedMultiMix


@pytest.mark.slow
def test_the_exported_torchscript_equals_the_network_at_any_batch_and_size(
    bundle_copy: Path,
) -> None:
    ckpt_export(
        net_id="network_def",
        filepath=str(bundle_copy / "models" / "model.ts"),
        ckpt_file=str(bundle_copy / "models" / "model.pt"),
        meta_file=str(bundle_copy / "configs" / "metadata.json"),
        config_file=str(bundle_copy / "configs" / "inference.json"),
        bundle_root=str(bundle_copy),
    )
    eager = load_weights(PackedMultiMix(), bundle_copy / "models" / "model.pt").eval()
    exported = torch.jit.load(str(bundle_copy / "models" / "model.ts"))
    generator = torch.Generator().manual_seed(0)
    for shape in ((1, 1, 64, 96), (3, 1, 160, 128)):
        images = torch.rand(shape, generator=generator)
        with torch.inference_mode():
            expected, got = eager(images), exported(images)
        assert got.shape == (shape[0], 4, *shape[2:])
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
