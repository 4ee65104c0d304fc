"""Engines: an exported network, run by onnxruntime, without torch."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimix_monai.data.exported import ONNX_KEY, Exported, read_exported
from multimix_monai.engines.workers import cores_here

INPUT, OUTPUT = "image", "pred"
REMEDY = "write one with `multimix export model.onnx --to onnx`"


class OnnxNetwork:
    """Images in, packed predictions out, on the CPU: each core takes the next image.

    So nothing waits for the slowest core after every layer, which costs much where other processes
    use the cores too, and no result hangs on the size of the batch.

    Args:
        path: of a file that `multimix export --to onnx` wrote.
        num_threads: how many images at a time; None takes OMP_NUM_THREADS, or else all cores.

    Raises:
        ImportError: onnxruntime is not installed.
        ValueError: there is no such file, or it is no network that was exported so.
    """

    def __init__(self, path: str | Path, *, num_threads: int | None = None) -> None:
        if not Path(path).is_file():
            raise ValueError(f"exported network {path} does not exist: {REMEDY}")
        self.session = _session(path)
        self.threads = ThreadPoolExecutor(num_threads or _threads(), thread_name_prefix="infer")
        stored = self.session.get_modelmeta().custom_metadata_map
        if ONNX_KEY not in stored:
            raise ValueError(f"{path} is an ONNX network, but none of multimix: {REMEDY}")
        try:
            self.exported: Exported = read_exported(stored[ONNX_KEY])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """images: (B, 1, S, S) in [0, 1] -> (B, mask + 1 + classes, S, S), see `arrays.output`."""
        return np.concatenate(list(self.threads.map(self._one, images)))

    def _one(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, S, S) -> (1, mask + 1 + classes, S, S)."""
        packed: NDArray[np.float32]
        (packed,) = self.session.run([OUTPUT], {INPUT: np.ascontiguousarray(image[None])})
        return packed


def _threads() -> int:
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else cores_here()


def _session(path: str | Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "the runtime onnx needs onnxruntime: pip install onnxruntime, which is in "
            '"multimix-monai[onnx-runtime]"'
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no common base
        raise ValueError(
            f"{path} cannot be run as an ONNX network ({type(error).__name__}): {REMEDY}"
        ) from error
