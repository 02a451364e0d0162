"""Derived inputs: squares, products, sines and cosines of the coordinates, as every route answers for them."""

import io
import math
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from torch import nn

from tests.contract.job_requests import WAIT, act, endless, submit
from tests.contract.problems import assert_problem
from tests.serving import train
from tests.streams import stream

SEVEN = ["x", "y", "x^2", "y^2", "x*y", "sin x", "sin y"]
CENTER = np.array([692_000.0, 5_334_000.0])
NPY = {"Content-Type": "application/x-npy", "Accept": "application/json"}


def ring() -> dict[str, Any]:
    """Points in a disc and on a ring around it, in metres that float32 cannot tell apart."""
    rng = np.random.default_rng(0)
    angle_N, far_N = rng.uniform(0, 2 * math.pi, 200), np.repeat([0.0, 1.0], 100)
    away_N = rng.uniform(0, 0.6, 200) + far_N
    around_N2 = away_N[:, None] * np.column_stack([np.cos(angle_N), np.sin(angle_N)])
    return {"points": (around_N2 + CENTER).tolist(), "labels": [("in", "out")[int(far)] for far in far_N]}


@pytest.fixture(scope="module")
def rings(client: httpx.Client) -> dict[str, Any]:
    """The job of a model with all seven inputs."""
    network = {"kind": "residual", "hidden": [3], "inputs": SEVEN}
    return train(client, "rings", data=ring(), network=network, training={"epochs": 60, "learning_rate": 0.3})


@pytest.mark.parametrize(
    ("data", "inputs"),
    [
        ({"dataset": "circles", "noise": 0.1}, ["x^2", "y^2"]),
        ({"dataset": "xor", "noise": 0.02}, ["products"]),
        (ring(), ["squares"]),
    ],
    ids=["circles", "xor", "a ring in metres"],
)
def test_logistic_regression_separates_what_it_cannot_without_derived_inputs(
    client: httpx.Client, data: dict[str, Any], inputs: list[str]
) -> None:
    accuracies = [
        train(
            client,
            "shape",
            data=data,
            network={"kind": "logistic"} | network,
            training={"epochs": 400, "learning_rate": 1},
        )["metrics"]["training_accuracy"]
        for network in ({}, {"inputs": inputs})
    ]
    assert accuracies[0] < 0.75
    assert accuracies[1] > 0.97


def plain_answers(client: httpx.Client, job: dict[str, Any], points: list[list[float]]) -> np.ndarray:
    """The probabilities of the second class, by the plain torch script in the documentation: (N,)."""
    version = client.get(job["links"]["version"]).json()
    content = client.get(version["links"]["checkpoint"]).content
    state = torch.load(io.BytesIO(content), weights_only=True)
    stack = nn.Sequential(nn.Linear(7, 3), nn.Tanh(), nn.Linear(3, 1))
    skip = nn.Linear(7, 1)
    stack.load_state_dict({key.removeprefix("layer2."): value for key, value in state.items() if "layer2" in key})
    skip.load_state_dict({key.removeprefix("layer1."): value for key, value in state.items() if "layer1" in key})

    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    script = re.search(r"^    double = torch\.float64\n(?:    .*\n)*", page, re.MULTILINE)
    assert script
    *lines, last = [line.strip() for line in script[0].splitlines()]
    names = {"torch": torch, "card": version["card"], "points": points, "net": lambda x: skip(x) + stack(x)}
    exec("\n".join([*lines, f"logits = {last}"]), names)
    probabilities: np.ndarray = torch.sigmoid(names["logits"])[:, 0].detach().numpy()
    return probabilities


def test_a_plain_torch_script_gives_the_same_probabilities_in_every_format(
    client: httpx.Client, rings: dict[str, Any]
) -> None:
    points = ring()["points"][::2]
    expected_N = plain_answers(client, rings, points)
    assert np.ptp(expected_N) > 0.5
    assert rings["metrics"]["training_accuracy"] > 0.95

    one_by_one = [client.post("/predict", json={"model": "rings", "points": [point]}).json() for point in points[::10]]
    ours = [one["probabilities"][0][1] for one in one_by_one]
    np.testing.assert_allclose(ours, expected_N[::10], atol=1e-5)

    together = client.post("/predict", json={"model": "rings", "points": points, "outputs": ["probabilities"]}).json()
    np.testing.assert_allclose(np.array(together["probabilities"])[:, 1], expected_N, atol=1e-5)

    array = io.BytesIO()
    np.save(array, np.array(points))
    body = array.getvalue()
    as_array = client.post("/predict?model=rings&outputs=probabilities", content=body, headers=NPY).json()
    np.testing.assert_allclose(np.array(as_array["probabilities"])[:, 1], expected_N, atol=1e-5)
    many = io.BytesIO()
    np.save(many, np.tile(np.array(points), (400, 1)))
    both_npy = NPY | {"Accept": "application/x-npy"}
    large = client.post("/predict?model=rings&outputs=probabilities", content=many.getvalue(), headers=both_npy)
    np.testing.assert_allclose(np.load(io.BytesIO(large.content))[:, 1], np.tile(expected_N, 400), atol=1e-5)


