"""Benchmarks, number formats: the shipped network in fp32, bf16 and int8, and what each answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_static,
)
from sklearn.metrics import roc_auc_score
from torch import Tensor

from multimix_monai.apps.export import Form, export
from multimix_monai.data.images import read_mask
from multimix_monai.data.keys import Keys
from multimix_monai.engines.onnx_network import INPUT, OnnxNetwork

Predict = Callable[[Tensor], Tensor]
BATCH = 8


class Prepared(CalibrationDataReader):
    """Preprocessed images one by one, from which ranges of activations are taken."""

    def __init__(self, images: Tensor) -> None:
        self.images = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self.images, None)
        return None if image is None else {INPUT: image[None].numpy()}


def exported(folder: Path) -> Path:
    """The shipped network as ONNX, by `multimix export`."""
    path = folder / "network.onnx"
    export(path, to=Form.ONNX, settings={})
    return path


def with_own_classifier(path: Path) -> Path:
    """A file that can be quantised: it turns Gemm's weights, which the saliency reads unturned."""
    model = onnx.load(path)
    weights = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Gemm":
            copy = onnx.TensorProto()
            copy.CopyFrom(weights[node.input[1]])
            copy.name = node.input[1] = f"{copy.name}_of_{node.name}"
            model.graph.initializer.append(copy)
    separate = path.with_name("separate.onnx")
    onnx.save(model, separate)
    return separate


def in_int8(path: Path, *, images: Tensor) -> Path:
    """Its convolutions in int8, with ranges of activations from images."""
    quantised = path.with_name("int8.onnx")
    quantize_static(
        with_own_classifier(path),
        quantised,
        Prepared(images),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
    )
    return quantised


def by_onnxruntime(path: Path, *, threads: int) -> Predict:
    """Images to packed predictions, as `multimix predict --runtime onnx` runs them."""
    network = OnnxNetwork(path, num_threads=threads)
    return lambda images: torch.from_numpy(network(images.numpy()))


def stacked(cases: Sequence[dict[str, Any]]) -> Tensor:
    """Prepared images, (B, 1, S, S)."""
    return torch.stack([case[Keys.IMAGE].as_tensor() for case in cases])


@dataclass
class Answers:
    """Of one format on the cases in their order."""

    prob: NDArray[np.float64]  # of pneumonia
    masks: list[NDArray[np.uint8]]  # each on its image's own grid

    @classmethod
    def of(
        cls,
        predict: Predict,
        prepared: Sequence[dict[str, Any]],
        *,
        postprocessing: Callable[[dict], dict],
    ) -> Answers:
        """postprocessing: that undoes the very chain which prepared the cases."""
        results = []
        for start in range(0, len(prepared), BATCH):
            cases = prepared[start : start + BATCH]
            packed = predict(stacked(cases)).float()
            for case, answer in zip(cases, packed, strict=True):
                results.append(postprocessing({**case, Keys.PRED: answer}))
        return cls(
            np.array([float(result[Keys.RAW_PROBS][1]) for result in results]),
            [np.asarray(result[Keys.PRED][0]) for result in results],
        )

    def auc(self, cases: Sequence[dict]) -> float:
        """Over the cases with a label."""
        known = [n for n, case in enumerate(cases) if Keys.LABEL in case]
        return float(roc_auc_score([cases[n][Keys.LABEL] for n in known], self.prob[known]))

    def dice(self, cases: Sequence[dict]) -> float:
        """Mean over the cases with a mask."""
        pairs = zip(self.masks, cases, strict=True)
        known = [(mask, read_mask(case[Keys.MASK])) for mask, case in pairs if Keys.MASK in case]
        return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in known]))

    def changed_pixels(self, other: Answers) -> float:
        """Share of pixels, mean over the cases, that only one of both calls lung."""
        pairs = zip(self.masks, other.masks, strict=True)
        return float(np.mean([np.mean(a != b) for a, b in pairs]))
