"""Apps: the forms in which a network is exported, each with its settings, and how it runs there."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multimix_monai.apps.bundle_files import config_files
from multimix_monai.apps.export import Form
from multimix_monai.apps.exported_settings import exported_settings, metadata_of
from multimix_monai.apps.predict import parser_of
from multimix_monai.data.exported import FILE_NAME, ONNX_KEY, Exported, write_exported
from multimix_monai.networks.multimix import MultiMix

if TYPE_CHECKING:
    from onnx import ModelProto

METADATA, CONFIG = "metadata.json", "inference.json"  # names that MONAI reads in TorchScript
IN_CONFIG = ("image_size", "lung_threshold_prob", "keep_components")
MOST = 2**16  # of a program's batch, and of its height and width in the network's divisor
Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Contents:
    """What goes into the file.

    Attributes:
        network: in evaluation, on the CPU.
        exported: its settings.
        metadata: of the bundle.
        config: inference.json.
    """

    network: MultiMix
    exported: Exported
    metadata: dict[str, Any]
    config: dict[str, Any]

    def texts(self) -> dict[str, str]:
        """The files that lie in TorchScript and torch.export beside the network."""
        used = {name: getattr(self.exported, name) for name in IN_CONFIG}
        return {
            FILE_NAME: write_exported(self.exported),
            METADATA: json.dumps(self.metadata),
            CONFIG: json.dumps(self.config | used),
        }


def contents_of(settings: dict[str, Any]) -> Contents:
    """The bundle's network and all that goes with it.

    Args:
        settings: keys of inference.json to override.

    Raises:
        ValueError: the weights do not fit, or a setting is wrong.
    """
    parser = parser_of({"device": "cpu", **settings})
    exported = exported_settings(parser)
    return Contents(
        network=parser.get_parsed_content("network").eval(),
        exported=exported,
        metadata=metadata_of(parser),
        config=json.loads(Path(config_files("inference.json")[0]).read_text(encoding="utf-8")),
    )


def write(form: Form, contents: Contents, path: Path) -> None:
    """Write the network, free in batch, height and width.

    Raises:
        ImportError: the form needs a package that is missing.
    """
    {Form.ONNX: write_onnx, Form.TORCHSCRIPT: write_torchscript, Form.TORCH_EXPORT: write_program}[
        form
    ](contents, path)


def load(form: Form, path: Path) -> tuple[Run, str]:
    """Read a file back: the network, (B, C, H, W) -> (B, K, H, W), and the text of its settings."""
    return {
        Form.ONNX: load_onnx,
        Form.TORCHSCRIPT: load_torchscript,
        Form.TORCH_EXPORT: load_program,
    }[form](path)


def write_onnx(contents: Contents, path: Path) -> None:
    """ONNX; the settings are in metadata_props under ONNX_KEY."""
    from multimix_monai.networks.onnx_graph import onnx_model

    model = onnx_model(contents.network)
    sign(model, contents.exported)
    path.write_bytes(model.SerializeToString())


def sign(model: ModelProto, exported: Exported) -> None:
    """Say in the fields of the format itself what people look for there."""
    about = exported.about
    model.producer_name, model.producer_version = exported.created_by.split()
    model.doc_string = "\n".join(
        [
            f"{about['name']}: {about['description']}.",
            f"{about['intended_use']}.",
            f"{about['copyright']}. {about['licence']}.",
            *about["references"],
        ]
    )
    for value in (*model.graph.input, *model.graph.output):
        kind = "inputs" if value.name in exported.network_data_format["inputs"] else "outputs"
        value.doc_string = json.dumps(exported.network_data_format[kind][value.name])
    model.metadata_props.add(key=ONNX_KEY, value=write_exported(exported))


def load_onnx(path: Path) -> tuple[Run, str]:
    """In onnxruntime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            'the check of an ONNX file needs onnxruntime: pip install "multimix-monai[onnx]"'
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["pred"], {"image": images.numpy()})[0])

    return run, session.get_modelmeta().custom_metadata_map[ONNX_KEY]


def write_torchscript(contents: Contents, path: Path) -> None:
    """TorchScript as `monai.bundle ckpt_export` writes it, with the settings as a further file."""
    from monai.data import save_net_with_metadata
    from monai.networks.utils import convert_to_torchscript

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing says of checks of the image's size
        script = convert_to_torchscript(contents.network)
    texts = contents.texts()
    del texts[METADATA]
    save_net_with_metadata(
        script,
        str(path),
        meta_values=contents.metadata,
        more_extra_files={name: text.encode() for name, text in texts.items()},
    )


def load_torchscript(path: Path) -> tuple[Run, str]:
    """As MONAI reads it."""
    from monai.data import load_net_with_metadata

    script, _, files = load_net_with_metadata(str(path), more_extra_files=[FILE_NAME])
    return script, _text(files[FILE_NAME])


def write_program(contents: Contents, path: Path) -> None:
    """torch.export's program; height and width from 64 on."""
    network = contents.network
    side = 2 * network.divisor
    example = torch.zeros(2, network.in_channels, side, side + network.divisor)
    names = ("batch", "height", "width")
    batch, height, width = (torch.export.Dim(name, min=1, max=MOST) for name in names)
    shapes = {0: batch, 2: network.divisor * height, 3: network.divisor * width}
    # Strictly, torch 2.4 fails at a parameter that is used twice.
    program = torch.export.export(network, (example,), dynamic_shapes=(shapes,), strict=False)
    torch.export.save(program, path, extra_files=contents.texts())


def load_program(path: Path) -> tuple[Run, str]:
    """As torch reads it."""
    files = {FILE_NAME: ""}
    program = torch.export.load(path, extra_files=files)
    return program.module(), _text(files[FILE_NAME])


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()
