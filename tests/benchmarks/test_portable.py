"""What runs a prediction fastest: PyTorch as it is, compiled, or one of the exported forms."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from multimix_monai.apps.export import SUFFIXES, Form
from multimix_monai.apps.export_formats import Contents, contents_of, load, write
from multimix_monai.engines.onnx_network import OnnxNetwork
from tests.benchmarks.conftest import Effort
from tests.benchmarks.ours import Predict
from tests.benchmarks.report import keep_figures
from tests.benchmarks.timing import race
from tests.benchmarks.work import Ceilings, inference_cost

EAGER = "PyTorch eager"
AIM = 0.5
IMAGES = {"one image": 1, "8 images": 8}


@pytest.fixture(scope="module")
def contents() -> Contents:
    pytest.importorskip("onnxruntime")
    return contents_of({})


@pytest.fixture(scope="module")
def files(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> dict[Form, Path]:
    folder = tmp_path_factory.mktemp("exported")
    paths = {form: folder / f"network{SUFFIXES[form]}" for form in Form}
    for form, path in paths.items():
        write(form, contents, path)
    return paths


def without_graph(network: Predict) -> Predict:
    """A network of PyTorch's, as it is run in inference."""

    def predict(images: Tensor) -> Tensor:
        with torch.no_grad():  # frozen weights are not known in inference_mode
            return network(images)

    return predict


def compiled(contents: Contents, *, freezing: bool) -> Predict:
    """By torch.compile, with weights as constants if frozen."""
    return without_graph(torch.compile(contents.network, options={"freezing": freezing}))


def scripted(path: Path, *, optimised: bool) -> Predict:
    """TorchScript."""
    script = torch.jit.load(str(path)).eval()
    if optimised:
        script = torch.jit.optimize_for_inference(torch.jit.freeze(script))
    return without_graph(script)


def by_image(path: Path) -> Predict:
    """onnxruntime as `multimix predict --runtime onnx` runs it: each thread takes an image."""
    network = OnnxNetwork(path, num_threads=torch.get_num_threads())
    return lambda images: torch.from_numpy(network(images.numpy()))


@pytest.mark.parametrize("number", IMAGES)
def test_exported_and_compiled_against_eager(
    effort: Effort, contents: Contents, files: dict[Form, Path], number: str
) -> None:
    images = torch.rand(IMAGES[number], 1, effort.size, effort.size)
    ways: dict[str, Predict] = {
        EAGER: without_graph(contents.network),
        "torch.compile": compiled(contents, freezing=False),
        "torch.compile, frozen": compiled(contents, freezing=True),
        "torch.export": without_graph(load(Form.TORCH_EXPORT, files[Form.TORCH_EXPORT])[0]),
        "TorchScript": scripted(files[Form.TORCHSCRIPT], optimised=False),
        "TorchScript, optimised": scripted(files[Form.TORCHSCRIPT], optimised=True),
        "onnxruntime": load(Form.ONNX, files[Form.ONNX])[0],
        "onnxruntime, an image a thread": by_image(files[Form.ONNX]),
    }
    results = race(
        f"inference, {number}, {effort.size} px",
        {name: (lambda predict=predict: predict(images)) for name, predict in ways.items()},
        versus={(name, EAGER): AIM for name in ways if name != EAGER},
        pairs=3 * effort.pairs,
    )
    assert results["onnxruntime", EAGER].ratio > 0


def test_convolutions_are_most_of_what_onnxruntime_does(
    effort: Effort, files: dict[Form, Path], tmp_path: Path
) -> None:
    images = torch.rand(1, 1, effort.size, effort.size)
    seconds = seconds_by_operator(files[Form.ONNX], images, folder=tmp_path, runs=effort.pairs + 2)
    whole = sum(seconds.values())
    ceilings = Ceilings.measured(torch.float32, quick=effort.quick)
    keep_figures(
        f"onnxruntime by operator, one image, {effort.size} px",
        whole_s=whole,
        convolutions_s=seconds["Conv"],
        share_of_convolutions=seconds["Conv"] / whole,
        floor_by_multiplications_s=inference_cost(effort.size).multiply_adds
        / ceilings.multiply_adds_a_second,
    )
    assert seconds["Conv"] == max(seconds.values())


def seconds_by_operator(path: Path, images: Tensor, *, folder: Path, runs: int) -> dict[str, float]:
    """Operator -> seconds in one run, the sum of its nodes' medians."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for _ in range(runs):
        session.run(None, {"image": images.numpy()})
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"], event["name"]].append(event["dur"] / 1e6)
    seconds: dict[str, float] = defaultdict(float)
    for (operator, _), durations in times.items():
        seconds[operator] += statistics.median(durations)
    return seconds
