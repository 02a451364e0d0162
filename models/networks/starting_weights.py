"""Starting weights: the network of a version, at which another training begins (warm start)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.datasets import FloatArray, LabelledPoints
from models.networks.layouts import LayerLayout, Layout, member_states
from models.networks.scaling import Scaling
from models.networks.terms import Term
from models.specs import InvalidInput, Scale

FIELD = "training.from"
"""What a request calls the version."""


@dataclass(frozen=True, eq=False)
class StartingWeights:
    """A trained network for points in data units, as a checkpoint has it.

    Attributes:
        state: its state dict, float32, or that of an ensemble.
        offset, divisor: of its input transform, as a card has them: empty if it does not subtract or divide.
        digest: SHA-256 (hex) of the file that `state` is read from. It identifies the weights.
    """

    state: Mapping[str, FloatArray]
    offset: tuple[float, ...]
    divisor: tuple[float, ...]
    digest: str

    def scaling(self, points: LabelledPoints, scale: Scale, terms: tuple[Term, ...] | None) -> Scaling:
        """How the coordinates of these points are scaled for the training.

        The offset and the divisor of the finished network stay those of the version, so the function does not change.
        During training, coordinates are standardized by the new points, which changes the weights but not the function.
        Derived inputs are not linear in the coordinates, so they keep the mean and deviation of the version.
        """
        offset_D = np.array(self.offset) if self.offset else np.zeros(points.features)
        if terms is not None:
            divisor_D = np.array(self.divisor) if self.divisor else np.ones(points.features)
            return Scaling(offset_D, divisor_D, np.zeros(points.features), terms)
        if scale == "none":
            return Scaling(offset_D, np.ones(points.features), offset_D)
        own = Scaling.standard(points)
        return Scaling(own.mean_D, own.deviation_D, offset_D)

    @property
    def members(self) -> int:
        """Number of networks."""
        return len(member_states(self.state))

    def in_training(self, layout: Layout, scaling: Scaling, temperature: float) -> list[dict[str, FloatArray]]:
        """The state dict at which the training of each network begins.

        Its logits are the logits of the network times the temperature, by which they are divided after the training.
        So without an epoch the training returns the network: bit for bit for a temperature of 1 and inputs that are not
        scaled, otherwise up to the rounding of float32.

        Raises:
            InvalidInput: a weight overflows float32.
        """
        return [_in_training(layout, scaling, temperature, state) for state in member_states(self.state)]


def _in_training(
    layout: Layout, scaling: Scaling, temperature: float, finished: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    state = scaling.in_training_units(layout, finished)
    if temperature != 1:
        for layer in _output_layers(layout):
            for key in (layer.weight, layer.bias):
                with np.errstate(over="ignore"):  # checked below
                    state[key] = state[key] * np.float32(temperature)
    if not all(np.isfinite(array).all() for array in state.values()):
        raise InvalidInput(FIELD, "must be left out: scaled to these points, the weights overflow float32")
    return state


def _output_layers(layout: Layout) -> list[LayerLayout]:
    return [layout.stack[-1], *([layout.skip] if layout.skip else [])]
