"""Boundary frames: the decision boundary as events of a stream, while the network trains."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from models.datasets import LabelledPoints
from models.specs import DatasetSpec, NetworkSpec
from tests.contract.job_requests import act, endless
from tests.contract.manual_worker import LOGISTIC, ManualWorker, events_path
from tests.contract.problems import assert_problem
from tests.streams import StreamEvent, all_events, stream


def kinds(events: list[StreamEvent]) -> list[str]:
    return [event.kind for event in events]


def values_of(frame: dict[str, Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(frame["values_base64"]), np.dtype(frame["dtype"])).reshape(frame["shape"])


def next_frame(events: Iterator[StreamEvent]) -> dict[str, Any]:
    return next(event.data for event in events if event.kind == "boundary")


def coordinates_of(frame: dict[str, Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """x and y of each cell."""
    rows, columns = frame["shape"]
    window = frame["window"]
    x_W = np.linspace(window["x_min"], window["x_max"], columns)
    y_H = np.linspace(window["y_min"], window["y_max"], rows)
    x_HW, y_HW = np.meshgrid(x_W, y_H)
    return x_HW, y_HW


@pytest.mark.slow
def test_a_frame_shows_the_probability_of_the_second_class_for_the_latest_weights(worker: ManualWorker) -> None:
    job = worker.new_job(network=LOGISTIC)
    with (
        stream(worker.client, events_path(job), boundary=16) as events,
        stream(worker.client, events_path(job)) as plain,
    ):
        for epoch, (a, b, c) in enumerate([(1.0, 0.0, 0.0), (-2.0, 0.5, 1.0)], 10):
            worker.leave_snapshot(job, epoch, w=[[a], [b]], b=[c])
            frame = next_frame(events)
            x_HW, y_HW = coordinates_of(frame)
            expected = 255 / (1 + np.exp(-(a * x_HW + b * y_HW + c)))
            assert np.abs(values_of(frame) - expected).max() <= 0.501
            assert (frame["epoch"], frame["shape"]) == (epoch, [16, 16])
            assert (frame["response"], frame["classes"]) == ("probability", ["red", "blue"])
            assert (frame["dtype"], frame["scale"]) == ("uint8", 1 / 255)
        worker.fail(job)
        assert "boundary" not in kinds(list(plain)), "this stream did not request frames"


def test_a_frame_of_three_classes_shows_the_most_likely_class(worker: ManualWorker) -> None:
    job = worker.new_job(DatasetSpec(dataset="gaussians", n_classes=3), LOGISTIC)
    with stream(worker.client, events_path(job), boundary=32) as events:
        worker.leave_snapshot(job, 1, w=[[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]], b=[0.0, 0.25, 0.0])
        frame = next_frame(events)
    worker.fail(job)
    x_HW, y_HW = coordinates_of(frame)
    expected = np.argmax([x_HW, 2 * y_HW + 0.25, -x_HW], axis=0)
    assert np.mean(values_of(frame) == expected) > 0.999, "except where two classes are equally likely"
    assert (frame["response"], frame["scale"]) == ("label", 1)
    assert len(frame["classes"]) == 3


def test_each_stream_receives_frames_of_the_size_that_it_requested(worker: ManualWorker) -> None:
    job = worker.new_job(network=LOGISTIC)
    with (
        stream(worker.client, events_path(job), boundary=8) as small,
        stream(worker.client, events_path(job), boundary=256) as large,
    ):
        worker.leave_snapshot(job, 1, w=[[1.0], [1.0]], b=[0.0])
        frames = [next_frame(small), next_frame(large)]
    with stream(worker.client, events_path(job), boundary=9, last_id="2") as late:
        frames.append(next_frame(late))
    worker.fail(job)
    assert [frame["shape"] for frame in frames] == [[8, 8], [256, 256], [9, 9]]
    corners = [values_of(frame)[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() for frame in frames]
    assert corners[0] == corners[1] == corners[2]


@pytest.mark.slow
def test_weights_that_are_not_finite_give_no_frame_and_the_stream_continues(worker: ManualWorker) -> None:
    job = worker.new_job(network=LOGISTIC)
    with stream(worker.client, events_path(job), boundary=8, last_id="2") as events:
        worker.leave_snapshot(job, 1, w=[[np.nan], [1.0]], b=[0.0])
        worker.report(job)
        assert next(event for event in events if event.id is not None).kind == "metrics"
        worker.leave_snapshot(job, 2, w=[[1.0], [1.0]], b=[0.0])
        assert next_frame(events)["epoch"] == 2
        worker.fail(job)
        assert kinds(list(events)) == ["status", "done"]


def test_one_stream_carries_frames_of_several_jobs(worker: ManualWorker) -> None:
    jobs = [worker.new_job(network=LOGISTIC) for _ in range(2)]
    with stream(worker.client, events_path(*jobs), boundary=8) as events:
        for epoch, job in enumerate(jobs):
            worker.leave_snapshot(job, epoch, w=[[1.0], [1.0]], b=[0.0])
            event = next(event for event in events if event.kind == "boundary")
            assert (event.job_id, event.data["epoch"]) == (job.id, epoch)
            worker.fail(job)


def test_frames_of_points_without_two_coordinates_are_refused(worker: ManualWorker) -> None:
    points = LabelledPoints(np.zeros((4, 3), np.float32), np.array([0, 0, 1, 1]), (0, 1))
    job, plane = worker.new_job(points), worker.new_job()
    for path in (events_path(job) + "?boundary=8", events_path(plane, job) + "&boundary=8"):
        answer = worker.client.get(path, headers={"Accept": "text/event-stream"})
        assert_problem(answer, 422, "invalid-input", field="boundary")
        assert "two coordinates" in answer.json()["detail"]
    worker.fail(job)
    worker.fail(plane)


def test_frames_that_are_too_large_for_the_network_are_refused(worker: ManualWorker) -> None:
    job = worker.new_job(network=NetworkSpec(hidden=(1024, 1024)), epochs=1)
    answer = worker.client.get(events_path(job), params={"boundary": 256}, headers={"Accept": "text/event-stream"})
    assert_problem(answer, 422, "invalid-input", field="boundary")
    with stream(worker.client, events_path(job), boundary=64) as events:
        assert next(events).kind == "job"
    worker.fail(job)


@pytest.mark.slow
def test_a_client_that_watches_a_training_sees_its_boundary_move(client: httpx.Client) -> None:
    with endless(client) as job, stream(client, job["links"]["events"], boundary=32) as events:
        frames = [next_frame(events) for _ in range(5)]
        act(client, job, "cancel")
        rest = list(events)
    epochs = [frame["epoch"] for frame in frames]
    assert epochs == sorted(set(epochs))
    assert (values_of(frames[0]) != values_of(frames[-1])).any()
    assert rest[-1].kind == "done"
    assert rest[-1].data["status"] == "cancelled"


@pytest.mark.parametrize(
    "data", [{"dataset": "flower"}, {"points": [[0, 0], [1, 2], [0, 2], [1, 0]], "labels": ["a", "a", "b", "b"]}]
)
def test_the_final_frame_shows_the_published_version_and_precedes_done(
    client: httpx.Client, data: dict[str, Any]
) -> None:
    job = client.post("/train", json={"model": "last-frame", "data": data, "training": {"epochs": 3_000}}).json()
    path = job["links"]["events"]
    events = all_events(client, path, boundary=40)
    assert kinds(events[-3:]) == ["status", "boundary", "done"]
    assert_shows_version(client, events[-2].data, "last-frame", events[-1].data["version"])
    late = all_events(client, path, boundary=24)
    assert kinds(late[-2:]) == ["boundary", "done"]
    assert_shows_version(client, late[-2].data, "last-frame", events[-1].data["version"])


def assert_shows_version(client: httpx.Client, frame: dict[str, Any], model: str, version: int) -> None:
    query = {"model": model, "version": version, "resolution": frame["shape"][0]}
    grid = client.get("/boundary-grid", params=query).json()
    assert np.abs(values_of(frame) * frame["scale"] - np.array(grid["values"])).max() <= 1 / 255
    for name in ("response", "classes", "colors", "window"):
        assert frame[name] == grid[name]
