"""Checkpoints for the tests of imports, as other programs write them, and what torch itself computes with them."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.checkpoints.cards import Card
from models.datasets import Array
from models.imports.options import ImportOptions
from models.imports.reading import Imported, read
from models.inference import numpy_forward
from models.networks.layouts import layout
from models.networks.plans import plan_of


def points(features: int = 2, count: int = 50) -> Array:
    return np.random.default_rng(0).normal(size=(count, features)).astype(np.float32)


def stack(*layers: nn.Module, seed: int = 0) -> nn.Sequential:
    """A network whose BatchNorm layers have statistics, in evaluation mode."""
    torch.manual_seed(seed)
    network = nn.Sequential(*layers)
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return network.eval()


def small(activation: nn.Module | None = None, outputs: int = 1, seed: int = 0) -> nn.Sequential:
    return stack(nn.Linear(2, 4), activation or nn.Tanh(), nn.Linear(4, outputs), seed=seed)


def torch_probabilities(network: nn.Module, xy_ND: Array) -> Array:
    with torch.no_grad():
        logit_NO = network(torch.tensor(xy_ND)).double()
    if logit_NO.shape[1] == 1:
        one_N = torch.sigmoid(logit_NO[:, 0])
        return torch.stack([1 - one_N, one_N], 1).numpy()
    return torch.softmax(logit_NO, 1).numpy()


def probabilities(imported: Imported, xy_ND: Array) -> Array:
    card: Card = imported.card
    plan = plan_of(layout(card.network, card.features, len(card.classes)), imported.state, card.transform)
    return numpy_forward.probabilities(numpy_forward.logits(plan, xy_ND))


def saved(value: Any, path: Path, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


def imported(value: Any, folder: Path, /, **options: Any) -> Imported:
    return read(saved(value, folder / "file.pth"), ImportOptions(**options))


def renamed(state: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """A state dict whose layers have other names: `renamed(state, **{"0": "fc1"})`."""
    return {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value for key, value in state.items()}


def scripted(network: nn.Module) -> bytes:
    content = io.BytesIO()
    torch.jit.save(torch.jit.script(network), content)
    return content.getvalue()
