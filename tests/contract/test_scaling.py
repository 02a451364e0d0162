"""Points of the client's own, in whatever units: the defaults learn from them, and every answer is in those units."""

import io
import math
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

UNITS = {
    "micrometres": ((0.0, 0.0), 1e-6),
    "UTM metres": ((692_000.0, 5_334_000.0), 1.0),
    "beside a Unix time": ((0.0, 1_700_000_000.0), 40.0),
}
"""Where moons lie, and how large they are."""


def moons(units: str) -> dict[str, Any]:
    """Points of two interleaved half circles, and their labels."""
    (x, y), size = UNITS[units]
    angle_N = np.random.default_rng(0).uniform(0, math.pi, 200)
    upper_N2 = np.column_stack([np.cos(angle_N), np.sin(angle_N)])
    unit_N2 = np.concatenate([upper_N2, [1.0, 0.5] - upper_N2])
    return {"points": (unit_N2 * size + (x, y)).tolist(), "labels": ["up"] * 200 + ["down"] * 200}


@pytest.fixture(scope="module", params=UNITS)
def case(request: pytest.FixtureRequest, client: httpx.Client) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The name of a model that was trained with nothing set, its points, and its job."""
    data = moons(request.param)
    name = "moons-" + request.param.replace(" ", "-").lower()
    return name, data, train(client, name, data=data, training={})


Case = tuple[str, dict[str, Any], dict[str, Any]]


def test_the_defaults_separate_points_in_any_units(client: httpx.Client, case: Case) -> None:
    name, data, job = case
    assert job["network"]["scale"] == "standard"
    assert job["metrics"]["training_accuracy"] > 0.97
    body = {"model": name, "points": data["points"], "outputs": ["labels", "probabilities"]}
    answer = client.post("/predict", json=body).json()
    right = [label == own for label, own in zip(answer["labels"], data["labels"], strict=True)]
    assert np.mean(right) == pytest.approx(job["metrics"]["training_accuracy"], abs=0.006)

    one_by_one = [
        client.post("/predict", json={"model": name, "points": [point]}).json() for point in data["points"][::40]
    ]
    assert [one["labels"][0] for one in one_by_one] == answer["labels"][::40]
    array = io.BytesIO()
    np.save(array, np.array(data["points"]))
    headers = {"Content-Type": "application/x-npy", "Accept": "application/json"}
    as_array = client.post(f"/predict?model={name}", content=array.getvalue(), headers=headers).json()
    assert as_array["labels"] == answer["labels"]


def test_the_default_window_fits_the_points_and_the_grid_has_their_labels(client: httpx.Client, case: Case) -> None:
    name, data, _ = case
    x_N, y_N = np.array(data["points"]).T
    query = {"model": name, "resolution": "200", "response": "label"}
    grid = client.get("/boundary-grid", params=query).json()
    for low, high, values_N in (("x_min", "x_max", x_N), ("y_min", "y_max", y_N)):
        margin = np.ptp(values_N) / 8
        assert grid["window"][low] == pytest.approx(values_N.min() - margin, abs=margin / 100)
        assert grid["window"][high] == pytest.approx(values_N.max() + margin, abs=margin / 100)
    column_N = np.abs(np.array(grid["x"])[:, None] - x_N).argmin(axis=0)
    row_N = np.abs(np.array(grid["y"])[:, None] - y_N).argmin(axis=0)
    labels_N = np.array(grid["classes"])[np.array(grid["values"])[row_N, column_N]]
    predicted = client.post("/predict", json={"model": name, "points": data["points"]}).json()["labels"]
    assert np.mean(labels_N == predicted) > 0.98
    adaptive = client.get("/boundary-grid", params=query | {"adaptive": "true"}).json()
    assert adaptive["values"] == grid["values"]


def test_the_nearest_change_is_near_and_has_another_label(client: httpx.Client, case: Case) -> None:
    """The search computes in float32, and the service computes a single point in float64.

    Where their labels differ, the point is on the boundary up to the rounding of float32.
    """
    name, data, _ = case
    points = data["points"][::80]
    answer = client.post("/predict", json={"model": name, "points": points, "outputs": ["labels", "nearest"]}).json()
    for label, point, change in zip(answer["labels"], points, answer["nearest"], strict=True):
        other = client.post("/predict", json={"model": name, "points": [change["point"]]}).json()
        assert other["labels"] != [label] or other["probabilities"][0][0] == pytest.approx(0.5, abs=1e-5)
        assert math.dist(point, change["point"]) == pytest.approx(change["distance"], rel=1e-3)
        assert 0 < change["at_least"] <= change["distance"]


def test_a_plain_torch_script_gives_the_same_probabilities(client: httpx.Client, case: Case) -> None:
    name, data, job = case
    version = client.get(job["links"]["version"]).json()
    (width,) = version["card"]["network"]["hidden"]
    net = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))
    checkpoint = client.get(version["links"]["checkpoint"]).content
    net.load_state_dict(torch.load(io.BytesIO(checkpoint), weights_only=True))
    points = torch.tensor(data["points"], dtype=torch.float64)
    offset = torch.tensor(version["card"]["offset"] or [0.0, 0.0], dtype=torch.float64)
    with torch.no_grad():
        probabilities_N = torch.sigmoid(net((points - offset).float()))[:, 0].numpy()
    answer = client.post("/predict", json={"model": name, "points": data["points"]}).json()
    second_N = np.array(answer["probabilities"])[:, 1]
    np.testing.assert_allclose(probabilities_N, second_N, atol=1e-4)


@pytest.mark.slow
def test_frames_and_the_checkpoint_of_a_training_are_in_the_units_of_the_points(client: httpx.Client) -> None:
    data = moons("UTM metres")
    with endless(client, data=data) as job:
        with stream(client, job["links"]["events"], boundary=16) as events:
            frame = next(event.data for event in events if event.kind == "boundary")
        assert frame["window"]["y_min"] == pytest.approx(5_334_000 - 0.5 - 1.5 / 8, abs=0.1)
        assert act(client, job, "pause", **WAIT).json()["status"] == "paused"
        checkpoint = torch.load(io.BytesIO(client.get(f"{job['links']['self']}/checkpoint").content), weights_only=True)
    net = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    net.load_state_dict(checkpoint)
    points = torch.tensor(data["points"], dtype=torch.float64)
    with torch.no_grad():
        labels_N = (net((points - points.mean(dim=0)).float()) > 0)[:, 0].numpy()
    assert np.mean(labels_N == (np.array(data["labels"]) == "up")) > 0.9, "the classes are down and up"


def test_generated_points_are_trained_as_they_are_and_scaling_can_be_chosen(client: httpx.Client) -> None:
    def scale(data: dict[str, Any], **network: str) -> str:
        body = {"model": "scaled", "preset": "tutorial", "data": data, "network": network}
        shown: str = client.post("/train?validate_only=true", json=body).json()["network"]["scale"]
        return shown

    own = {"points": [[0], [1]], "labels": [0, 1]}
    assert [scale({"dataset": "moons"}), scale(own)] == ["none", "standard"]
    assert [scale({"dataset": "moons"}, scale="standard"), scale(own, scale="none")] == ["standard", "none"]
    refused = submit(client, {"model": "scaled", "data": own, "network": {"scale": "robust"}})
    assert refused.status_code == 422


def test_feature_weights_change_what_weight_decay_restrains_and_factors_of_1_change_nothing(
    client: httpx.Client,
) -> None:
    points_N2 = np.random.default_rng(1).normal(size=(60, 2)) * [1.0, 100.0]
    data = {"points": points_N2.tolist(), "labels": [int(x + y / 100 > 0) for x, y in points_N2]}
    settings = {"data": data, "training": {"optimizer": "lbfgs", "weight_decay": 0.1}}

    def trained(name: str, **network: Any) -> tuple[list[float], dict[str, str]]:
        job = train(client, name, **settings, network={"kind": "logistic", **network})
        version = client.get(job["links"]["version"]).json()
        assert version["card"]["network"]["feature_weights"] == network.get("feature_weights")
        state = torch.load(io.BytesIO(client.get(version["links"]["checkpoint"]).content), weights_only=True)
        return (state["w"][:, 0] * torch.tensor([1.0, 100.0])).tolist(), version["card"]["files"]

    alike, files = trained("alike")
    assert alike[0] == pytest.approx(alike[1], rel=0.3)
    assert trained("ones", feature_weights=[1, 1])[1]["network.safetensors"] == files["network.safetensors"]
    weighted, _ = trained("weighted", feature_weights=[3, 0.1])
    assert weighted[0] > 5 * weighted[1] > 0


@pytest.mark.parametrize(
    ("network", "field"),
    [
        ({"feature_weights": [1]}, "network.feature_weights"),
        ({"feature_weights": [1, 1, 1]}, "network.feature_weights"),
        ({"feature_weights": []}, "network.feature_weights"),
        ({"feature_weights": [1, -1]}, "network.feature_weights.1"),
        ({"feature_weights": [0, 1]}, "network.feature_weights.0"),
        ({"feature_weights": [1, 1e4]}, "network.feature_weights.1"),
        ({"feature_weights": [1, "2"]}, "network.feature_weights.1"),
        ({"feature_weights": [1, 2], "inputs": ["x", "y"]}, "network.feature_weights"),
    ],
)
@pytest.mark.parametrize("preset", ["tutorial", "auto"])
def test_feature_weights_of_a_wrong_number_or_out_of_bounds_are_refused(
    client: httpx.Client, network: dict[str, Any], field: str, preset: str
) -> None:
    body = {"model": "scaled", "preset": preset, "data": {"dataset": "moons"}, "network": network}
    assert_problem(submit(client, body), 422, "invalid-input", field=field)


def test_a_feature_that_is_constant_does_not_disturb_the_training(client: httpx.Client) -> None:
    data = {"points": [[x, 5.0] for x in range(20)], "labels": [int(x > 9) for x in range(20)]}
    job = train(client, "constant", data=data, training={})
    assert job["metrics"]["training_accuracy"] == 1.0
    assert client.get("/boundary-grid?model=constant&resolution=10").status_code == 200
