"""A network as one JSON document: the description and every weight, see docs/decisions/0028-models-as-files.md."""

from typing import Any

import numpy as np
import orjson

from models.exports.exported import Exported, digits
from models.networks.layouts import LayerLayout
from models.networks.plans import Dense


def encode(exported: Exported) -> bytes:
    """The document, UTF-8.

    Weights have the shape (outputs, inputs), whatever the network's state dict has.
    """
    layout, plan = exported.layout, exported.plan
    document = {
        **exported.description(),
        "layers": [_layer(where, layer) for where, layer in zip(layout.stack, plan.layers, strict=True)],
        "skip": _layer(layout.skip, plan.skip) if layout.skip and plan.skip else None,
    }
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _layer(where: LayerLayout, layer: Dense) -> dict[str, Any]:
    return {
        "name": where.name,
        "activation": layer.activation,
        "weight": digits(np.ascontiguousarray(layer.weight_OI)),
        "bias": digits(np.ascontiguousarray(layer.bias_O1[:, 0])),
    }
