"""A version as an ONNX model, built from its plan without torch. It needs the package onnx, which an extra brings.

The graph takes `points`, float64 (N, D), in data units. It subtracts the offset of the input transform in float64, as
`models.networks` does, because float32 cannot distinguish values such as 1700000030 from their neighbors. Everything
after the input transform is float32. It returns `labels` (N,), the classes themselves as int64 or string, and
`probabilities`, float32 (N, K). Weights are initializers with the names and shapes of the state dict. The networks of
an ensemble are parallel branches after the input transform, and the probabilities are the mean of theirs.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import orjson

from models.datasets import Array, Label
from models.exports.exported import DESCRIPTION_KEY, Exported
from models.networks.derived import Derived
from models.networks.layouts import LayerLayout, Layout
from models.networks.plans import Dense, Plan
from models.networks.terms import Function, Term
from models.networks.transforms import Shift
from models.specs import Activation, InvalidInput

OPSET = 17
"""The operator set of 2022, so that runtimes of the last years accept the file."""

IR_VERSION = 8
"""The IR version of the first release of onnx with `OPSET`, so that runtimes of that time accept the file."""

NEEDS_ONNX = "must be another one, because onnx is not installed here: pip install 'separatrix[onnx]'"


def encode(exported: Exported) -> bytes:
    """The model, as protobuf.

    Raises:
        InvalidInput: the package onnx is not installed.
    """
    try:
        helper: Any = importlib.import_module("onnx").helper
    except ImportError:
        raise InvalidInput("format", NEEDS_ONNX) from None
    graph = _Graph(helper)
    _labels(graph, _mean(graph, exported, _inputs(graph, exported)), exported.card.classes)
    return graph.model(exported)


class _Graph:
    """Nodes and constants in the order in which they are added; `helper` is `onnx.helper`."""

    def __init__(self, helper: Any) -> None:
        self._helper = helper
        self._kinds = helper.TensorProto
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    @property
    def float32(self) -> int:
        """The number of the type, for casts."""
        kind: int = self._kinds.FLOAT
        return kind

    def add(self, operator: str, *inputs: str, output: str, **attributes: float) -> str:
        """Adds a node. Returns the name of its only output, which is also the name of the node."""
        self._nodes.append(self._helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: Array) -> str:
        """Adds a constant. Returns its name."""
        kind = self._helper.np_dtype_to_tensor_dtype(values.dtype)
        self._constants[name] = self._helper.make_tensor(name, kind, values.shape, values.tobytes(), raw=True)
        return name

    def number(self, value: float) -> str:
        """Adds a float32 constant without axes, once. Returns its name."""
        return self.constant(f"constant.{value}", np.array(value, np.float32))

    def classes(self, classes: Sequence[Label]) -> str:
        """Adds the classes. Returns their name."""
        if self._kind_of(classes) == self._kinds.INT64:
            return self.constant("classes", np.array(classes, np.int64))
        texts = [str(label).encode() for label in classes]
        self._constants["classes"] = self._helper.make_tensor("classes", self._kinds.STRING, [len(texts)], texts)
        return "classes"

    def _kind_of(self, classes: Sequence[Label]) -> int:
        kind: int = self._kinds.INT64 if isinstance(classes[0], int) else self._kinds.STRING
        return kind

    def model(self, exported: Exported) -> bytes:
        """The complete model."""
        helper, classes = self._helper, exported.card.classes
        graph = helper.make_graph(
            self._nodes,
            exported.model,
            [helper.make_tensor_value_info("points", self._kinds.DOUBLE, ["N", exported.card.features])],
            [
                helper.make_tensor_value_info("labels", self._kind_of(classes), ["N"]),
                helper.make_tensor_value_info("probabilities", self._kinds.FLOAT, ["N", len(classes)]),
            ],
            [*self._constants.values()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="separatrix",
            producer_version=version("separatrix"),
            model_version=exported.version,
        )
        helper.set_model_props(model, {DESCRIPTION_KEY: orjson.dumps(exported.description()).decode()})
        content: bytes = model.SerializeToString()
        return content


def _inputs(graph: _Graph, exported: Exported) -> str:
    """Adds the input transform: from `points` to the inputs of the first layer, float32 (N, I)."""
    transform, values = exported.plan.transform, "points"
    if isinstance(transform, Shift | Derived):
        values = graph.add("Sub", values, graph.constant("offset", np.array(transform.offset)), output="centered")
    if isinstance(transform, Derived):
        values = graph.add("Div", values, graph.constant("divisor", np.array(transform.divisor)), output="scaled")
        values = _terms(graph, transform.terms, values)
    return graph.add("Cast", values, output="inputs", to=graph.float32)


def _terms(graph: _Graph, terms: Sequence[Term], scaled: str) -> str:
    """Adds the derived inputs, float64 (N, I): the terms of each form together, then all of them in their order."""
    forms: dict[tuple[Function, int], list[int]] = {}
    for i, term in enumerate(terms):
        forms.setdefault((term.function, len(term.of)), []).append(i)
    parts = []
    for (function, coordinates), chosen in forms.items():
        form = {"product": "square_or_product" if coordinates == 2 else "coordinate"}.get(function, function)
        columns = [
            graph.add(
                "Gather",
                scaled,
                graph.constant(f"{form}_of_{c}", np.array([terms[i].of[c] for i in chosen])),
                output=f"{form}_{c}",
                axis=1,
            )
            for c in range(coordinates)
        ]
        operator = {"product": "Mul", "sin": "Sin", "cos": "Cos"}[function]
        parts.append(columns[0] if form == "coordinate" else graph.add(operator, *columns, output=f"{form}_terms"))
    grouped = graph.add("Concat", *parts, output="grouped_terms", axis=1)
    order = np.argsort([i for chosen in forms.values() for i in chosen])
    return graph.add("Gather", grouped, graph.constant("order_of_terms", order), output="terms", axis=1)


def _mean(graph: _Graph, exported: Exported, inputs: str) -> str:
    """Adds the networks: from the inputs to the probabilities, float32 (N, K), the mean over the networks."""
    each = [
        _probabilities(graph, _logits(graph, exported.layout, plan, prefix, inputs), plan.outputs, prefix)
        for prefix, plan in zip(exported.prefixes, exported.members, strict=True)
    ]
    return graph.add("Mean", *each, output="probabilities") if len(each) > 1 else each[0]


def _logits(graph: _Graph, layout: Layout, plan: Plan, prefix: str, inputs: str) -> str:
    """Adds the layers of a network: from the inputs to the logits, float32 (N, O). All names begin with `prefix`."""
    values = inputs
    for where, layer in zip(layout.stack, plan.layers, strict=True):
        values = _dense(graph, where, layer, prefix, values)
        values = _ACTIVATIONS[layer.activation](graph, values)
    if layout.skip and plan.skip:
        skip = _dense(graph, layout.skip, plan.skip, prefix, inputs)
        values = graph.add("Add", values, skip, output=f"{prefix}sum")
    return values


def _dense(graph: _Graph, where: LayerLayout, layer: Dense, prefix: str, values: str) -> str:
    """Adds a linear layer. Its weight has the key and the shape that it has in the state dict."""
    weight = layer.weight_OI.T if where.input_major else layer.weight_OI
    return graph.add(
        "Gemm",
        values,
        graph.constant(prefix + where.weight, weight),
        graph.constant(prefix + where.bias, layer.bias_O1[:, 0]),
        output=f"{prefix}linear.{where.name}",
        transB=0 if where.input_major else 1,
    )


def _probabilities(graph: _Graph, logits: str, outputs: int, prefix: str) -> str:
    """Adds the probabilities, as `models.inference.numpy_forward` computes them, so that small ones keep their digits.

    For one logit these are 1 / (1 + e^z) and 1 / (1 + e^-z). Where the exponential overflows, they are 0.
    """
    if outputs > 1:
        return graph.add("Softmax", logits, output=f"{prefix}probabilities", axis=1)
    negative = graph.add("Neg", logits, output=f"{prefix}minus_logit")
    both = graph.add("Concat", logits, negative, output=f"{prefix}exponents", axis=1)
    exponentials = graph.add("Exp", both, output=f"{prefix}exponentials")
    above = graph.add("Add", exponentials, graph.number(1.0), output=f"{prefix}one_and_more")
    return graph.add("Reciprocal", above, output=f"{prefix}probabilities")


def _labels(graph: _Graph, probabilities: str, classes: Sequence[Label]) -> None:
    """Adds the labels: the most probable class, the first of equals."""
    best = graph.add("ArgMax", probabilities, output="best", axis=1, keepdims=0, select_last_index=0)
    graph.add("Gather", graph.classes(classes), best, output="labels", axis=0)


def _one_node(operator: str, **attributes: float) -> Callable[[_Graph, str], str]:
    return lambda graph, z: graph.add(operator, z, output=f"{z}.{operator.lower()}", **attributes)


def _silu(graph: _Graph, z: str) -> str:
    return graph.add("Mul", z, graph.add("Sigmoid", z, output=f"{z}.gate"), output=f"{z}.silu")


def _gelu(graph: _Graph, z: str) -> str:
    """The tanh form, operation by operation: the operator Gelu is of opset 20."""
    square = graph.add("Mul", z, z, output=f"{z}.square")
    cube = graph.add("Mul", square, z, output=f"{z}.cube")
    bent = graph.add("Mul", cube, graph.number(0.044715), output=f"{z}.bent")
    whole = graph.add("Add", z, bent, output=f"{z}.whole")
    scaled = graph.add("Mul", whole, graph.number(math.sqrt(2 / math.pi)), output=f"{z}.scaled")
    gate = graph.add("Add", graph.add("Tanh", scaled, output=f"{z}.tanh"), graph.number(1.0), output=f"{z}.gate")
    half = graph.add("Mul", z, graph.number(0.5), output=f"{z}.half")
    return graph.add("Mul", half, gate, output=f"{z}.gelu")


_ACTIVATIONS: dict[Activation, Callable[[_Graph, str], str]] = {
    "relu": _one_node("Relu"),
    "leaky_relu": _one_node("LeakyRelu", alpha=0.01),
    "elu": _one_node("Elu", alpha=1.0),
    "silu": _silu,
    "gelu": _gelu,
    "softplus": _one_node("Softplus"),
    "tanh": _one_node("Tanh"),
    "sigmoid": _one_node("Sigmoid"),
    "identity": lambda graph, z: z,
}
