"""The default window and its margin, in every format and endpoint that has a window."""

import base64
import io
import math
from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.problems import assert_problem
from tests.serving import train
from tests.streams import all_events

POINTS = [[100, 0.5], [104, 0.5], [101, -0.5], [108, 1.5], [103, 3.5], [107, 2.0]]
OWN = {"points": POINTS, "labels": [0, 0, 0, 1, 1, 1]}
LOW, HIGH = np.min(POINTS, axis=0), np.max(POINTS, axis=0)


@pytest.fixture(scope="module")
def own(client: httpx.Client) -> httpx.Client:
    """The client, with `own` of points of the client's own."""
    train(client, "own-window", data=OWN, network={"hidden": [3]}, training={"epochs": 300})
    return client


def grid(client: httpx.Client, **query: Any) -> httpx.Response:
    answer = client.get("/boundary-grid", params={"model": "own-window", "resolution": "9x7"} | query)
    assert answer.status_code == 200, answer.text
    return answer


def edges(margin: float) -> list[float]:
    """The window with this margin: x_min, x_max, y_min, y_max."""
    added = margin * (HIGH - LOW)
    return [LOW[0] - added[0], HIGH[0] + added[0], LOW[1] - added[1], HIGH[1] + added[1]]


@pytest.mark.parametrize("margin", [0.0, 0.1, 4.0])
def test_a_margin_is_a_share_of_the_range_on_each_side(own: httpx.Client, margin: float) -> None:
    window = grid(own, margin=margin).json()["window"]
    assert list(window.values()) == pytest.approx(edges(margin))


def test_a_grid_with_a_margin_equals_that_of_the_same_window_in_every_format(own: httpx.Client) -> None:
    window = dict(zip(("x_min", "x_max", "y_min", "y_max"), edges(0.25), strict=True))
    for query in (
        {"format": "json"},
        {"format": "npy"},
        {"format": "csv"},
        {"format": "png", "overlay": "points,line"},
        {"format": "geojson", "resolution": "40"},
        {"format": "svg", "resolution": "40"},
        {"format": "npy", "response": "activation", "layer": 0},
        {"format": "json", "response": "embedding", "layer": 0},
        {"format": "json", "response": "label", "adaptive": "true"},
    ):
        with_margin, explicit = grid(own, **query, margin=0.25), grid(own, **query, **window)
        assert with_margin.content == explicit.content, query
        assert with_margin.headers.get("separatrix-window") == explicit.headers.get("separatrix-window")


def test_without_a_margin_own_points_have_an_eighth_and_generated_ones_the_unit_of_the_tutorial(
    own: httpx.Client,
) -> None:
    assert list(grid(own).json()["window"].values()) == pytest.approx(edges(1 / 8))
    points = np.array(own.get("/datasets/flower/points").json()["points"])
    window = grid(own, model="plane").json()["window"]
    assert window["x_min"] == pytest.approx(points[:, 0].min() - 1, rel=1e-6)
    window = grid(own, model="plane", margin=0.5).json()["window"]
    assert window["x_min"] == pytest.approx(points[:, 0].min() - np.ptp(points[:, 0]) / 2, rel=1e-6)


def test_a_margin_applies_to_the_edges_that_are_not_given(own: httpx.Client) -> None:
    window = grid(own, margin=0.5, x_min=90, y_max=10).json()["window"]
    assert list(window.values()) == pytest.approx([90, edges(0.5)[1], edges(0.5)[2], 10])
    assert grid(own, axes="1", resolution="9", margin=0).json()["window"] == {
        "x_min": LOW[1],
        "x_max": HIGH[1],
        "y_min": None,
        "y_max": None,
    }


def test_a_constant_feature_keeps_its_margin(client: httpx.Client) -> None:
    data = {"points": [[0, 5], [1, 5], [2, 5]], "labels": [0, 1, 1]}
    train(client, "flat-window", data=data, training={"epochs": 1})
    window = grid(client, model="flat-window", margin=0).json()["window"]
    assert list(window.values()) == [0, 2, 4, 6]


