"""Embeddings: where a hidden layer of a network maps the cells of a grid, in two coordinates."""

from dataclasses import dataclass

import numpy as np

from models import interruption
from models.boundary import grids, slices
from models.datasets import DoubleArray, FloatArray
from models.networks.plans import Plan
from models.specs import EmbeddingCoordinates, GridSpec, InvalidInput

BLOCK = 16_384
"""Cells whose activations are held in float64 at a time: 16 MB for 128 units."""


@dataclass(frozen=True)
class Embedding(grids.GridAxes):
    """Where a hidden layer of U units maps each cell of a grid; for a curve, the values are (W, 2).

    Attributes:
        values_HW2: float32 (H, W, 2).
        coordinates: `first`, the activations of the first two units, or `principal`, the first two principal
            components of the activations.
        mean_U: float64 (U,), the mean activations over the cells. This and the next two fields are None for `first`.
        components_2U: float64 (2, U), orthonormal: the values are `components_2U @ (activations - mean_U)`. In
            each, the entry with the largest absolute value is positive, since the sign of a component is arbitrary.
        explained_2: float64 (2,), the share of the variance over the cells that each component explains; 0 if there is
            no variance.
    """

    values_HW2: FloatArray
    coordinates: EmbeddingCoordinates
    mean_U: DoubleArray | None = None
    components_2U: DoubleArray | None = None
    explained_2: DoubleArray | None = None


def work_per_cell(plan: Plan, layer: int) -> int:
    """Multiplications for each cell: the network up to the layer, and the covariances of its units."""
    return slices.hidden(plan, layer).parameters.size + plan.widths[layer + 1] ** 2


def embed(plan: Plan, spec: GridSpec, layer: int, coordinates: EmbeddingCoordinates | None) -> Embedding:
    """Maps a grid by a hidden layer, by default into principal coordinates if the layer has more than two units.

    Raises:
        InvalidInput: the layer has fewer than two units; see also `grids.evaluate`.
    """
    units = plan.widths[layer + 1]
    if units < 2:
        raise InvalidInput("layer", "must be a layer with at least 2 units, but this one has 1")
    outputs = grids.outputs(slices.hidden(plan, layer), spec)
    if (coordinates or ("principal" if units > 2 else "first")) == "first":
        return Embedding(outputs.x_W, outputs.y_H, np.stack([*outputs.values_OHW[:2]], axis=-1), "first")
    activation_UN = outputs.values_OHW.reshape(units, -1)
    mean_U = activation_UN.mean(axis=1, dtype=np.float64)
    components_2U, explained_2 = _principal_components(activation_UN, mean_U)
    values_HW2 = _project(activation_UN, mean_U, components_2U).reshape(*outputs.values_OHW.shape[1:], 2)
    return Embedding(outputs.x_W, outputs.y_H, values_HW2, "principal", mean_U, components_2U, explained_2)


def _principal_components(activation_UN: FloatArray, mean_U: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """The first two principal components (2, U), from covariances in float64, and their shares of the variance."""
    covariance_UU = np.zeros((len(mean_U), len(mean_U)))
    for start in range(0, activation_UN.shape[1], BLOCK):
        interruption.check()
        centered_Un = activation_UN[:, start : start + BLOCK] - mean_U[:, None]
        covariance_UU += centered_Un @ centered_Un.T
    variance_U, direction_UU = np.linalg.eigh(covariance_UU)  # ascending
    components_2U = direction_UU[:, :-3:-1].T
    greatest_2 = np.abs(components_2U).argmax(axis=1)
    components_2U = components_2U * np.sign(components_2U[[0, 1], greatest_2])[:, None]
    total = np.trace(covariance_UU)
    explained_2 = np.clip(variance_U[:-3:-1], 0, None) / total if total > 0 else np.zeros(2)
    return np.ascontiguousarray(components_2U), explained_2


def _project(activation_UN: FloatArray, mean_U: DoubleArray, components_2U: DoubleArray) -> FloatArray:
    """The coordinates of each cell along the components: float32 (N, 2)."""
    values_N2 = np.empty((activation_UN.shape[1], 2), np.float32)
    for start in range(0, len(values_N2), BLOCK):
        block = slice(start, start + BLOCK)
        with np.errstate(over="ignore"):  # checked below
            values_N2[block] = (components_2U @ (activation_UN[:, block] - mean_U[:, None])).T
    if not np.isfinite(values_N2).all():
        raise InvalidInput("x_max", "must be smaller: in this window the activations of the network overflow float32")
    return values_N2
