import io
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from tests.contract.problems import assert_problem
from tests.serving import train

LAYERS = "/models/plane/versions/1/layers"


def state_dict(client: httpx.Client, model: str) -> dict[str, torch.Tensor]:
    content = client.get(f"/models/{model}/versions/1/checkpoint").content
    found: dict[str, torch.Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return found


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("logistic", ["w"]),
        ("two_layer", ["w1", "activation", "w2"]),
        ("sequential", ["0", "1", "2"]),
        ("module", ["layer1", "layer2", "layer3"]),
        ("residual", ["layer1", "layer2.0", "layer2.1", "layer2.2"]),
    ],
)
def test_every_weight_of_the_state_dict_is_in_a_layer_found_by_index_and_by_name(
    client: httpx.Client, kind: str, names: list[str]
) -> None:
    model = f"layers-of-{kind.replace('_', '-')}"
    train(client, model, network={"kind": kind, "activation": "gelu"} if kind != "logistic" else {"kind": kind})
    path = f"/models/{model}/versions/1/layers"
    network = client.get(path).json()
    assert (network["object"], network["model"], network["version"]) == ("model.layers", model, 1)
    assert (network["n_networks"], network["member"]) == (1, 0)
    assert [layer["name"] for layer in network["layers"]] == names
    arrays = [layer[part] for layer in network["layers"] for part in ("weight", "bias") if layer[part]]
    state = state_dict(client, model)
    assert [array["key"] for array in arrays] == list(state)
    assert network["n_parameters"] == sum(value.numel() for value in state.values())
    for array in arrays:
        expected = state[array["key"]].numpy()
        np.testing.assert_array_equal(np.array(array["values"], np.float32), expected)
        assert array["shape"] == list(expected.shape)
        assert (np.float32(array["min"]), np.float32(array["max"])) == (expected.min(), expected.max())
    for index, layer in enumerate(network["layers"]):
        assert layer["index"] == index
        assert client.get(f"{path}/{index}").json() == client.get(f"{path}/{layer['name']}").json() == layer


def test_layers_show_what_torch_prints(client: httpx.Client) -> None:
    network = client.get(LAYERS).json()
    linear, activation, _ = network["layers"]
    assert linear["text"] == "Linear(in_features=2, out_features=4, bias=True)"
    assert (linear["type"], linear["activation"], linear["n_outputs"]) == ("Linear", None, 4)
    assert (activation["type"], activation["activation"], activation["n_outputs"]) == ("Tanh", "tanh", 4)
    assert activation["weight"] is None
    assert activation["bias"] is None
    lines = ["Sequential(", f"  (0): {linear['text']}", "  (1): Tanh()"]
    assert network["text"].splitlines()[:3] == lines
    for query, headers in (({"format": "text"}, {}), ({}, {"Accept": "text/plain"})):
        answer = client.get(LAYERS, params=query, headers=headers)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text == f"{network['text']}\n"


def test_weights_can_be_left_out(client: httpx.Client) -> None:
    whole, short = (client.get(LAYERS, params={"weights": weights}).json() for weights in ("true", "false"))
    for layer in whole["layers"]:
        for part in ("weight", "bias"):
            if layer[part]:
                layer[part]["values"] = None
    assert short == whole


def test_an_etag_saves_the_layers_a_client_has(client: httpx.Client) -> None:
    answer = client.get(LAYERS)
    tag = answer.headers["etag"]
    again = client.get(LAYERS, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    others: list[dict[str, Any]] = [{"weights": "false"}, {"format": "text"}]
    assert len({tag, *(client.get(LAYERS, params=query).headers["etag"] for query in others)}) == 3


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{LAYERS}/3", "layer-not-found"),
        (f"{LAYERS}/layer1", "layer-not-found"),
        (f"{LAYERS}/-1", "layer-not-found"),
        (f"{LAYERS}/%00", "layer-not-found"),
        ("/models/plane/versions/9/layers", "version-not-found"),
        ("/models/nobody/versions/1/layers/0", "model-not-found"),
    ],
)
def test_an_unknown_layer_version_or_model_is_not_found(client: httpx.Client, path: str, code: str) -> None:
    assert_problem(client.get(path), 404, code)


@pytest.mark.parametrize("query", [{"weights": "perhaps"}, {"format": "npy"}])
def test_an_invalid_request_for_layers_is_refused(client: httpx.Client, query: dict[str, str]) -> None:
    assert_problem(client.get(LAYERS, params=query), 422, "invalid-input", field=next(iter(query)))
