"""Versions with random weights, of every kind of network and every input transform."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.checkpoints.cards import Card
from models.datasets import DoubleArray, FloatArray, Label
from models.exports.exported import Exported
from models.inference import dispatch, numpy_forward
from models.networks.layouts import layout
from models.networks.plans import of_members, plan_of
from models.specs import ACTIVATIONS, NETWORK_KINDS, NetworkSpec, TrainingSpec

UNIX_TIME = (1_700_000_030.0, 5_334_000.0)
"""Offsets near which float32 numbers are 128 and 0.5 apart."""

TERMS = ("x^2", "x", "cos y", "x*y", "sin x", "y", "sin y")


@dataclass(frozen=True)
class Sample:
    """A version, points around its offset, and what the service answers for them."""

    exported: Exported
    xy_ND: DoubleArray
    logit_NO: FloatArray = field(init=False)
    prob_NK: FloatArray = field(init=False)
    labels: list[Label] = field(init=False)

    def __post_init__(self) -> None:
        logit_NO = dispatch.logits(self.exported.plan, self.xy_ND)
        prob_NK = numpy_forward.probabilities(logit_NO)
        labels = [self.exported.card.classes[k] for k in numpy_forward.predicted(prob_NK)]
        for name, value in (("logit_NO", logit_NO), ("prob_NK", prob_NK), ("labels", labels)):
            object.__setattr__(self, name, value)


def sample(
    kind: str = "sequential",
    *,
    points: int = 500,
    classes: tuple[Label, ...] = ("no", "yes"),
    members: int = 1,
    **given: Any,
) -> Sample:
    """A version of so many networks of this kind with two features; `given` are fields of its network and its card."""
    offset = given.get("offset", ())
    network = {name: given.pop(name) for name in ("activation", "inputs", "hidden") if name in given}
    spec = NetworkSpec(kind=kind, **({} if kind in ("logistic", "two_layer") else {"hidden": (5, 3)}) | network)  # type: ignore[arg-type]
    card = Card(
        network=spec,
        features=2,
        classes=classes,
        training=TrainingSpec(ensemble=members),
        data=given.pop("data", {"n_points": 4, "n_features": 2}),
        data_digest="",
        low=(0.0, 0.0),
        high=(1.0, 1.0),
        recipe="",
        stop_reason="completed",
        epochs=1,
        metrics=None,
        created_at="2026-01-01T00:00:00+00:00",
        software={},
        files={},
        **given,
    )
    where = layout(spec, 2, len(classes))
    rng = np.random.default_rng(where.weights)
    states = [
        {key: rng.normal(size=shape).astype(np.float32) for key, shape in where.shapes.items()} for _ in range(members)
    ]
    exported = Exported("some-model", 3, card, of_members([plan_of(where, state, card.transform) for state in states]))
    return Sample(exported, rng.normal(0, 3, (points, 2)) + (offset or (0.0, 0.0)))


SHAPES: dict[str, dict[str, Any]] = {
    "two classes": {},
    "three classes": {"classes": (3, -1, 2**53 - 1)},
    "offset": {"offset": UNIX_TIME},
    "derived inputs": {"inputs": TERMS, "offset": UNIX_TIME, "divisor": (2.5, 3.0)},
}

ENSEMBLES: dict[str, dict[str, Any]] = {
    "ensemble": {"kind": "residual", "members": 3, **SHAPES["derived inputs"]},
    "ensemble of raw parameters": {"kind": "two_layer", "members": 2, "classes": tuple(range(12))},
}

EVERY_SAMPLE = {f"{kind}, {name}": {"kind": kind, **shape} for kind in NETWORK_KINDS for name, shape in SHAPES.items()}
EVERY_SAMPLE |= {f"{activation}": {"activation": activation} for activation in ACTIVATIONS}
EVERY_SAMPLE |= {"twelve classes": {"classes": tuple(range(12))}} | ENSEMBLES
