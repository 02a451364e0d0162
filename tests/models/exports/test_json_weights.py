"""The JSON document is enough to compute the answers of the service."""

import json
import math
from typing import Any

import numpy as np
import orjson
import pytest

from models.exports import json_weights
from models.exports.exported import digits
from models.specs import NETWORK_KINDS
from tests.models.exports.samples import ENSEMBLES, SHAPES, sample

FUNCTIONS = {"tanh": math.tanh, "identity": lambda z: z}


def answer(document: dict[str, Any], point: list[float]) -> list[float]:
    """The probabilities of a point, computed as docs/decisions/0028-models-as-files.md says, one number at a time."""
    transform = document["transform"]
    offset, divisor = (transform[name] or [default] * 2 for name, default in (("offset", 0.0), ("divisor", 1.0)))
    scaled = [(x - o) / d for x, o, d in zip(point, offset, divisor, strict=True)]
    inputs = scaled
    if transform["terms"] is not None:
        functions = {"product": math.prod, "sin": lambda s: math.sin(s[0]), "cos": lambda s: math.cos(s[0])}
        inputs = [functions[term["function"]]([scaled[d] for d in term["of"]]) for term in transform["terms"]]
    networks = document.get("members", [document])
    assert len(networks) == document["n_networks"]
    each = [of_network(network, inputs) for network in networks]
    return [sum(shares) / len(each) for shares in zip(*each, strict=True)]


def of_network(network: dict[str, Any], inputs: list[float]) -> list[float]:
    values = inputs
    for layer in network["layers"]:
        values = [FUNCTIONS[layer["activation"]](z) for z in linear(layer, values)]
    if network["skip"] is not None:
        values = [a + b for a, b in zip(values, linear(network["skip"], inputs), strict=True)]
    if len(values) == 1:
        return [1 / (1 + math.exp(values[0])), 1 / (1 + math.exp(-values[0]))]
    exponentials = [math.exp(value) for value in values]
    return [each / sum(exponentials) for each in exponentials]


def linear(layer: dict[str, Any], values: list[float]) -> list[float]:
    rows = zip(layer["weight"], layer["bias"], strict=True)
    return [bias + sum(w * v for w, v in zip(weights, values, strict=True)) for weights, bias in rows]


OF_EACH_KIND = {f"{kind}, {name}": {"kind": kind, **shape} for kind in NETWORK_KINDS for name, shape in SHAPES.items()}


@pytest.mark.parametrize("given", [*OF_EACH_KIND.values(), *ENSEMBLES.values()], ids=[*OF_EACH_KIND, *ENSEMBLES])
def test_the_document_alone_gives_the_probabilities_of_the_service(given: dict[str, Any]) -> None:
    one = sample(points=20, **given)
    document = json.loads(json_weights.encode(one.exported))
    found = [answer(document, point) for point in one.xy_ND.tolist()]
    np.testing.assert_allclose(found, one.prob_NK, rtol=0, atol=2e-6)


def test_every_weight_reads_back_to_the_bit() -> None:
    one = sample("residual")
    document = json.loads(json_weights.encode(one.exported))
    layers = [*document["layers"], document["skip"]]
    rows = [np.column_stack([np.array(layer["weight"]), layer["bias"]]).ravel() for layer in layers]
    np.testing.assert_array_equal(np.concatenate(rows).astype(np.float32), one.exported.members[0].parameters)


def test_the_number_whose_fewest_digits_read_back_wrong_gets_more_digits() -> None:
    array = np.array([0x15AE43FD, 0x95AE43FD, 0x80000000, 1, 0x7F7FFFFF], np.uint32).view(np.float32)
    text = orjson.dumps(digits(array), option=orjson.OPT_SERIALIZE_NUMPY)
    assert np.array(json.loads(text)).astype(np.float32).tobytes() == array.tobytes()
    plain = orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    assert np.array(json.loads(plain)).astype(np.float32).tobytes() != array.tobytes()


def test_the_description_names_classes_features_and_text_columns() -> None:
    data = {"n_points": 4, "n_features": 2, "feature_names": ["a", "b=c"], "categories": {"b": ["c", "d"]}}
    document = json.loads(json_weights.encode(sample(data=data).exported))
    described = {key: value for key, value in document.items() if key not in ("layers", "skip")}
    assert described == {
        "format": "separatrix-network",
        "format_version": 1,
        "model": "some-model",
        "version": 3,
        "n_networks": 1,
        "network": {"kind": "sequential", "hidden": [5, 3], "activation": "tanh", "scale": "none", "inputs": None},
        "n_features": 2,
        "feature_names": ["a", "b=c"],
        "categories": {"b": ["c", "d"]},
        "classes": ["no", "yes"],
        "transform": {"offset": None, "divisor": None, "terms": None},
    }
