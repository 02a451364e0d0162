"""A version as one JSON document: the description and every weight, see docs/decisions/0028-models-as-files.md."""

from typing import Any

import numpy as np
import orjson

from models.exports.exported import Exported, digits
from models.networks.layouts import LayerLayout, Layout
from models.networks.plans import Dense, Plan


def encode(exported: Exported) -> bytes:
    """The document, UTF-8. An ensemble has the layers of each network in `members`.

    Weights have the shape (outputs, inputs), whatever the network's state dict has.
    """
    networks = [_network(exported.layout, member) for member in exported.members]
    weights = networks[0] if len(networks) == 1 else {"members": networks}
    return orjson.dumps(exported.description() | weights, option=orjson.OPT_SERIALIZE_NUMPY)


def _network(layout: Layout, plan: Plan) -> dict[str, Any]:
    return {
        "layers": [_layer(where, layer) for where, layer in zip(layout.stack, plan.layers, strict=True)],
        "skip": _layer(layout.skip, plan.skip) if layout.skip and plan.skip else None,
    }


def _layer(where: LayerLayout, layer: Dense) -> dict[str, Any]:
    return {
        "name": where.name,
        "activation": layer.activation,
        "weight": digits(np.ascontiguousarray(layer.weight_OI)),
        "bias": digits(np.ascontiguousarray(layer.bias_O1[:, 0])),
    }
