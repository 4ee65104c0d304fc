"""Network, for other runtimes: nodes and constants of an ONNX graph, one call a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OPSET = 18  # the first in which reductions take their axes as an input
IR_VERSION = 9  # what every onnxruntime reads that has this opset
Constant = float | Sequence[float] | Tensor


class Nodes:
    """Grows a graph: `op("Mul", x, 0.2)` adds a node and gives the name of its output.

    Raises:
        ImportError: onnx is not installed.

    Example:
        >>> op = Nodes()
        >>> op("Add", "image", op("Mul", "image", 0.2))
        'Add_2'
    """

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError as error:
            raise ImportError('ONNX needs onnx: pip install "multimix-monai[onnx]"') from error
        self.onnx = onnx
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def __call__(self, operator: str, *inputs: str | Constant, **attributes: Any) -> str:
        """Add a node with one output.

        Args:
            operator: of ONNX.
            *inputs: outputs of other nodes, or what becomes a constant: float32, but int64 of ints.
            **attributes: of the operator.
        """
        name = f"{operator}_{len(self.nodes) + 1}"
        return self.named([name], operator, *inputs, **attributes)[0]

    def named(
        self, outputs: list[str], operator: str, *inputs: str | Constant, **attributes: Any
    ) -> list[str]:
        """The same with these outputs."""
        given = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        node = self.onnx.helper.make_node(operator, given, outputs, name=outputs[0], **attributes)
        self.nodes.append(node)
        return outputs

    def constant(self, value: Constant) -> str:
        """Name of a constant; small ones are kept once."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"c{len(self.constants)}" if array.size > 8 else str(array.tolist())
        self.constants[name] = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def model(self, name: str, *, image: tuple[str, int], pred: tuple[str, int]) -> ModelProto:
        """The whole, checked, free in batch, height and width.

        Args:
            name: of the graph.
            image: input and its channels.
            pred: output, of some node, and its channels.
        """
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        values = [
            helper.make_tensor_value_info(value, kind, ["batch", channels, "height", "width"])
            for value, channels in (image, pred)
        ]
        graph = helper.make_graph(
            self.nodes, name, values[:1], values[1:], list(self.constants.values())
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        self.onnx.checker.check_model(model, full_check=True)
        return model