@pytest.mark.parametrize(
    "query",
    [
        {"margin": "-0.1"},
        {"margin": "4.1"},
        {"margin": "nan"},
        {"margin": "inf"},
        {"margin": "wide"},
        {"margin": "0.1", "x_min": 0, "x_max": 1, "y_min": 0, "y_max": 1},
        {"margin": "0.1", "x_min": 0, "x_max": 1, "axes": "0"},
    ],
    ids=str,
)
def test_a_margin_that_is_out_of_bounds_or_has_no_edge_to_move_is_refused(
    own: httpx.Client, query: dict[str, Any]
) -> None:
    answer = own.get("/boundary-grid", params={"model": "own-window"} | query)
    assert_problem(answer, 422, "invalid-input", field="margin")


def test_frames_have_the_margin_that_their_stream_asks_for(client: httpx.Client) -> None:
    job = client.post("/train", json={"model": "frame-margin", "data": OWN, "training": {"epochs": 50}}).json()
    path = job["links"]["events"]
    frames = {}
    for margin in (0.0, 2.0):
        events = all_events(client, path, boundary=9, margin=margin)
        (frame,) = [event.data for event in events if event.kind == "boundary"][-1:]
        assert list(frame["window"].values()) == pytest.approx(edges(margin))
        query = {"model": "frame-margin", "resolution": "9", "margin": margin}
        values_HW = np.array(client.get("/boundary-grid", params=query).json()["values"])
        frames[margin] = np.frombuffer(base64.b64decode(frame["values_base64"]), np.uint8).reshape(9, 9)
        assert np.abs(frames[margin] * frame["scale"] - values_HW).max() <= 1 / 255
    assert (frames[0.0] != frames[2.0]).any()
    refused = client.get(f"{path}?margin=1", headers={"Accept": "text/event-stream"})
    assert_problem(refused, 422, "invalid-input", field="margin")
    refused = client.get(f"{path}?boundary=9&margin=5", headers={"Accept": "text/event-stream"})
    assert_problem(refused, 422, "invalid-input", field="margin")


def test_the_margin_limits_how_far_the_nearest_change_is_searched(own: httpx.Client) -> None:
    diagonal = math.hypot(*(HIGH - LOW))
    angle_N = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    around = ((LOW + HIGH) / 2 + 3 * diagonal * np.column_stack([np.cos(angle_N), np.sin(angle_N)])).tolist()
    body = {"model": "own-window", "points": around, "outputs": ["nearest"]}
    found = own.post("/predict", json=body | {"margin": 4}).json()["nearest"]
    far = next(i for i, one in enumerate(found) if one["point"] is not None and one["distance"] > 1.1 * diagonal)
    body["points"] = [around[far]]
    none = own.post("/predict", json=body | {"margin": 0}).json()["nearest"][0]
    assert none["point"] is None
    assert none["at_least"] == pytest.approx(diagonal, rel=1e-4)
    assert own.post("/predict", json=body | {"margin": 4}).json()["nearest"] == [found[far]]
    array = io.BytesIO()
    np.save(array, np.array(body["points"]))
    headers = {"Content-Type": "application/x-npy", "Accept": "application/json"}
    query = {"model": "own-window", "outputs": "nearest", "margin": 0}
    assert own.post("/predict", params=query, content=array.getvalue(), headers=headers).json()["nearest"] == [none]


@pytest.mark.parametrize("extra", [{"margin": 5}, {"margin": -1}, {"margin": 0.1, "outputs": ["labels"]}], ids=str)
def test_a_margin_without_a_search_or_out_of_bounds_is_refused(own: httpx.Client, extra: dict[str, Any]) -> None:
    body = {"model": "own-window", "points": [[0, 0]], "outputs": ["nearest"]} | extra
    assert_problem(own.post("/predict", json=body), 422, "invalid-input", field="margin")
