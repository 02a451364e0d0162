from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.problems import assert_problem
from tests.serving import train

LAYER = {"response": "activation", "layer": 0}
UNIT = LAYER | {"unit": 0}
EMBEDDING = {"response": "embedding", "layer": 0}


def grid(client: httpx.Client, **query: Any) -> httpx.Response:
    return client.get("/boundary-grid", params={"model": "plane", "resolution": "12x8"} | query)


def test_a_grid_has_axes_a_shape_and_a_value_for_every_cell(client: httpx.Client) -> None:
    body = grid(client, x_min=-3, x_max=5, y_min=-1, y_max=2).json()
    assert set(body) == {
        *("object", "model", "version", "axes", "axis_names", "at", "window", "x", "y", "shape"),
        *("response", "class", "layer", "unit", "classes", "colors", "evaluated", "values"),
    }
    assert (body["axes"], body["at"], body["layer"], body["unit"]) == ([0, 1], [], None, None)
    assert (body["model"], body["version"], body["response"], body["class"]) == ("plane", 1, "probability", "blue")
    assert (body["object"], body["classes"]) == ("boundary.grid", ["red", "blue"])
    assert body["window"] == {"x_min": -3, "x_max": 5, "y_min": -1, "y_max": 2}
    assert body["shape"] == [8, 12]
    np.testing.assert_allclose(body["x"], np.linspace(-3, 5, 12))
    np.testing.assert_allclose(body["y"], np.linspace(-1, 2, 8))
    assert np.array(body["values"]).shape == (8, 12)


def test_each_value_equals_the_prediction_at_its_cell_and_row_0_is_at_y_min(client: httpx.Client) -> None:
    body = grid(client).json()
    points = [[x, y] for y in body["y"] for x in body["x"]]
    predicted = client.post("/predict", json={"model": "plane", "points": points}).json()
    expected = np.array(predicted["probabilities"])[:, 1].reshape(8, 12)
    np.testing.assert_allclose(body["values"], expected, atol=1e-6)

    labels = grid(client, response="label").json()
    assert labels["class"] is None
    assert [labels["classes"][k] for row in labels["values"] for k in row] == predicted["labels"]


def test_the_probability_is_that_of_the_requested_class(client: httpx.Client) -> None:
    red, blue = (np.array(grid(client, **{"class": name}).json()["values"]) for name in ("red", "blue"))
    np.testing.assert_allclose(red + blue, 1.0, atol=1e-6)
    logit = np.array(grid(client, response="logit").json()["values"])
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), blue, atol=1e-6)


def test_the_default_window_is_the_range_of_the_training_data_and_1_around_it(client: httpx.Client) -> None:
    body = grid(client).json()
    points = np.array(client.get("/datasets/flower/points").json()["points"])
    np.testing.assert_allclose([body["x"][0], body["y"][0]], points.min(axis=0) - 1, rtol=1e-6)
    np.testing.assert_allclose([body["x"][-1], body["y"][-1]], points.max(axis=0) + 1, rtol=1e-6)
    half = grid(client, x_min=0).json()
    assert half["x"][0] == 0
    assert half["x"][-1] == body["x"][-1]


def test_a_resolution_of_one_number_makes_a_square_grid_and_the_default_is_200(client: httpx.Client) -> None:
    assert grid(client, resolution="5").json()["shape"] == [5, 5]
    assert client.get("/boundary-grid", params={"model": "plane"}).json()["shape"] == [200, 200]


def test_a_grid_may_have_a_million_cells(client: httpx.Client) -> None:
    assert grid(client, resolution="1024", response="label").json()["shape"] == [1024, 1024]


