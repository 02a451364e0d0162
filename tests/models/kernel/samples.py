"""Networks, plans and points for tests of the kernel."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from models.datasets import LabelledPoints, generate
from models.networks.modules import arrays_of, build, layout_of
from models.networks.plans import Plan, plan_of
from models.specs import ACTIVATIONS, NETWORK_KINDS, Activation, DatasetSpec, NetworkKind, NetworkSpec

FLOWER = generate(DatasetSpec())

NETWORKS = {
    "kind": st.sampled_from(NETWORK_KINDS),
    "hidden": st.lists(st.integers(1, 12), max_size=4),
    "activation": st.sampled_from(ACTIVATIONS),
    "features": st.integers(1, 6),
    "classes": st.integers(2, 5),
    "seed": st.integers(0, 2**31),
}
"""Strategies for the arguments of `random_network`."""


def random_network(
    kind: NetworkKind, hidden: list[int], activation: Activation, features: int, classes: int, seed: int
) -> tuple[nn.Module, Plan]:
    """A network with large weights: some kinds start with small ones."""
    widths = {"logistic": (), "two_layer": tuple(hidden[:1] or [4])}.get(kind, tuple(hidden))
    spec = NetworkSpec(kind=kind, hidden=widths, activation=activation)
    network = build(spec, features, classes, seed=seed)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.7, tuple(parameter.shape)).astype(np.float32)))
    return network, plan_of_network(network)


def plan_of_network(network: nn.Module) -> Plan:
    layout = layout_of(network)
    assert layout is not None
    return plan_of(layout, arrays_of(network))


def random_points(count: int, features: int, classes: int, seed: int) -> LabelledPoints:
    rng = np.random.default_rng(seed)
    label_N = np.concatenate([np.arange(classes), rng.integers(0, classes, count)])
    xy_ND = rng.normal(0, 1.5, (len(label_N), features)).astype(np.float32)
    return LabelledPoints(xy_ND, label_N, tuple(range(classes)))
