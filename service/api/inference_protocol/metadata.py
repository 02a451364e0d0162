"""What the protocol shows of a model: its tensors, its configuration, and the index of all versions."""

from typing import Any

import orjson

from service.api.inference_protocol import tensors
from service.api.inference_protocol.requests import LABELS, POINTS, POINTS_DATATYPE, PROBABILITIES
from service.api.inference_protocol.responses import texts_of
from service.registry.registry import LoadedVersion, Registry

PLATFORM = "separatrix_safetensors"
BACKEND = "separatrix"

EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
]
"""The extensions by Triton's names. `parameters` has `threshold`; of the repository, `unload` is always refused."""


def model(version: LoadedVersion, registry: Registry) -> dict[str, Any]:
    """The metadata of a model, as this version has them. Versions that are known to be broken are left out."""
    inputs, outputs = _tensors(version)
    published = registry.model(version.published.model).versions.values()
    return {
        "name": version.published.model,
        "versions": [str(one.version) for one in published if registry.broken(one) is None],
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": outputs,
    }


def config(version: LoadedVersion) -> dict[str, Any]:
    """The configuration of a version."""
    inputs, outputs = _tensors(version)
    card = version.card
    lists = {"classes": card.classes} | ({"feature_names": card.feature_names} if card.feature_names else {})
    return {
        "name": version.published.model,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": {"all": {}},
        "max_batch_size": 0,
        "input": [_configured(one) for one in inputs],
        "output": [_configured(one) for one in outputs],
        "parameters": {name: {"string_value": orjson.dumps(values).decode()} for name, values in lists.items()},
    }


def index(registry: Registry, *, ready: bool) -> list[dict[str, str]]:
    """All versions of all models, or those that answer requests, as far as is known without reading their files."""
    found = []
    for name, model in sorted(registry.models().items()):
        for number, published in model.versions.items():
            broken = registry.broken(published)
            if broken is None:
                found.append({"name": name, "version": str(number), "state": "READY", "reason": ""})
            elif not ready:
                found.append({"name": name, "version": str(number), "state": "UNAVAILABLE", "reason": broken.reason})
    return found


def _tensors(version: LoadedVersion) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The inputs and the outputs."""
    features, classes = version.plan.features, version.plan.classes
    inputs = [{"name": POINTS, "datatype": POINTS_DATATYPE, "shape": [-1, features]}]
    outputs = [
        {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, classes]},
        {"name": LABELS, "datatype": texts_of(version).datatype.decode(), "shape": [-1]},
    ]
    return inputs, outputs


def _configured(tensor: dict[str, Any]) -> dict[str, Any]:
    datatype = "STRING" if tensor["datatype"] == tensors.TEXT else tensor["datatype"]
    return {"name": tensor["name"], "data_type": f"TYPE_{datatype}", "dims": tensor["shape"]}
