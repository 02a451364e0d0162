"""Inference by the compiled kernel.

Importing this module loads numba: half a second and some 60 MiB.
"""

from dataclasses import replace

import numpy as np

from models import interruption
from models.datasets import DoubleArray, FloatArray, IntArray, PointArray
from models.inference import numpy_forward
from models.kernel import inference, structures
from models.kernel.buffers import SMALLEST, net_of, workspace_for
from models.networks.derived import Derived
from models.networks.plans import Plan
from models.networks.terms import Term
from models.specs import InvalidInput, ResponseKind

_RESPONSES: dict[ResponseKind, int] = {
    "logit": structures.LOGIT,
    "probability": structures.PROBABILITY,
    "label": structures.LABEL,
    "entropy": structures.ENTROPY,
}

BLOCK_VALUES = 2**23
"""Inputs that are held at a time: 32 MiB. Derived inputs may be many more numbers than the points themselves."""


def probabilities(plan: Plan, xy_ND: PointArray) -> FloatArray:
    """Class probabilities of points (N, D): float32 (N, K).

    Raises:
        InvalidInput: the output for a point overflows float32.
    """
    net = net_of(plan)
    prob_NK = np.empty((len(xy_ND), plan.classes), np.float32)
    workspace = workspace_for(net, len(xy_ND), for_training=False)
    step = interruption.block_of(max(1, BLOCK_VALUES // plan.inputs), plan.parameters.size)
    for start in range(0, len(xy_ND), step):
        interruption.check()
        block = slice(start, start + step)
        input_NI = plan.transform.points(xy_ND[block]).view()
        input_NI.flags.writeable = False  # like a request body: for other arrays numba compiles again, for 7 s
        if not inference.probabilities(net, input_NI, workspace, prob_NK[block]):
            numpy_forward.logits(plan, xy_ND)  # names the point
            raise InvalidInput("points", numpy_forward.OVERFLOWS)  # only float32 rounding decides
    return prob_NK


def responses(
    plan: Plan,
    x_W: DoubleArray,
    y_H: DoubleArray,
    *,
    response: ResponseKind,
    class_index: int,
    output_OHW: FloatArray | None = None,
) -> FloatArray | IntArray:
    """See `models.inference.dispatch.responses`."""
    values_HW = np.empty((len(y_H), len(x_W)), np.float32)
    output_OHW = _NO_OUTPUTS if output_OHW is None else output_OHW
    _grid(plan, x_W, y_H, _RESPONSES[response], class_index, values_HW, output_OHW)
    return values_HW.astype(np.int64) if response == "label" else values_HW


def outputs(plan: Plan, x_W: DoubleArray, y_H: DoubleArray) -> FloatArray:
    """See `models.inference.dispatch.outputs`."""
    output_OHW = np.empty((plan.widths[-1], len(y_H), len(x_W)), np.float32)
    _grid(plan, x_W, y_H, structures.LOGIT, 0, _NO_VALUES, output_OHW)
    return output_OHW


_NO_VALUES, _NO_OUTPUTS = np.empty((0, 0), np.float32), np.empty((0, 0, 0), np.float32)


def _grid(
    plan: Plan,
    x_W: DoubleArray,
    y_H: DoubleArray,
    response: int,
    class_index: int,
    values_HW: FloatArray,
    output_OHW: FloatArray,
) -> None:
    net = net_of(plan)
    transform = plan.transform
    if isinstance(transform, Derived):
        finite = _grid_of_points(net, transform, x_W, y_H, response, class_index, values_HW, output_OHW)
    else:
        workspace = workspace_for(net, len(x_W), for_training=False)
        x_inputs_W, y_inputs_H = transform.axes(x_W, y_H)
        step = interruption.block_of(len(y_H), len(x_W) * plan.parameters.size)
        finite = True
        for first in range(0, len(y_H), step):
            interruption.check()
            y_h = y_inputs_H[first : first + step]
            finite &= inference.grid(
                net, x_inputs_W, y_h, workspace, response, class_index, values_HW, output_OHW, first
            )
    if not finite:
        raise InvalidInput("points", numpy_forward.OVERFLOWS)


def _grid_of_points(
    net: structures.Net,
    transform: Derived,
    x_W: DoubleArray,
    y_H: DoubleArray,
    response: int,
    class_index: int,
    values_HW: FloatArray,
    output_OHW: FloatArray,
) -> bool:
    """A grid whose inputs belong to neither columns nor rows, some rows at a time."""
    outputs, output_height, output_width = output_OHW.shape
    values_N, output_ON = values_HW.reshape(-1), output_OHW.reshape(outputs, output_height * output_width)
    height = max(1, BLOCK_VALUES // (len(transform.terms) * len(x_W)))
    height = interruption.block_of(height, len(x_W) * net.weights.size)
    workspace = workspace_for(net, height * len(x_W), for_training=False)
    finite = True
    for start in range(0, len(y_H), height):
        interruption.check()
        x_hW, y_hW = np.meshgrid(x_W, y_H[start : start + height])
        input_NI = transform.points(np.column_stack([x_hW.ravel(), y_hW.ravel()]))
        first = start * len(x_W)
        finite &= inference.responses(net, input_NI, workspace, response, class_index, values_N, output_ON, first)
    return finite


def warm_up_inference() -> None:
    """Loads the inference part of the kernel; compiles it if this machine has not done so yet."""
    probabilities(SMALLEST, np.zeros((1, 2), np.float32))
    squares = tuple(Term("product", (d, d)) for d in range(2))
    for plan in (SMALLEST, replace(SMALLEST, transform=Derived(squares, (0.0, 0.0), (1.0, 1.0)))):
        responses(plan, np.zeros(1), np.zeros(1), response="logit", class_index=1)
