"""Activations of hidden units and embeddings, compared with the network as torch evaluates it."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from service.render.palette import opaque_scale
from tests.contract.problems import assert_problem
from tests.serving import train


@pytest.fixture(scope="module")
def deep(client: httpx.Client) -> httpx.Client:
    """The client, with `deep`, 2-7-3-1-3; `branched`, with a skip connection; `straight`, without hidden layers."""
    data = {"dataset": "gaussians", "n_classes": 3, "n": 90}
    train(client, "deep", data=data, network={"hidden": [7, 3, 1]}, training={"epochs": 100, "learning_rate": 0.2})
    train(client, "branched", network={"kind": "residual", "hidden": [5, 4]}, training={"epochs": 50})
    train(client, "straight", network={"kind": "logistic"})
    return client


def get(client: httpx.Client, **query: Any) -> httpx.Response:
    answer = client.get("/boundary-grid", params={"model": "deep", "resolution": "30x20"} | query)
    assert answer.status_code == 200, answer.text
    return answer


def loaded(answer: httpx.Response) -> np.ndarray:
    array: np.ndarray = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return array


def activations(client: httpx.Client, model: str, layer: int, body: dict[str, Any]) -> np.ndarray:
    """(U, H, W) in float64, computed by torch from the checkpoint. All layers up to this one have tanh."""
    content = client.get(f"/models/{model}/versions/1/checkpoint").content
    state = {key: value.double() for key, value in torch.load(io.BytesIO(content), weights_only=True).items()}
    prefix = "layer2." if model == "branched" else ""
    x_HW, y_HW = np.meshgrid(body["x"], body["y"])
    a_NI = torch.from_numpy(np.stack([x_HW.ravel(), y_HW.ravel()], axis=1))
    for i in range(layer + 1):
        a_NI = torch.tanh(a_NI @ state[f"{prefix}{2 * i}.weight"].T + state[f"{prefix}{2 * i}.bias"])
    return a_NI.numpy().T.reshape(-1, *x_HW.shape)


@pytest.mark.parametrize(
    ("model", "layer", "units"), [("deep", 0, 7), ("deep", 1, 3), ("deep", 2, 1), ("branched", 1, 4)]
)
def test_a_unit_and_its_layer_have_the_activations_that_torch_computes(
    deep: httpx.Client, model: str, layer: int, units: int
) -> None:
    body = get(deep, model=model).json()
    expected_UHW = activations(deep, model, layer, body)
    answer = get(deep, model=model, response="activation", layer=layer)
    assert answer.headers["content-type"] == "application/x-npy"
    maps_UHW = loaded(answer)
    assert (maps_UHW.shape, maps_UHW.dtype) == ((units, 20, 30), np.float32)
    np.testing.assert_allclose(maps_UHW, expected_UHW, atol=2e-6)
    one = get(deep, model=model, response="activation", layer=layer, unit=units - 1).json()
    assert (one["response"], one["layer"], one["unit"], one["class"]) == ("activation", layer, units - 1, None)
    np.testing.assert_allclose(one["values"], expected_UHW[-1], atol=2e-6)
    as_array = loaded(get(deep, model=model, response="activation", layer=layer, unit=units - 1, format="npy"))
    np.testing.assert_array_equal(as_array, np.array(one["values"], np.float32))


@pytest.mark.slow
def test_a_large_grid_of_a_layer_is_computed_by_the_kernel_with_the_same_values(deep: httpx.Client) -> None:
    maps_UHW = loaded(get(deep, response="activation", layer=0, resolution="700", x_min=-3, x_max=3, y_min=-3, y_max=3))
    few = get(deep, response="activation", layer=0, resolution="3", x_min=-3, x_max=3, y_min=-3, y_max=3)
    np.testing.assert_allclose(maps_UHW[:, ::699, ::699], loaded(few)[:, ::2, ::2], atol=1e-6)


@pytest.mark.parametrize("transparent", ["false", "true"])
def test_the_picture_of_a_layer_has_a_tile_for_each_unit(deep: httpx.Client, transparent: str) -> None:
    maps_UHW = loaded(get(deep, response="activation", layer=0))
    answer = get(deep, response="activation", layer=0, format="png", transparent=transparent)
    low, high = map(float, answer.headers["separatrix-range"].split(","))
    assert high == -low == pytest.approx(np.abs(maps_UHW).max())
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (3 * 30 + 2 * 2, 3 * 20 + 2 * 2)
        rgba_HW4 = np.asarray(image.convert("RGBA")).astype(int)
    red, blue = (np.array(list(bytes.fromhex(c)), np.uint8) for c in ("c8372d", "2f6fb3"))
    shades = opaque_scale(red, blue, steps=128).astype(int)
    covered = np.zeros(rgba_HW4.shape[:2], bool)
    for unit in range(7):
        rows = slice(unit // 3 * 22, unit // 3 * 22 + 20)
        columns = slice(unit % 3 * 32, unit % 3 * 32 + 30)
        covered[rows, columns] = True
        tile_HW4 = rgba_HW4[rows, columns][::-1]
        if transparent == "true":
            assert np.abs(tile_HW4[..., 3] - 255 * np.abs(maps_UHW[unit]) / high).max() <= 3
        else:
            expected = shades[np.round((maps_UHW[unit] / high + 1) * 63.5).astype(int)]
            assert np.abs(tile_HW4[..., :3] - expected).max() <= 4
    between = (255, 255, 255, 0 if transparent == "true" else 255)
    assert (rgba_HW4[~covered] == between).all()


def test_a_layer_is_not_available_as_json(deep: httpx.Client) -> None:
    query = {"model": "deep", "response": "activation", "layer": 0}
    refused = deep.get("/boundary-grid", params=query, headers={"Accept": "application/json"})
    assert_problem(refused, 406, "not-acceptable")
    assert "application/x-npy or image/png" in refused.json()["detail"]
    refused = deep.get("/boundary-grid", params=query | {"format": "json"})
    assert_problem(refused, 422, "invalid-input", field="format")
    assert "npy or png" in refused.json()["detail"]
    refused = deep.get("/boundary-grid", params=query | {"response": "embedding"}, headers={"Accept": "image/png"})
    assert_problem(refused, 406, "not-acceptable")


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ({"response": "activation", "layer": 3}, "layer", "0 of 7 units, 1 of 3 units, 2 of 1 units"),
        ({"response": "embedding", "layer": 9}, "layer", "0 of 7 units"),
        ({"response": "activation", "layer": 1, "unit": 3}, "unit", "0 to 2: layer 1 has 3 units"),
        ({"response": "activation", "layer": 5, "unit": 0}, "layer", "0 of 7 units"),
        ({"response": "embedding", "layer": 2}, "layer", "at least 2 units"),
        ({"model": "straight", "response": "activation", "layer": 0, "unit": 0}, "layer", "no hidden layers"),
        ({"model": "straight", "response": "activation", "layer": 0}, "layer", "no hidden layers"),
        ({"model": "straight", "response": "embedding", "layer": 0}, "layer", "no hidden layers"),
    ],
    ids=str,
)
def test_a_layer_or_unit_that_does_not_exist_is_refused_with_those_that_do(
    deep: httpx.Client, query: dict[str, Any], field: str, said: str
) -> None:
    answer = deep.get("/boundary-grid", params={"model": "deep"} | query)
    assert_problem(answer, 422, "invalid-input", field=field)
    assert said in answer.json()["detail"]


def test_more_values_than_a_response_may_have_are_refused(deep: httpx.Client) -> None:
    train(deep, "wide", network={"hidden": [300]}, training={"epochs": 1})
    for response in ("activation", "embedding"):
        query = {"response": response, "layer": 0}
        answer = deep.get("/boundary-grid", params={"model": "wide", "resolution": "300"} | query)
        assert_problem(answer, 422, "invalid-input", field="resolution")
        assert get(deep, model="wide", **query).status_code == 200


def test_first_coordinates_are_the_activations_of_the_first_two_units(deep: httpx.Client) -> None:
    maps_UHW = loaded(get(deep, response="activation", layer=1))
    body = get(deep, response="embedding", layer=1, coordinates="first").json()
    assert (body["response"], body["layer"], body["coordinates"]) == ("embedding", 1, "first")
    assert (body["object"], body["shape"]) == ("boundary.embedding", [20, 30, 2])
    assert list(body["window"].values()) == [body["x"][0], body["x"][-1], body["y"][0], body["y"][-1]]
    assert body["mean"] is body["components"] is body["explained"] is None
    np.testing.assert_array_equal(np.array(body["values"], np.float32), np.moveaxis(maps_UHW[:2], 0, -1))
    array = loaded(get(deep, response="embedding", layer=1, coordinates="first", format="npy"))
    np.testing.assert_array_equal(array, np.array(body["values"], np.float32))


@pytest.mark.parametrize(("model", "layer"), [("deep", 0), ("deep", 1), ("branched", 0)])
def test_principal_coordinates_equal_those_of_a_singular_value_decomposition(
    deep: httpx.Client, model: str, layer: int
) -> None:
    activation_NU = (
        loaded(get(deep, model=model, response="activation", layer=layer)).reshape(-1, 600).T.astype(np.float64)
    )
    body = get(deep, model=model, response="embedding", layer=layer).json()
    assert body["coordinates"] == "principal"
    mean_U, components_2U = np.array(body["mean"]), np.array(body["components"])
    np.testing.assert_allclose(mean_U, activation_NU.mean(axis=0), atol=1e-9)
    _, singular, directions = np.linalg.svd(activation_NU - mean_U, full_matrices=False)
    np.testing.assert_allclose(np.abs((components_2U * directions[:2]).sum(axis=1)), 1, atol=1e-6)
    np.testing.assert_allclose(components_2U @ components_2U.T, np.eye(2), atol=1e-9)
    assert (components_2U[[0, 1], np.abs(components_2U).argmax(axis=1)] > 0).all()
    np.testing.assert_allclose(body["explained"], singular[:2] ** 2 / (singular**2).sum(), atol=1e-9)
    values_N2 = np.array(body["values"]).reshape(-1, 2)
    np.testing.assert_allclose(values_N2, (activation_NU - mean_U) @ components_2U.T, atol=1e-6)
