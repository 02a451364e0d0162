"""Boundary frames with the activations of hidden units, and with a threshold."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from models.specs import DatasetSpec, NetworkSpec
from service.api.jobs.event_schemas import FrameData
from tests.contract.job_requests import act, endless
from tests.contract.manual_worker import LOGISTIC, ManualWorker, events_path
from tests.contract.problems import assert_problem
from tests.contract.test_boundary_frames import next_frame, values_of
from tests.streams import StreamEvent, all_events, stream

WEIGHTS: dict[str, Any] = {
    "0.weight": [[1.0, 0.0], [0.0, 20.0], [0.0, 0.0]],
    "0.bias": [0.0, 1.0, 0.0],
    "2.weight": [[1.0, -0.5, 0.25], [0.001, 0.0, 0.0]],
    "2.bias": [0.0, 0.0],
    "4.weight": [[1.0, 1.0]],
    "4.bias": [0.5],
}
"""Of a network of two hidden layers, of three units and of two."""


def activations(layer: dict[str, Any]) -> npt.NDArray[np.float64]:
    """The activations (U, H, W) of a layer in a frame."""
    assert layer["dtype"] == "int8"
    bytes_UHW = np.frombuffer(base64.b64decode(layer["values_base64"]), np.int8).reshape(layer["shape"])
    return np.asarray(bytes_UHW * np.array(layer["scales"])[:, None, None])


def expected(frame: dict[str, Any], cells: int) -> list[npt.NDArray[np.float64]]:
    """The activations of both layers, by a plain loop over layers."""
    window = frame["window"]
    x_W = np.linspace(window["x_min"], window["x_max"], cells)
    y_H = np.linspace(window["y_min"], window["y_max"], cells)
    x_NI = np.stack(np.meshgrid(x_W, y_H), axis=-1).reshape(-1, 2)
    found = []
    for name in ("0", "2"):
        x_NI = np.tanh(x_NI @ np.array(WEIGHTS[f"{name}.weight"]).T + WEIGHTS[f"{name}.bias"])
        found.append(x_NI.T.reshape(-1, cells, cells))
    return found


def frame_of(worker: ManualWorker, query: str, network: NetworkSpec | None = None) -> dict[str, Any]:
    job = worker.new_job(network=network or NetworkSpec(hidden=(3, 2)))
    with stream(worker.client, f"{events_path(job)}?boundary=8&{query}") as events:
        worker.leave_snapshot(job, 7, **WEIGHTS)
        frame = next_frame(events)
    worker.fail(job)
    return frame


def test_a_frame_has_the_activations_of_all_hidden_units(worker: ManualWorker) -> None:
    frame = frame_of(worker, "layer=all&layer_cells=12")
    assert (frame["epoch"], frame["shape"]) == (7, [8, 8])
    assert [one["layer"] for one in frame["layers"]] == [0, 1]
    assert [one["shape"] for one in frame["layers"]] == [[3, 12, 12], [2, 12, 12]]
    for layer, expected_UHW in zip(frame["layers"], expected(frame, 12), strict=True):
        steps_U = np.array(layer["scales"])
        assert (np.abs(activations(layer) - expected_UHW).max(axis=(1, 2)) <= 0.51 * steps_U + 1e-6).all()
    assert frame["layers"][0]["scales"][2] == 1 / 127, "a unit that is always 0"
    assert activations(frame["layers"][1])[1].max() > 0.0009, "each unit has a scale of its own"


def test_a_frame_may_have_the_units_of_one_layer(worker: ManualWorker) -> None:
    frame = frame_of(worker, "layer=1")
    (layer,) = frame["layers"]
    assert (layer["layer"], layer["shape"]) == (1, [2, 24, 24])
    assert activations(layer)[0] == pytest.approx(expected(frame, 24)[1][0], abs=0.01)
    assert FrameData.model_validate(frame, strict=True).model_dump() == frame
    assert "layers" not in frame_of(worker, "margin=0.5")


def test_frames_of_hidden_units_are_refused_for_a_network_without_hidden_layers(worker: ManualWorker) -> None:
    job = worker.new_job(network=LOGISTIC)
    for layer in ("all", "0"):
        answer = asked(worker.client, events_path(job), boundary=8, layer=layer)
        assert_problem(answer, 422, "invalid-input", field="layer")
    worker.fail(job)


def asked(client: httpx.Client, path: str, **query: Any) -> httpx.Response:
    return client.get(path, params=query, headers={"Accept": "text/event-stream"})


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"boundary": 8, "layer": 2}, "layer"),
        ({"boundary": 8, "layer": "both"}, "layer"),
        ({"boundary": 8, "layer": -1}, "layer"),
        ({"boundary": 8, "layer": 0, "layer_cells": 65}, "layer_cells"),
        ({"boundary": 8, "layer_cells": 16}, "layer_cells"),
        ({"layer": 0}, "layer"),
        ({"threshold": 0.5}, "threshold"),
        ({"boundary": 8, "threshold": 1}, "threshold"),
    ],
)
def test_frames_that_cannot_be_made_are_refused(worker: ManualWorker, query: dict[str, Any], field: str) -> None:
    job = worker.new_job(network=NetworkSpec(hidden=(3, 2)))
    assert_problem(asked(worker.client, events_path(job), **query), 422, "invalid-input", field=field)
    worker.fail(job)


def test_layers_of_many_units_have_fewer_cells(worker: ManualWorker) -> None:
    job, wider = (worker.new_job(network=NetworkSpec(hidden=hidden)) for hidden in ((64,), (1024, 1024, 1024)))
    answer = asked(worker.client, events_path(job), boundary=8, layer=0, layer_cells=64)
    assert_problem(answer, 422, "invalid-input", field="layer_cells")
    assert "at most 45 for 64 units" in answer.json()["detail"]
    answer = asked(worker.client, events_path(wider), boundary=8, layer="all")
    assert_problem(answer, 422, "invalid-input", field="layer")
    for one in (job, wider):
        worker.fail(one)


def test_a_frame_of_two_classes_has_the_labels_of_a_threshold(worker: ManualWorker) -> None:
    job = worker.new_job(network=LOGISTIC)
    with (
        stream(worker.client, f"{events_path(job)}?boundary=16&threshold=0.8") as labels,
        stream(worker.client, f"{events_path(job)}?boundary=16") as plain,
    ):
        worker.leave_snapshot(job, 1, w=[[1.0], [0.5]], b=[0.25])
        frame, probabilities = next_frame(labels), values_of(next_frame(plain)) / 255
    worker.fail(job)
    assert (frame["response"], frame["scale"]) == ("label", 1)
    certain = np.abs(probabilities - 0.8) > 1 / 255
    assert (values_of(frame) == (probabilities > 0.8))[certain].all()
    assert 0 < values_of(frame).mean() < 1
    three = worker.new_job(DatasetSpec(dataset="gaussians", n_classes=3), LOGISTIC)
    answer = asked(worker.client, events_path(three), boundary=8, threshold=0.3)
    assert_problem(answer, 422, "invalid-input", field="threshold")
    worker.fail(three)


@pytest.mark.slow
def test_hidden_units_move_while_a_network_trains_and_the_last_frame_shows_those_of_the_version(
    client: httpx.Client,
) -> None:
    network = {"hidden": [4]}
    with (
        endless(client, network=network) as job,
        stream(client, f"{job['links']['events']}?boundary=8&layer=all") as events,
    ):
        first, later = frames_of(events, 5)
        assert first["layers"][0]["shape"] == [4, 24, 24]
        assert (activations(first["layers"][0]) != activations(later["layers"][0])).any()
        act(client, job, "cancel")
    body = {"model": "hidden-frames", "data": {"dataset": "flower"}, "network": network, "training": {"epochs": 3000}}
    job = client.post("/train", json=body).json()
    events = all_events(client, f"{job['links']['events']}?boundary=8&layer=0")
    last = [event.data for event in events if event.kind == "boundary"][-1]
    version = client.get(job["links"]["self"], headers={"Prefer": "wait=20"}).json()["version"]
    query = {"model": "hidden-frames", "version": version, "response": "activation", "layer": 0, "unit": 1}
    unit = client.get("/boundary-grid", params=query | last["window"] | {"resolution": "24"}).json()
    (layer,) = last["layers"]
    assert activations(layer)[1] == pytest.approx(np.array(unit["values"]), abs=layer["scales"][1])


def frames_of(events: Iterator[StreamEvent], count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first and the last of some frames."""
    frames = [next_frame(events) for _ in range(count)]
    return frames[0], frames[-1]
