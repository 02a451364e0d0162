"""What is exported: a version's card and plan, and the description that files of all formats carry."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models import categories, specs
from models.checkpoints.cards import Card
from models.datasets import DoubleArray, FloatArray
from models.networks.derived import Derived
from models.networks.layouts import Layout, joined_state, layout, prefixes
from models.networks.plans import AnyPlan, Plan, members_of, state_of
from models.networks.transforms import Shift

FORMAT = "separatrix-network"
FORMAT_VERSION = 1

DESCRIPTION_KEY = "separatrix"
"""The name of the description, a JSON document, in files that have room for metadata."""


@dataclass(frozen=True, eq=False)
class Exported:
    """A version of a model, as encoders take it.

    Attributes:
        model: the name of the model, or of a job that has published none.
        version: the number of the version; 0 if it is not a version.
        card: of its checkpoint.
        plan: its network, or its ensemble of networks.
    """

    model: str
    version: int
    card: Card
    plan: AnyPlan

    @cached_property
    def layout(self) -> Layout:
        """The keys and shapes of the state dict of each network."""
        return layout(self.card.network, self.card.features, len(self.card.classes))

    @property
    def state(self) -> dict[str, FloatArray]:
        """Its state dict as arrays, also for an ensemble: contiguous copies."""
        return joined_state([self.state_of_member(i) for i in range(len(self.members))])

    def state_of_member(self, i: int) -> dict[str, FloatArray]:
        """The state dict of one network, without the prefix that its keys have in an ensemble."""
        return state_of(self.layout, self.members[i])

    @property
    def members(self) -> tuple[Plan, ...]:
        """The networks of an ensemble, or the only one."""
        return members_of(self.plan)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the keys of each network begin with in the state dict."""
        return prefixes(len(self.members))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each coordinate; `x1`, `x2`, ... if they have none."""
        return self.card.feature_names or tuple(f"x{d + 1}" for d in range(self.card.features))

    def description(self) -> dict[str, Any]:
        """All but the weights, as JSON: see docs/decisions/0028-models-as-files.md."""
        card = self.card
        names = card.feature_names
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "model": self.model,
            "version": self.version,
            "n_networks": len(self.members),
            "network": specs.asdict(card.network),
            "n_features": card.features,
            "feature_names": list(names) if names else None,
            "categories": categories.to_json(card.categories).get("categories"),
            "classes": list(card.classes),
            "transform": self._transform(),
        }

    def _transform(self) -> dict[str, Any]:
        """Each step of the input transform, or None if the network has no such step."""
        steps: dict[str, Any] = {"offset": None, "divisor": None, "terms": None}
        match self.plan.transform:
            case Shift(offset):
                steps["offset"] = list(offset)
            case Derived(terms, offset, divisor):
                found = [{"function": term.function, "of": list(term.of)} for term in terms]
                steps = {"offset": list(offset), "divisor": list(divisor), "terms": found}
        return steps


def digits(array: FloatArray) -> FloatArray | DoubleArray:
    """An array that JSON writes with so many digits that the float32 numbers read back exactly, by way of float64 too.

    The fewest digits that distinguish float32 numbers are enough for all but one: read as a float64 and rounded to
    float32, `7.038531e-26` becomes the number's neighbor. This was tried for all 2^31 positive numbers.
    """
    return array.astype(np.float64) if (np.abs(array) == _NEEDS_MORE_DIGITS).any() else array


_NEEDS_MORE_DIGITS = np.uint32(0x15AE43FD).view(np.float32)
