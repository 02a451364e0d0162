"""Versions in memory, without a data folder."""

from typing import Any

import numpy as np

from models.checkpoints.cards import Card
from models.datasets import FloatArray, Label
from models.networks.layouts import layout
from models.networks.plans import plan_of
from models.specs import NetworkSpec, TrainingSpec
from service.records import PublishedVersion
from service.registry.registry import LoadedVersion


def version_of(
    hidden: tuple[int, ...] = (4,),
    *,
    checkpoint: str = "c-1",
    n: int = 400,
    classes: tuple[Label, ...] = ("red", "blue"),
    seed: int = 0,
    **training: Any,
) -> LoadedVersion:
    """A version of two features with random weights, as if it had been trained for all its epochs."""
    spec = TrainingSpec(**({"epochs": 1000} | training))
    network = NetworkSpec(hidden=hidden)
    card = Card(
        network=network,
        features=2,
        classes=classes,
        training=spec,
        data={"dataset": "flower", "n": n, "noise": 0.2, "seed": 1, "n_classes": len(classes)},
        data_digest="",
        low=(0.0, 0.0),
        high=(1.0, 1.0),
        recipe="",
        stop_reason="completed",
        epochs=spec.epochs,
        metrics=None,
        created_at="",
        software={},
        files={},
        implementation="compiled",
    )
    published = PublishedVersion(
        seq=1, model="m", version=1, job_id="j", checkpoint_id=checkpoint, card_digest="", created_at=0.0
    )
    random = np.random.default_rng(seed)
    shapes = layout(network, 2, len(classes)).shapes
    state: dict[str, FloatArray] = {key: random.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}
    return LoadedVersion(published, card, plan_of(layout(network, 2, len(classes)), state))
