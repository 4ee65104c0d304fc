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
    quantize_dynamic,
    quantize_static,
)
from sklearn.metrics import roc_auc_score
from torch import Tensor

from multimix_monai.apps.export import Form, export
from multimix_monai.data.images import read_mask
from multimix_monai.data.keys import Keys
from multimix_monai.engines.onnx_network import INPUT, OnnxNetwork
from multimix_monai.metrics import mask_metrics

Predict = Callable[[Tensor], Tensor]


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


def in_int8(path: Path, *, images: Tensor | None) -> Path:
    """Its convolutions in int8, with ranges from images, or if None found anew for each input."""
    source = with_own_classifier(path)
    quantised = path.with_name(f"{'dynamic' if images is None else 'static'}.onnx")
    if images is None:
        quantize_dynamic(source, quantised, op_types_to_quantize=["Conv"])
    else:
        quantize_static(
            source,
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
        for case in prepared:
            packed = predict(case[Keys.IMAGE].as_tensor()[None])[0].float()
            results.append(postprocessing({**case, Keys.PRED: packed}))
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
        known = [(mask, case[Keys.MASK]) for mask, case in pairs if Keys.MASK in case]
        scores = [mask_metrics(mask, read_mask(truth))["dice"] for mask, truth in known]
        return float(np.mean(scores))

    def changed_pixels(self, other: Answers) -> float:
        """Share of pixels, mean over the cases, that only one of both calls lung."""
        pairs = zip(self.masks, other.masks, strict=True)
        return float(np.mean([np.mean(a != b) for a, b in pairs]))