def cells_of(grid: dict[str, Any]) -> list[list[float]]:
    cells: list[list[float]] = np.stack(np.meshgrid(grid["x"], grid["y"]), axis=-1).reshape(-1, 2).tolist()
    return cells


def test_grids_have_the_answers_of_their_cells_in_every_format(client: httpx.Client, rings: dict[str, Any]) -> None:
    query = {"model": "rings", "resolution": "24x20"}
    grid = client.get("/boundary-grid", params=query).json()
    expected_HW = plain_answers(client, rings, cells_of(grid)).reshape(20, 24)
    np.testing.assert_allclose(grid["values"], expected_HW, atol=1e-5)
    array = client.get("/boundary-grid", params=query | {"format": "npy"})
    np.testing.assert_allclose(np.load(io.BytesIO(array.content)), expected_HW, atol=1e-5)

    labels = client.get("/boundary-grid", params=query | {"response": "label"}).json()
    np.testing.assert_array_equal(labels["values"], expected_HW > 0.5)
    adaptive = client.get("/boundary-grid", params=query | {"response": "label", "adaptive": "true"}).json()
    assert adaptive["values"] == labels["values"]
    large = {"model": "rings", "response": "label", "resolution": "400"}
    by_kernel, proven = (
        client.get("/boundary-grid", params=large | more).json() for more in ({}, {"adaptive": "true"})
    )
    assert np.mean(np.array(by_kernel["values"]) == proven["values"]) > 0.9999
    picture = client.get("/boundary-grid", params=query | {"format": "png", "overlay": "points,line"})
    assert picture.status_code == 200


def test_the_boundary_line_of_squares_is_an_ellipse_around_the_points(client: httpx.Client) -> None:
    network = {"kind": "logistic", "inputs": ["squares"]}
    train(client, "ellipse", data=ring(), network=network, training={"epochs": 400, "learning_rate": 1})
    lines = client.get("/boundary-grid?model=ellipse&format=geojson&resolution=100").json()["features"]
    assert len(lines) == 1
    vertices_V2 = np.array(lines[0]["geometry"]["coordinates"]).reshape(-1, 2)
    away_V = np.hypot(*(vertices_V2 - CENTER).T)
    assert 0.6 < away_V.min() < away_V.max() < 1.1


