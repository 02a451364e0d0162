"""Evaluates plans: small requests by NumPy, which is loaded anyway, large ones by the compiled kernel."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from models.datasets import DoubleArray, FloatArray, IntArray, PointArray
from models.inference import ensembles, numpy_forward
from models.networks.plans import AnyPlan, EnsemblePlan, Plan
from models.specs import AnyResponse, InvalidInput, ResponseKind

COMPILED_FROM = 1_500_000
"""Multiplications from which the kernel evaluates a request: 90,000 points of the tutorial's network, which take NumPy
twice as long. Less is not worth the half second and the 60 MiB that a process needs to load the kernel."""


ENSEMBLE_BLOCK = 16_384
"""Points for which the outputs of all networks of an ensemble are held at a time."""


def is_compiled(plan: Plan, points: int) -> bool:
    """Whether the kernel evaluates that many points."""
    return points * plan.parameters.size >= COMPILED_FROM


def logits(plan: AnyPlan, xy_ND: PointArray) -> FloatArray:
    """The output for points (N, D): float32 (N, O). For an ensemble see `ensembles.mean_logits`.

    Raises:
        InvalidInput: the points have the wrong number of coordinates, or the output for one overflows float32.
    """
    _check_features(plan, xy_ND)
    if isinstance(plan, EnsemblePlan):
        return _in_blocks(plan, xy_ND, ensembles.mean_logits)
    return numpy_forward.logits(plan, xy_ND)


def spread(plan: EnsemblePlan, xy_ND: PointArray) -> FloatArray:
    """How far the networks of an ensemble differ for points (N, D), float32 (N, K); see `ensembles.spread`.

    Raises:
        InvalidInput: the points have the wrong number of coordinates, or the output for one overflows float32.
    """
    _check_features(plan, xy_ND)
    return _in_blocks(plan, xy_ND, ensembles.spread)


def _in_blocks(
    plan: EnsemblePlan, xy_ND: PointArray, combined: Callable[[Sequence[FloatArray]], FloatArray]
) -> FloatArray:
    blocks = (xy_ND[start : start + ENSEMBLE_BLOCK] for start in range(0, len(xy_ND), ENSEMBLE_BLOCK))
    return np.concatenate(
        [combined([numpy_forward.logits(member, block_ND) for member in plan.members]) for block_ND in blocks]
    )


def probabilities(plan: AnyPlan, xy_ND: PointArray) -> FloatArray:
    """Class probabilities of points (N, D): float32 (N, K). Each row sums to 1.

    Raises:
        InvalidInput: the points have the wrong number of coordinates, or the output for one overflows float32.
    """
    _check_features(plan, xy_ND)
    if isinstance(plan, Plan) and is_compiled(plan, len(xy_ND)):
        from models.inference import compiled

        return compiled.probabilities(plan, xy_ND)
    return numpy_forward.probabilities(logits(plan, xy_ND))


def _check_features(plan: AnyPlan, xy_ND: PointArray) -> None:
    given, wanted = xy_ND.shape[1], plan.features
    if given != wanted:
        raise InvalidInput("points", f"must have {wanted} coordinates each, but these have {given}")


def responses(
    plan: AnyPlan,
    x_W: DoubleArray,
    y_H: DoubleArray,
    *,
    response: AnyResponse,
    class_index: int,
    output_OHW: FloatArray | None = None,
) -> FloatArray | IntArray:
    """A response at each point of a grid, for a plan of two features: (H, W), labels int64, all else float32.

    `output_OHW`, float32 (O, H, W), if given, receives all outputs from the same evaluation. The response `spread` is
    for ensembles only.

    Raises:
        InvalidInput: the output for a point overflows float32.
    """
    if isinstance(plan, Plan) and is_compiled(plan, len(x_W) * len(y_H)):
        from models.inference import compiled

        assert response != "spread"
        return compiled.responses(plan, x_W, y_H, response=response, class_index=class_index, output_OHW=output_OHW)
    values_HW = np.empty((len(y_H), len(x_W)), dtype=np.int64 if response == "label" else np.float32)
    for rows, xy_N2 in _by_rows(x_W, y_H):
        logit_NO = logits(plan, xy_N2)
        if response == "spread":
            assert isinstance(plan, EnsemblePlan)
            value_N: FloatArray | IntArray = spread(plan, xy_N2)[:, class_index]
        else:
            value_N = _respond(logit_NO, response, class_index)
        values_HW[rows] = value_N.reshape(-1, len(x_W))
        if output_OHW is not None:
            output_OHW[:, rows] = logit_NO.T.reshape(len(output_OHW), -1, len(x_W))
    return values_HW


def outputs(plan: AnyPlan, x_W: DoubleArray, y_H: DoubleArray) -> FloatArray:
    """Every output at each point of a grid, for a plan of two features: float32 (O, H, W).

    Raises:
        InvalidInput: the output for a point overflows float32.
    """
    if isinstance(plan, Plan) and is_compiled(plan, len(x_W) * len(y_H)):
        from models.inference import compiled

        return compiled.outputs(plan, x_W, y_H)
    values_OHW = np.empty((plan.outputs, len(y_H), len(x_W)), dtype=np.float32)
    for rows, xy_N2 in _by_rows(x_W, y_H):
        values_OHW[:, rows] = logits(plan, xy_N2).T.reshape(len(values_OHW), -1, len(x_W))
    return values_OHW


def _by_rows(x_W: DoubleArray, y_H: DoubleArray) -> Iterator[tuple[slice, DoubleArray]]:
    """The points of a grid, (rows x W, 2), some rows at a time: about one block of points."""
    height = max(1, numpy_forward.BLOCK // len(x_W))
    for start in range(0, len(y_H), height):
        rows = slice(start, start + height)
        x_hW, y_hW = np.meshgrid(x_W, y_H[rows])
        yield rows, np.column_stack([x_hW.ravel(), y_hW.ravel()])


def _respond(logit_NO: FloatArray, response: ResponseKind, class_index: int) -> FloatArray | IntArray:
    if response == "logit":
        if logit_NO.shape[1] == 1:
            return logit_NO[:, 0] if class_index == 1 else -logit_NO[:, 0]
        return logit_NO[:, class_index]
    if response == "entropy":
        return numpy_forward.entropy(logit_NO)
    prob_NK = numpy_forward.probabilities(logit_NO)
    return numpy_forward.predicted(prob_NK) if response == "label" else prob_NK[:, class_index]
