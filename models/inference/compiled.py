"""Inference by the compiled kernel.

Importing this module loads numba: half a second and some 60 MiB.
"""

import numpy as np

from models.datasets import DoubleArray, FloatArray, IntArray, PointArray
from models.kernel import inference, structures
from models.kernel.buffers import SMALLEST, net_of, workspace_for
from models.networks.plans import Plan
from models.specs import InvalidInput, ResponseKind

_RESPONSES: dict[ResponseKind, int] = {
    "logit": structures.LOGIT,
    "probability": structures.PROBABILITY,
    "label": structures.LABEL,
    "entropy": structures.ENTROPY,
}


def probabilities(plan: Plan, xy_ND: PointArray) -> FloatArray:
    """Class probabilities of points (N, D): float32 (N, K).

    Raises:
        InvalidInput: the output for a point overflows float32.
    """
    net = net_of(plan)
    prob_NK = np.empty((len(xy_ND), plan.classes), np.float32)
    workspace = workspace_for(net, len(xy_ND), for_training=False)
    points_ND = plan.transform.points(xy_ND).view()
    points_ND.flags.writeable = False  # like a request body: for other arrays numba compiles again, for 7 s
    if not inference.probabilities(net, points_ND, workspace, prob_NK):
        raise InvalidInput("points", "must be smaller numbers: the output of the network overflows float32")
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
    workspace = workspace_for(net, len(x_W), for_training=False)
    x_inputs_W, y_inputs_H = plan.transform.axes(x_W, y_H)
    if not inference.grid(net, x_inputs_W, y_inputs_H, workspace, response, class_index, values_HW, output_OHW):
        raise InvalidInput("points", "must be smaller numbers: the output of the network overflows float32")


def warm_up_inference() -> None:
    """Loads the inference part of the kernel; compiles it if this machine has not done so yet."""
    probabilities(SMALLEST, np.zeros((1, 2), np.float32))
    responses(SMALLEST, np.zeros(1), np.zeros(1), response="logit", class_index=1)