def test_with_three_classes_labels_are_the_default_and_a_probability_needs_a_class(client: httpx.Client) -> None:
    body = grid(client, model="trio").json()
    assert body["response"] == "label"
    assert {k for row in body["values"] for k in row} == {0, 1, 2}
    assert_problem(grid(client, model="trio", response="probability"), 422, "invalid-input", field="class")
    total = sum(
        np.array(grid(client, model="trio", response="probability", **{"class": k}).json()["values"]) for k in range(3)
    )
    np.testing.assert_allclose(total, 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"resolution": "1"}, "resolution"),
        ({"resolution": "0"}, "resolution"),
        ({"resolution": "-5"}, "resolution"),
        ({"resolution": "12.5"}, "resolution"),
        ({"resolution": "12x"}, "resolution"),
        ({"resolution": "4097x2"}, "resolution"),
        ({"resolution": "2000"}, "resolution"),
        ({"resolution": "9" * 100}, "resolution"),
        ({"resolution": "8193"}, "resolution"),
        ({"resolution": "020"}, "resolution"),
        ({"x_min": "left"}, "x_min"),
        ({"x_min": "nan"}, "x_min"),
        ({"y_max": "inf"}, "y_max"),
        ({"y_max": "1e300"}, "y_max"),
        ({"x_min": 2, "x_max": 2}, "x_max"),
        ({"y_min": 2, "y_max": 1}, "y_max"),
        ({"response": "certainty"}, "response"),
        ({"axes": "2"}, "axes"),
        ({"axes": "0,2"}, "axes"),
        ({"axes": "1,1"}, "axes"),
        ({"axes": "0,1,0"}, "axes"),
        ({"axes": "x,y"}, "axes"),
        ({"axes": "-1,0"}, "axes"),
        ({"axes": ""}, "axes"),
        ({"at": "1"}, "at"),
        ({"axes": "0", "at": ""}, "at"),
        ({"axes": "0", "at": "1,2"}, "at"),
        ({"axes": "0", "at": "nan"}, "at"),
        ({"axes": "0", "at": "1e31"}, "at"),
        ({"axes": "0", "at": "1e999"}, "at"),
        ({"axes": "0", "at": "1_0"}, "at"),
        ({"axes": "0", "at": "one"}, "at"),
        ({"axes": "0", "y_min": 0}, "y_min"),
        ({"axes": "0", "y_max": 0}, "y_max"),
        ({"axes": "0", "resolution": "20x10"}, "resolution"),
        ({"axes": "0", "resolution": "20x0", "format": "png"}, "resolution"),
        ({"axes": "0", "resolution": "20x5000", "format": "png"}, "resolution"),
        ({"axes": "0", "resolution": "20", "format": "geojson"}, "format"),
        ({"axes": "0", "format": "png", "overlay": "points"}, "overlay"),
        ({"axes": "0", "format": "png", "overlay": "line"}, "overlay"),
        ({"overlay": "maybe", "format": "png"}, "overlay"),
        ({"overlay": "", "format": "png"}, "overlay"),
        ({"overlay": "line,line", "format": "png"}, "overlay"),
        ({"points": "true", "format": "png"}, "points"),
        ({"line": "true", "format": "png"}, "line"),
        ({"overlay": "points"}, "overlay"),
        ({"overlay": "line", "format": "npy"}, "overlay"),
        ({"overlay": "points,line"}, "overlay"),
        ({"axes": "0", "resolution": "20", "overlay": "line"}, "overlay"),
        (EMBEDDING | {"overlay": "line"}, "overlay"),
        ({"levels": "0.5", "overlay": "points", "format": "png"}, "levels"),
        ({"levels": "0.5", "threshold": "0.5", "overlay": "line"}, "levels"),
        ({"levels": "2", "overlay": "line"}, "levels"),
        ({"transparent": "true", "format": "geojson"}, "transparent"),
        ({"unit": 0}, "unit"),
        ({"unit": "0.1"}, "unit"),
        (UNIT | {"unit": 4}, "unit"),
        (UNIT | {"unit": 10_000}, "unit"),
        (UNIT | {"unit": -1}, "unit"),
        (UNIT | {"layer": 1}, "layer"),
        (UNIT | {"response": "logit"}, "layer"),
        (UNIT | {"class": "red"}, "class"),
        (UNIT | {"format": "geojson"}, "format"),
        ({"response": "activation"}, "layer"),
        ({"response": "activation", "unit": 0}, "layer"),
        (LAYER | {"layer": 1}, "layer"),
        (LAYER | {"layer": -1}, "layer"),
        (LAYER | {"layer": 10_000}, "layer"),
        (LAYER | {"layer": "first"}, "layer"),
        (LAYER | {"format": "json"}, "format"),
        (LAYER | {"format": "geojson"}, "format"),
        (LAYER | {"format": "png", "overlay": "points"}, "overlay"),
        (LAYER | {"response": "label"}, "layer"),
        ({"layer": 0}, "layer"),
        ({"layer": 0, "format": "png"}, "layer"),
        ({"response": "embedding"}, "layer"),
        (EMBEDDING | {"layer": 1}, "layer"),
        (EMBEDDING | {"unit": 0}, "unit"),
        (EMBEDDING | {"class": "red"}, "class"),
        (EMBEDDING | {"format": "png"}, "format"),
        (EMBEDDING | {"coordinates": "polar"}, "coordinates"),
        ({"coordinates": "first"}, "coordinates"),
        (LAYER | {"coordinates": "first"}, "coordinates"),
        ({"warp": 0}, "warp"),
        ({"levels": "0.5"}, "levels"),
        ({"levels": "0.5", "format": "png"}, "levels"),
        ({"levels": "", "format": "geojson"}, "levels"),
        ({"levels": "0", "format": "geojson"}, "levels"),
        ({"levels": "1", "format": "geojson"}, "levels"),
        ({"levels": "0.5,0.5", "format": "geojson"}, "levels"),
        ({"levels": "0.5;0.6", "format": "geojson"}, "levels"),
        ({"levels": ",".join(f"0.{i:02}" for i in range(1, 22)), "format": "geojson"}, "levels"),
        ({"response": "label", "format": "geojson"}, "response"),
        ({"model": "trio", "levels": "0.5", "format": "geojson"}, "class"),
        ({"model": "trio", "class": "1", "format": "geojson"}, "class"),
        ({"model": "line", "axes": "0,1"}, "axes"),
        ({"class": "green"}, "class"),
        ({"class": "r" * 65}, "class"),
        ({"version": "latest"}, "version"),
        ({"model": "No Such"}, "model"),
        ({"zoom": 2}, "zoom"),
    ],
)
def test_an_invalid_grid_is_refused_with_the_parameter_at_fault(
    client: httpx.Client, query: dict[str, Any], field: str
) -> None:
    assert_problem(grid(client, **query), 422, "invalid-input", field=field)