def test_curves_slices_and_hidden_units_have_the_answers_of_their_points(client: httpx.Client) -> None:
    rng = np.random.default_rng(1)
    points_N3 = rng.normal([0, 50, -3], [1, 20, 0.1], (120, 3))
    s_N3 = (points_N3 - points_N3.mean(axis=0)) / points_N3.std(axis=0)
    data = {
        "points": points_N3.tolist(),
        "labels": (s_N3[:, 0] * s_N3[:, 1] + s_N3[:, 2] ** 2 > 0.5).astype(int).tolist(),
    }
    network = {"hidden": [3], "inputs": ["coordinates", "squares", "products", "cos x3"]}
    job = train(client, "derived-space", data=data, network=network, training={"epochs": 200, "learning_rate": 0.5})
    assert job["metrics"]["training_accuracy"] > 0.9
    card = client.get(job["links"]["version"]).json()["card"]
    assert (card["n_features"], card["network"]["inputs"]) == (3, network["inputs"])
    np.testing.assert_allclose(card["offset"], points_N3.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(card["divisor"], points_N3.std(axis=0), rtol=1e-5)

    def predicted(rows: np.ndarray) -> np.ndarray:
        body = {"model": "derived-space", "points": rows.tolist(), "outputs": ["probabilities"]}
        return np.array(client.post("/predict", json=body).json()["probabilities"])[:, 1]

    plane = client.get("/boundary-grid?model=derived-space&axes=2,0&at=61.5&resolution=12").json()
    cells = np.array(cells_of(plane))
    rows = np.column_stack([cells[:, 1], np.full(len(cells), 61.5), cells[:, 0]])
    np.testing.assert_allclose(np.ravel(plane["values"]), predicted(rows), atol=1e-4)
    curve = client.get("/boundary-grid?model=derived-space&axes=1&at=0.25,-3.05&resolution=30").json()
    rows = np.column_stack([np.full(30, 0.25), curve["x"], np.full(30, -3.05)])
    np.testing.assert_allclose(curve["values"], predicted(rows), atol=1e-4)

    layer = client.get(
        "/boundary-grid?model=derived-space&axes=0,1&response=activation&layer=0&format=npy&resolution=8"
    )
    unit = client.get(
        "/boundary-grid?model=derived-space&axes=0,1&response=activation&layer=0&unit=1&resolution=8"
    ).json()
    np.testing.assert_allclose(np.load(io.BytesIO(layer.content))[1], unit["values"], atol=1e-5)
    one = np.array([unit["x"][2], unit["y"][5], *unit["at"]])
    s_3 = (one - card["offset"]) / card["divisor"]
    inputs = [*s_3, *s_3**2, s_3[0] * s_3[1], s_3[0] * s_3[2], s_3[1] * s_3[2], math.cos(s_3[2])]
    state = torch.load(io.BytesIO(client.get(f"{job['links']['version']}/checkpoint").content), weights_only=True)
    expected = math.tanh(state["0.weight"][1].double().numpy() @ inputs + state["0.bias"][1].item())
    assert unit["values"][5][2] == pytest.approx(expected, abs=1e-4)


def test_the_nearest_change_is_near_and_has_another_label(client: httpx.Client, rings: dict[str, Any]) -> None:
    points = ring()["points"][::20]
    body = {"model": "rings", "points": points, "outputs": ["labels", "nearest"]}
    answer = client.post("/predict", json=body).json()
    for label, point, change in zip(answer["labels"], points, answer["nearest"], strict=True):
        other = client.post("/predict", json={"model": "rings", "points": [change["point"]]}).json()["labels"]
        assert other != [label]
        assert math.dist(point, change["point"]) == pytest.approx(change["distance"], rel=1e-3)
        assert 0 < change["at_least"] <= change["distance"]


@pytest.mark.slow
def test_frames_and_the_checkpoint_of_a_training_take_the_derived_inputs(client: httpx.Client) -> None:
    data = ring()
    points_N2 = np.array(data["points"])
    with endless(client, data=data, network={"hidden": [64, 64], "inputs": SEVEN}) as job:
        with stream(client, job["links"]["events"], boundary=16) as events:
            frame = next(event.data for event in events if event.kind == "boundary")
        low, high = points_N2.min(axis=0), points_N2.max(axis=0)
        assert frame["window"]["y_min"] == pytest.approx(low[1] - (high - low)[1] / 8, abs=0.01)
        assert act(client, job, "pause", **WAIT).json()["status"] == "paused"
        state = torch.load(io.BytesIO(client.get(f"{job['links']['self']}/checkpoint").content), weights_only=True)
    net = nn.Sequential(nn.Linear(7, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    net.load_state_dict(state)
    s_N2 = (points_N2 - points_N2.mean(axis=0)) / points_N2.std(axis=0)
    inputs_NI = np.column_stack([s_N2, s_N2**2, s_N2.prod(axis=1), np.sin(s_N2)])
    with torch.no_grad():
        label_N = (net(torch.tensor(inputs_NI).float()) > 0)[:, 0].numpy()
    assert np.mean(label_N == (np.array(data["labels"]) == "out")) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["compiled", "torch"])
def test_both_implementations_train_with_derived_inputs(client: httpx.Client, implementation: str) -> None:
    network = {"kind": "logistic", "inputs": SEVEN}
    training = {"epochs": 40, "implementation": implementation, "validation_fraction": 0.2}
    job = train(client, f"by-{implementation}", data={"dataset": "circles"}, network=network, training=training)
    other = train(
        client, "by-other", data={"dataset": "circles"}, network=network, training=training | {"implementation": "auto"}
    )
    assert job["metrics"]["validation_loss"] == pytest.approx(other["metrics"]["validation_loss"], rel=1e-4)


def test_features_may_be_named_in_terms(client: httpx.Client) -> None:
    data = ring() | {"feature_names": ["east", "north"]}
    network = {"kind": "logistic", "inputs": ["east^2", "north*north"]}
    job = train(client, "named-terms", data=data, network=network, training={"epochs": 300, "learning_rate": 1})
    assert job["network"]["inputs"] == network["inputs"]
    assert job["metrics"]["training_accuracy"] > 0.97
    assert client.post("/predict", json={"model": "named-terms", "points": [CENTER.tolist()]}).json()["labels"] == [
        "in"
    ]


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ([], "network.inputs"),
        (["z"], "network.inputs.0"),
        (["x", "x3^2"], "network.inputs.1"),
        (["x", "y", "x1"], "network.inputs.2"),
        (["x", 2], "network.inputs.1"),
        (["x" * 1_000], "network.inputs.0"),
        ("x", "network.inputs"),
    ],
)
def test_inputs_that_are_not_terms_are_refused_with_the_field_at_fault(
    client: httpx.Client, inputs: Any, field: str
) -> None:
    body = {"model": "refused", "data": {"dataset": "moons"}, "network": {"inputs": inputs}}
    assert_problem(submit(client, body), 422, "invalid-input", field=field)


def test_a_point_whose_derived_inputs_overflow_is_refused(client: httpx.Client) -> None:
    train(client, "squares", network={"kind": "logistic", "inputs": ["squares"]}, training={"epochs": 1})
    for points in ([[1e25, 0]], [[0, 1e25]] * 20):
        answer = client.post("/predict", json={"model": "squares", "points": points})
        assert_problem(answer, 422, "invalid-input", field="points")
    grid = client.get("/boundary-grid?model=squares&x_max=1e25&resolution=4")
    assert_problem(grid, 422, "invalid-input", field="x_max")
