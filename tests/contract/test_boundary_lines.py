"""Boundary lines as GeoJSON, compared with the predictions at their vertices."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from tests.contract.problems import assert_problem
from tests.serving import train

GEOJSON = "application/geo+json"


def lines(client: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = client.get("/boundary-grid", params={"model": "plane", "format": "geojson"} | query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == GEOJSON
    body: dict[str, Any] = answer.json()
    assert body["type"] == "FeatureCollection"
    for feature in body["features"]:
        assert feature["type"] == "Feature"
        assert feature["geometry"]["type"] == "LineString"
        assert set(feature["properties"]) == {"classes", "level", "closed", "color"}
        coordinates = feature["geometry"]["coordinates"]
        assert len(coordinates) >= 2
        assert feature["properties"]["closed"] == (coordinates[0] == coordinates[-1])
    return body


def vertices(feature: dict[str, Any]) -> np.ndarray:
    return np.array(feature["geometry"]["coordinates"])


def predicted(client: httpx.Client, model: str, points: np.ndarray) -> np.ndarray:
    answer = client.post("/predict", json={"model": model, "points": points.tolist()}).json()
    return np.array(answer["probabilities"])


def test_the_boundary_of_a_logistic_model_is_the_straight_line_where_w_x_plus_b_is_0(client: httpx.Client) -> None:
    train(client, "one-line", network={"kind": "logistic"}, training={"epochs": 100, "learning_rate": 0.1})
    state = torch.load(io.BytesIO(client.get("/models/one-line/versions/1/checkpoint").content), weights_only=True)
    w, b = state["w"].numpy().ravel(), float(state["b"])
    body = lines(client, model="one-line")
    assert (body["model"], body["version"], body["axes"], body["at"]) == ("one-line", 1, [0, 1], [])
    (feature,) = body["features"]
    assert feature["properties"] == {
        "classes": ["red", "blue"],
        "level": 0.5,
        "closed": False,
        "color": "#8c6178",
    }
    xy_V2 = vertices(feature)
    assert np.abs(xy_V2 @ w + b).max() / np.linalg.norm(w) < 1e-5
    window = client.get("/boundary-grid", params={"model": "one-line", "resolution": "2"}).json()
    edges = [*window["x"], *window["y"]]
    assert list(body["window"].values()) == edges
    assert list(body["window"]) == ["x_min", "x_max", "y_min", "y_max"]
    assert body["bbox"] == [edges[0], edges[2], edges[1], edges[3]], "RFC 7946, section 5: the lowest corner first"
    for end in (xy_V2[0], xy_V2[-1]):
        assert (
            min(abs(end[0] - edges[0]), abs(end[0] - edges[1]), abs(end[1] - edges[2]), abs(end[1] - edges[3])) < 1e-9
        )


@pytest.mark.slow
@pytest.mark.parametrize("class_name", [None, "red"])
def test_the_probability_at_each_vertex_approaches_the_level_as_the_grid_gets_finer(
    client: httpx.Client, class_name: str | None
) -> None:
    levels = [0.1, 0.5, 0.93]
    query = {"levels": "0.1,0.5,0.93"} | ({"class": class_name} if class_name else {})
    worst = []
    for resolution in (60, 240, 960):
        body = lines(client, resolution=resolution, **query)
        assert body["class"] == (class_name or "blue")
        assert {feature["properties"]["level"] for feature in body["features"]} == set(levels)
        errors = []
        for feature in body["features"]:
            assert feature["properties"]["classes"] == ["red", "blue"]
            prob_V = predicted(client, "plane", vertices(feature))[:, 0 if class_name else 1]
            errors.append(np.abs(prob_V - feature["properties"]["level"]).max())
        worst.append(max(errors))
    assert worst[1] < worst[0] / 4
    assert worst[2] < worst[1] / 4
    assert worst[2] < 1e-3


def test_a_ring_is_a_closed_line(client: httpx.Client) -> None:
    data = {"dataset": "circles", "n": 300}
    training = {"epochs": 3_000, "learning_rate": 0.5}
    train(client, "ring", data=data, network={"hidden": [8]}, training=training)
    body = lines(client, model="ring", x_min=-1.2, x_max=1.2, y_min=-1.2, y_max=1.2)
    (feature,) = [one for one in body["features"] if one["properties"]["closed"]]
    radius_V = np.hypot(*vertices(feature).T)
    assert 0.5 < radius_V.min() < radius_V.max() < 1


@pytest.mark.parametrize("model", ["trio", "five"])
def test_on_a_line_between_two_classes_both_are_equally_probable_and_no_third_is_more_probable(
    client: httpx.Client, model: str
) -> None:
    train(client, "five", data={"dataset": "gaussians", "n_classes": 5, "n": 200}, training={"epochs": 300})
    body = lines(client, model=model, resolution=300)
    pairs = [tuple(feature["properties"]["classes"]) for feature in body["features"]]
    assert all(i < j for i, j in pairs)
    assert pairs == sorted(pairs)
    assert len(set(pairs)) >= 3
    for feature in body["features"]:
        assert feature["properties"]["level"] is None
        prob_VK = predicted(client, model, vertices(feature))
        i, j = (body["classes"].index(label) for label in feature["properties"]["classes"])
        np.testing.assert_allclose(prob_VK[:, i], prob_VK[:, j], atol=2e-3)
        assert (prob_VK.max(axis=1) - np.maximum(prob_VK[:, i], prob_VK[:, j])).max() < 2e-3


def test_the_lines_between_three_clouds_meet_in_one_point(client: httpx.Client) -> None:
    body = lines(client, model="trio", resolution=300)
    assert sorted(feature["properties"]["classes"] for feature in body["features"]) == [[0, 1], [0, 2], [1, 2]]
    ends = np.array([[vertices(feature)[0], vertices(feature)[-1]] for feature in body["features"]])
    inner = [min(pair, key=lambda end: float(np.hypot(*end))) for pair in ends]
    assert np.ptp(inner, axis=0).max() < 0.01


def test_levels_of_one_of_three_classes_are_lines_of_its_probability(client: httpx.Client) -> None:
    body = lines(client, model="trio", resolution=300, levels="0.2,0.8", **{"class": "1"})
    assert body["class"] == 1
    assert len(body["features"]) >= 2
    for feature in body["features"]:
        assert feature["properties"]["classes"] == [1]
        prob_V = predicted(client, "trio", vertices(feature))[:, 1]
        np.testing.assert_allclose(prob_V, feature["properties"]["level"], atol=2e-3)


def test_a_window_of_a_single_class_has_no_lines(client: httpx.Client) -> None:
    window = {"x_min": 3.5, "x_max": 3.6, "y_min": 0.5, "y_max": 0.6}
    for model in ("trio", "plane"):
        labels = client.get("/boundary-grid", params={"model": model, "response": "label"} | window).json()["values"]
        assert (len(np.unique(labels)) == 1) == (lines(client, model=model, **window)["features"] == [])


def test_the_accept_header_selects_lines_and_their_tag_is_recognized(client: httpx.Client) -> None:
    answer = client.get("/boundary-grid", params={"model": "plane"}, headers={"Accept": GEOJSON})
    assert answer.headers["content-type"] == GEOJSON
    assert answer.json() == lines(client)
    known = {"Accept": GEOJSON, "If-None-Match": answer.headers["etag"]}
    assert client.get("/boundary-grid", params={"model": "plane"}, headers=known).status_code == 304
    unit = {"model": "plane", "response": "activation", "layer": 0, "unit": 0}
    refused = client.get("/boundary-grid", params=unit, headers={"Accept": GEOJSON})
    assert_problem(refused, 406, "not-acceptable")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"levels": "0.2,0.9"},
        {"levels": "0.9", "class": "red", "response": "probability"},
        {"response": "label"},
        {"response": "logit"},
        {"response": "entropy", "levels": "0.3"},
        {"response": "activation", "layer": "0", "unit": "1"},
        {"response": "probabilities"},
    ],
)
def test_a_json_grid_with_its_line_has_the_values_and_the_lines_of_separate_requests(
    client: httpx.Client, query: dict[str, str]
) -> None:
    own = {"model": "plane", "resolution": "30"} | query
    of_lines = {name: value for name, value in query.items() if name in ("levels", "class")}
    both = client.get("/boundary-grid", params=own | {"overlay": "line"}).json()
    alone = client.get("/boundary-grid", params={name: own[name] for name in own if name != "levels"}).json()
    assert both.pop("lines") == lines(client, resolution=30, **of_lines)["features"]
    assert both == alone
    assert "lines" not in alone


def test_the_line_of_a_grid_of_labels_is_drawn_at_their_threshold(client: httpx.Client) -> None:
    query = {"model": "plane", "resolution": "30", "threshold": "0.7", "overlay": "line"}
    found = client.get("/boundary-grid", params=query).json()
    assert found["lines"] == lines(client, resolution=30, levels="0.7")["features"]


def test_a_json_grid_of_more_classes_has_the_lines_between_them(client: httpx.Client) -> None:
    query = {"model": "trio", "resolution": "30", "overlay": "line"}
    for response in ("label", "probabilities"):
        found = client.get("/boundary-grid", params=query | {"response": response}).json()
        assert found["lines"] == lines(client, model="trio", resolution=30)["features"]
        assert len(found["lines"]) > 1


def test_a_picture_draws_its_line_at_the_levels(client: httpx.Client) -> None:
    query = {"model": "plane", "resolution": "60", "format": "png", "overlay": "line"}
    pictures = {
        levels: client.get("/boundary-grid", params=query | extra).content
        for levels, extra in {None: {}, "0.5": {"levels": "0.5"}, "0.9": {"levels": "0.9"}}.items()
    }
    assert pictures["0.5"] == pictures[None]
    assert pictures["0.9"] != pictures[None]