def test_a_model_of_huge_points_has_a_default_window(client: httpx.Client) -> None:
    data = {"points": [[1e30, 5e17], [-1e30, 5e17]], "labels": [0, 1]}
    train(client, "huge", data=data, network={"kind": "logistic"}, training={"epochs": 1, "learning_rate": 1e-30})
    body = grid(client, model="huge").json()
    assert body["x"][0] < -1e30
    assert body["y"][0] < 5e17 < body["y"][-1]


@pytest.mark.parametrize("model", ["plane", "trio"])
def test_entropy_is_computed_from_the_probabilities_in_bits(client: httpx.Client, model: str) -> None:
    body = grid(client, model=model, response="entropy").json()
    assert body["class"] is None
    points = [[x, y] for y in body["y"] for x in body["x"]]
    answer = client.post("/predict", json={"model": model, "points": points}).json()
    prob_NK = np.array(answer["probabilities"])
    expected = -(prob_NK * np.log2(np.maximum(prob_NK, 1e-300))).sum(axis=1)
    np.testing.assert_allclose(np.ravel(body["values"]), expected, atol=1e-5)
    assert 0 <= np.min(body["values"]) < np.max(body["values"]) <= np.log2(len(body["classes"])) + 1e-6


def test_an_unknown_model_or_version_is_not_found(client: httpx.Client) -> None:
    assert_problem(grid(client, model="nobody"), 404, "model-not-found")
    assert_problem(grid(client, version=2), 404, "version-not-found")
    assert_problem(client.get("/boundary-grid"), 422, "invalid-input", field="model")
