import base64
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy

from models.datasets import LabelledPoints
from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.jobs import training_data
from service.jobs.queue import new_spec
from service.records import Job
from service.store.files import Files
from tests.contract.problems import assert_problem
from tests.postgres import PostgreSQL
from tests.service.places import Place
from tests.serving import DEADLINE_S, running, train, wait_until
from tests.streams import Sent, all_sent, events_of, stream, told

WITHOUT_END: dict[str, Any] = {
    "model": "without-end",
    "data": {"dataset": "flower"},
    "network": {"hidden": [64, 64]},
    "training": {"epochs": 1_000_000},
}
NOBODY = "0" * 24


class Hand:
    """A service without training processes: the test is the worker, and has jobs tell what it likes."""

    def __init__(self, client: httpx.Client, place: Place) -> None:
        self.client = client
        self.place = place
        self.jobs = place.store.jobs

    def job(
        self, data: DatasetSpec | LabelledPoints | None = None, network: NetworkSpec | None = None, epochs: int = 5
    ) -> Job:
        """A new job that the test works on."""
        data = data or DatasetSpec()
        made = new_spec("by-hand", data, network or NetworkSpec(), TrainingSpec(epochs=epochs), origin="http")
        training_data.keep(self.place.files, made.id, data)
        return self.jobs.add_claimed(made, worker="test")

    def tell(self, job: Job, *, epoch: int = 1, length: int = 1) -> None:
        """Has a job tell of its progress, in so many bytes."""
        metrics: dict[str, Any] = {"figure": "0" * length}
        assert self.jobs.heartbeat(job, epoch=epoch, metrics=metrics, ran_s=1.0, tell=True)

    def fail(self, job: Job) -> None:
        assert self.jobs.fail(job, code="internal", detail="It was the test.")

    def cancel(self, job: Job) -> None:
        self.jobs.cancel(job.id)
        assert self.jobs.give_back(job)

    def show(self, job: Job, epoch: int, **weights: list[Any]) -> None:
        """Leaves a snapshot."""
        state = {key: np.array(value, np.float32) for key, value in weights.items()}
        self.jobs.note_snapshot(job, epoch=epoch, weights=safetensors.numpy.save(state))


@contextmanager
def hand_on(client: httpx.Client, folder: Path, url: str | None = None) -> Iterator[Hand]:
    """The hand of a service on that folder."""
    place = Place(folder, url or Files(folder).database_url)
    with closing(place.store):
        yield Hand(client, place)


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hand]:
    folder = tmp_path_factory.mktemp("hand")
    with running(folder, training_processes=0, max_streams=4) as client, hand_on(client, folder) as hand:
        yield hand


def path_of(*jobs: Job) -> str:
    return f"/jobs/{jobs[0].id}/events" if len(jobs) == 1 else "/events?job=" + ",".join(job.id for job in jobs)


def kinds(sent: list[Sent]) -> list[str]:
    return [one.kind for one in sent]


def next_told(sent: Iterator[Sent]) -> Sent:
    return next(one for one in sent if one.id is not None)


def test_a_page_holds_what_a_job_has_come_to_oldest_first(hand: Hand) -> None:
    job = hand.job()
    hand.tell(job, epoch=3)
    hand.cancel(job)
    page = hand.client.get(path_of(job)).json()
    assert {key: value for key, value in page.items() if key != "data"} == {
        "object": "list",
        "has_more": False,
        "first_id": 1,
        "last_id": 6,
    }
    assert [one["id"] for one in page["data"]] == [1, 2, 3, 4, 5, 6]
    assert {one["object"] for one in page["data"]} == {"training.job.event"}
    assert [one["type"] for one in page["data"]] == ["status", "status", "metrics", "status", "status", "done"]
    assert page["data"][2]["data"] == {"job": job.id, "epoch": 3, "epochs": 5, "figure": "0"}
    statuses = [one["data"]["status"] for one in page["data"] if one["type"] == "status"]
    assert statuses == ["queued", "running", "cancelling", "cancelled"]
    times = [one["created_at"] for one in page["data"]]
    assert times == sorted(times)


@pytest.mark.parametrize("path", ["/jobs?limit=1", "/jobs/{job}", "/jobs/{job}/events"])
def test_who_is_told_of_a_success_is_answered_by_its_version_at_once(hand: Hand, path: str) -> None:
    for _ in range(4):
        job = hand.job()
        hand.place.work(job)
        assert "succeeded" in hand.client.get(path.format(job=job.id)).text
        answer = hand.client.post("/predict", json={"model": job.model, "points": [[0, 0]]})
        assert answer.json()["version"] == hand.client.get(f"/jobs/{job.id}").json()["version"]


def test_pages_follow_each_other_without_gap_or_repetition(hand: Hand) -> None:
    job = hand.job()
    for epoch in range(8):
        hand.tell(job, epoch=epoch)
    seen: list[int] = []
    has_more = True
    while has_more:
        query = {"limit": 3, "after": seen[-1] if seen else 0}
        page = hand.client.get(path_of(job), params=query).json()
        numbers = [one["id"] for one in page["data"]]
        assert (page["first_id"], page["last_id"]) == (numbers[0], numbers[-1])
        seen += numbers
        has_more = page["has_more"]
    assert seen == list(range(1, 11))
    empty = hand.client.get(path_of(job), params={"after": 10}).json()
    assert empty == {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
    hand.fail(job)


def test_a_stream_begins_with_the_job_and_tells_everything_from_its_start_as_it_comes(hand: Hand) -> None:
    job = hand.job()
    with stream(hand.client, path_of(job)) as sent:
        assert next(sent) == ("job", hand.client.get(f"/jobs/{job.id}").json(), None)
        assert next(sent) == ("status", {"job": job.id, "status": "queued", "attempt": 0}, "1")
        assert next(sent) == ("status", {"job": job.id, "status": "running", "attempt": 1}, "2")
        hand.tell(job, epoch=4)
        assert next(sent) == ("metrics", {"job": job.id, "epoch": 4, "epochs": 5, "figure": "0"}, "3")
        assert hand.jobs.note_checkpoint(job, checkpoint="c", epoch=4)
        assert next(sent) == ("checkpoint", {"job": job.id, "epoch": 4}, "4")
        hand.fail(job)
        problem = {"code": "internal", "detail": "It was the test."}
        end = {"job": job.id, "status": "failed", "attempt": 1, "problem": problem}
        assert next(sent) == ("status", end, "5")
        assert next(sent) == ("done", end | {"epoch": 4, "metrics": {"figure": "0"}}, "6")
        assert next(sent, None) is None, "the stream ends with the job"


def test_a_stream_holds_what_the_pages_hold(hand: Hand) -> None:
    job = hand.job()
    hand.tell(job)
    hand.fail(job)
    pages = hand.client.get(path_of(job)).json()["data"]
    streamed = told(all_sent(hand.client, path_of(job)))
    assert streamed == [Sent(one["type"], one["data"], str(one["id"])) for one in pages]


def test_streams_ask_to_be_passed_on_at_once_and_when_to_come_back(hand: Hand) -> None:
    job = hand.job()
    hand.fail(job)
    answer = hand.client.get(path_of(job), headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["vary"] == "Accept"
    assert answer.text.startswith("retry: 1000\n\n")


def test_the_statuses_of_a_training_come_in_order_and_its_version_is_served_when_the_last_comes(
    client: httpx.Client,
) -> None:
    answer = client.post("/train", json=WITHOUT_END | {"model": "followed", "training": {"epochs": 20}})
    statuses = []
    with stream(client, f"{answer.headers['location']}/events") as sent:
        for one in sent:
            if one.kind == "status":
                statuses.append(one.data["status"])
            if "version" in one.data and one.kind != "job":
                asked = {"model": "followed", "version": one.data["version"], "points": [[0, 0]]}
                assert client.post("/predict", json=asked).status_code == 200
    assert statuses == ["queued", "running", "succeeded"]
    assert one.kind == "done"
    assert one.data["status"] == "succeeded"


def test_a_stream_goes_on_after_any_event_without_loss_or_repetition(hand: Hand) -> None:
    job = hand.job()
    for epoch in range(4):
        hand.tell(job, epoch=epoch)
    hand.fail(job)
    everything = told(all_sent(hand.client, path_of(job)))
    assert [one.id for one in everything] == [str(i) for i in range(1, 9)]
    for seen in range(8):
        assert told(all_sent(hand.client, path_of(job), last=str(seen))) == everything[seen:]
        assert told(all_sent(hand.client, path_of(job), after=seen)) == everything[seen:]
        assert told(all_sent(hand.client, path_of(job), last=str(seen), after=1)) == everything[seen:]


def test_a_stream_that_broke_off_in_the_middle_of_a_training_goes_on_where_it_was(client: httpx.Client) -> None:
    answer = client.post("/train", json=WITHOUT_END)
    path = f"{answer.headers['location']}/events"
    seen: list[Sent] = []
    for _ in range(4):
        last = seen[-1].id if seen else None
        with stream(client, path, last=last) as sent:
            seen += [next_told(sent), next_told(sent)]
    client.post(f"{answer.headers['location']}/cancel")
    seen += told(all_sent(client, path, last=seen[-1].id))
    assert [one.id for one in seen] == [str(i) for i in range(1, len(seen) + 1)]
    assert seen[-1].data["status"] == "cancelled"
    assert seen == told(all_sent(client, path))


def test_a_late_comer_gets_events_of_long_ago(hand: Hand) -> None:
    job = hand.job()
    for epoch in range(450):
        hand.tell(job, epoch=epoch)
    with stream(hand.client, path_of(job)) as first, stream(hand.client, path_of(job), last="300") as second:
        hand.fail(job)
        assert [one.id for one in told(list(first))] == [str(i) for i in range(1, 455)]
        assert [one.id for one in told(list(second))] == [str(i) for i in range(301, 455)]


def test_a_position_that_there_is_not_yet_counts_as_the_last(hand: Hand) -> None:
    job = hand.job()
    with stream(hand.client, path_of(job), last="999") as sent:
        assert next(sent).kind == "job"
        hand.tell(job)
        assert next(sent).id == "3"
    hand.fail(job)


def test_nothing_is_left_to_say_to_who_has_seen_the_end(hand: Hand) -> None:
    one, other = hand.job(), hand.job()
    hand.fail(one)
    asked = {"Accept": "text/event-stream"}
    for path in (path_of(one), f"/events?job={one.id}"):
        answer = hand.client.get(path, headers=asked | {"Last-Event-ID": "4"})
        assert (answer.status_code, answer.content) == (204, b"")
    both = path_of(one, other)
    with stream(hand.client, both, last="4,2") as sent:
        assert [next(sent).data["id"], next(sent).data["id"]] == [one.id, other.id]
        hand.fail(other)
        assert [(sent_one.kind, sent_one.id) for sent_one in sent] == [("status", "4,3"), ("done", "4,4")]
    assert hand.client.get(both, headers=asked | {"Last-Event-ID": "4,4"}).status_code == 204


def test_several_jobs_come_in_one_stream_that_can_be_gone_on_with(hand: Hand) -> None:
    first, second = hand.job(), hand.job()
    path = path_of(second, first)
    with stream(hand.client, path) as sent:
        assert [next(sent).data["id"], next(sent).data["id"]] == [second.id, first.id]
        everything = [next(sent) for _ in range(4)]
        for job in (first, second, first):
            hand.tell(job)
            everything.append(next(sent))
            assert everything[-1].data["job"] == job.id
        hand.fail(second)
        everything += [next(sent), next(sent)]
        hand.fail(first)
        everything += sent
    assert everything[-1].id == "5,6"
    assert kinds(everything[-2:]) == ["status", "done"]
    for job in (first, second):
        assert [one._replace(id=None) for one in everything if one.data["job"] == job.id] == [
            one._replace(id=None) for one in told(all_sent(hand.client, path_of(job)))
        ]
    for i, one in enumerate(everything[:-1]):
        rest = told(all_sent(hand.client, path, last=one.id))
        assert sorted(map(repr, (left._replace(id=None) for left in rest))) == sorted(
            map(repr, (left._replace(id=None) for left in everything[i + 1 :]))
        ), f"after {one.id}"


def test_a_stream_of_several_jobs_is_resumed_in_the_middle_of_their_trainings(client: httpx.Client) -> None:
    jobs = [train(client, "ended"), client.post("/train", json=WITHOUT_END).json()]
    path = f"/events?job={jobs[1]['id']},{jobs[0]['id']}"
    seen: list[Sent] = []
    for _ in range(3):
        with stream(client, path, last=seen[-1].id if seen else None) as sent:
            seen += [next_told(sent) for _ in range(3)]
    client.post(f"{jobs[1]['links']['self']}/cancel")
    seen += told(all_sent(client, path, last=seen[-1].id))
    for job in jobs:
        alone = told(all_sent(client, f"/jobs/{job['id']}/events"))
        assert [one[:2] for one in seen if one.data["job"] == job["id"]] == [one[:2] for one in alone]


def test_a_stream_ends_when_its_job_is_deleted(hand: Hand) -> None:
    ended, other = hand.job(), hand.job()
    hand.fail(ended)
    with stream(hand.client, path_of(ended, other)) as sent:
        assert [next(sent).kind for _ in range(2)] == ["job", "job"]
        hand.fail(other)
        hand.jobs.delete(ended.id)
        hand.jobs.delete(other.id)
        list(sent)
    assert_problem(hand.client.get(path_of(other)), 404, "job-not-found")


def test_a_slow_reader_gets_every_event_in_order_and_keeps_nobody_waiting(hand: Hand) -> None:
    job = hand.job()
    slow = connection_to(hand.client, path_of(job), buffer_bytes=4_096)
    with stream(hand.client, path_of(job)) as fast:
        for epoch in range(400):
            hand.tell(job, epoch=epoch, length=40_000)  # 16 MB in all: more than the sockets hold
            if epoch % 100 == 0:
                wait_until(lambda epoch=epoch: next_told(fast).data.get("epoch") == epoch)
        hand.fail(job)
        assert list(fast)[-1].kind == "done"
    response = http.client.HTTPResponse(slow)
    response.begin()
    received = told(list(events_of(line.decode().rstrip("\n") for line in response)))
    slow.close()
    assert [one.id for one in received] == [str(i) for i in range(1, 405)]
    assert [one.data["epoch"] for one in received if one.kind == "metrics"] == list(range(400))


def connection_to(client: httpx.Client, path: str, *, buffer_bytes: int = 65_536) -> socket.socket:
    """A connection on which a stream was asked for, of which nothing has been read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    made.settimeout(DEADLINE_S)
    made.connect((client.base_url.host, client.base_url.port))
    made.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n\r\n".encode())
    return made


def test_no_more_streams_are_open_than_may_be_and_one_that_is_left_makes_room(hand: Hand) -> None:
    job = hand.job()
    asked = {"Accept": "text/event-stream"}
    streams = [connection_to(hand.client, path_of(job)) for _ in range(4)]
    for one in streams:
        assert one.recv(12) == b"HTTP/1.1 200"
    refused = hand.client.get(path_of(job), headers=asked)
    assert_problem(refused, 503, "too-many-streams")
    assert int(refused.headers["retry-after"]) > 0
    assert hand.client.get(path_of(job)).status_code == 200, "pages are no streams"
    began = time.monotonic()
    waited = hand.client.get(f"/jobs/{job.id}", headers={"Prefer": "wait=1"})
    assert waited.headers["preference-applied"] == "wait=1"
    assert time.monotonic() - began >= 1, "who waits needs no stream"
    streams.pop().close()

    def is_open() -> bool:
        with hand.client.stream("GET", path_of(job), headers=asked) as answer:
            return answer.status_code == 200

    wait_until(is_open, deadline_s=2)
    for one in streams:
        one.close()
    wait_until(is_open)
    with ThreadPoolExecutor(6) as threads:
        waits = [threads.submit(hand.client.get, f"/jobs/{job.id}", headers={"Prefer": "wait=1"}) for _ in range(6)]
        while not all(wait.done() for wait in waits):
            wait_until(is_open, deadline_s=0.5)  # who waits takes no stream's place
    hand.fail(job)


@pytest.mark.parametrize(
    ("path", "headers", "field"),
    [
        ("/jobs/{job}/events?after=-1", {}, "after"),
        ("/jobs/{job}/events?after=x", {}, "after"),
        ("/jobs/{job}/events?after=1,2", {}, "after"),
        ("/jobs/{job}/events?limit=0", {}, "limit"),
        ("/jobs/{job}/events?limit=1001", {}, "limit"),
        ("/jobs/{job}/events?boundary=7", {}, "boundary"),
        ("/jobs/{job}/events?boundary=257", {}, "boundary"),
        ("/jobs/{job}/events?boundary=many", {}, "boundary"),
        ("/jobs/{job}/events?boundary=64", {"Accept": "application/json"}, "boundary"),
        ("/jobs/{job}/events", {"Last-Event-ID": "x"}, "last-event-id"),
        ("/jobs/{job}/events", {"Last-Event-ID": "-1"}, "last-event-id"),
        ("/jobs/{job}/events", {"Last-Event-ID": "1,2"}, "last-event-id"),
        ("/jobs/{job}/events", {"Last-Event-ID": "1" * 30}, "last-event-id"),
        ("/jobs/nonsense/events", {}, "job_id"),
        ("/events", {}, "job"),
        ("/events?job=", {}, "job"),
        ("/events?job={job},", {}, "job"),
        ("/events?job={job},nonsense", {}, "job"),
        ("/events?job={job},{job}", {}, "job"),
        ("/events?job={job}" + f",{NOBODY}" * 20, {}, "job"),
        ("/events?job={job}&after=", {}, "after"),
        ("/events?job={job}&after=1,2", {}, "after"),
        (f"/events?job={{job}},{NOBODY}&after=1", {}, "after"),
        (f"/events?job={{job}},{NOBODY}&after=1;2", {}, "after"),
        (f"/events?job={{job}},{NOBODY}", {"Last-Event-ID": "3"}, "last-event-id"),
        ("/events?job={job}&boundary=1", {}, "boundary"),
    ],
)
def test_a_stream_that_cannot_be_is_refused_before_it_begins(
    hand: Hand, path: str, headers: dict[str, str], field: str
) -> None:
    job = hand.job()
    hand.fail(job)
    answer = hand.client.get(path.format(job=job.id), headers={"Accept": "text/event-stream"} | headers)
    assert_problem(answer, 422, "invalid-input", field=field)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_the_events_of_a_job_that_is_none_are_not_found(hand: Hand, accept: str) -> None:
    headers = {"Accept": accept}
    assert_problem(hand.client.get(f"/jobs/{NOBODY}/events", headers=headers), 404, "job-not-found")
    if accept == "text/event-stream":
        job = hand.job()
        hand.fail(job)
        answer = hand.client.get(f"/events?job={job.id},{NOBODY}", headers=headers)
        assert_problem(answer, 404, "job-not-found")


def test_several_jobs_come_as_a_stream_alone(hand: Hand) -> None:
    job = hand.job()
    hand.fail(job)
    answer = hand.client.get(f"/events?job={job.id}", headers={"Accept": "application/json"})
    assert_problem(answer, 406, "not-acceptable")
    assert hand.client.get(f"/events?job={job.id}").headers["content-type"].startswith("text/event-stream")
    answer = hand.client.get(path_of(job), headers={"Accept": "image/png"})
    assert_problem(answer, 406, "not-acceptable")


def test_streams_close_when_the_service_stops_and_are_gone_on_with_at_the_next(tmp_path: Path) -> None:
    stopping = threading.Event()
    with running(tmp_path, stopping=stopping, training_processes=0) as client, hand_on(client, tmp_path) as hand:
        job, other = hand.job(), hand.job()
        with stream(client, path_of(job, other)) as sent, stream(client, path_of(job)) as alone:
            seen = [next(sent) for _ in range(6)]
            stopping.set()
            began = time.monotonic()
            (last,) = list(sent)
            assert list(alone)[-1] == last
            assert time.monotonic() - began < 1
        hand.tell(other)
        hand.fail(job)
        hand.fail(other)
    reason = "the service is stopping; connect again with Last-Event-ID"
    assert last == Sent("closing", {"reason": reason}, None)
    with running(tmp_path, training_processes=0) as client:
        rest = told(all_sent(client, path_of(job, other), last=seen[-1].id))
    assert rest[-1].id == "4,5"
    assert len(rest) == 5


def test_a_stream_outlives_its_database(tmp_path: Path) -> None:
    postgresql = PostgreSQL()
    url = postgresql.new_database()
    service = running(tmp_path, training_processes=0, database_url=url)
    with service as client, hand_on(client, tmp_path, url) as hand:
        job = hand.job()
        with stream(client, path_of(job), boundary=8) as sent:
            assert [next(sent).kind for _ in range(3)] == ["job", "status", "status"]
            postgresql.kill()
            refused = client.get(path_of(job), headers={"Accept": "text/event-stream"})
            assert_problem(refused, 503, "store-unavailable")
            postgresql.start()
            hand.tell(job)
            assert next(sent).id == "3"
            hand.fail(job)
            assert kinds(list(sent)) == ["status", "done"]
    postgresql.close()


# frames


def values_of(frame: dict[str, Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(frame["values"]), np.uint8).reshape(frame["shape"])


def next_frame(sent: Iterator[Sent]) -> dict[str, Any]:
    return next(one.data for one in sent if one.kind == "boundary")


def places_of(frame: dict[str, Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The abscissa and the ordinate of each cell."""
    rows, columns = frame["shape"]
    x_W = np.linspace(frame["x_min"], frame["x_max"], columns)
    y_H = np.linspace(frame["y_min"], frame["y_max"], rows)
    x_HW, y_HW = np.meshgrid(x_W, y_H)
    return x_HW, y_HW


def test_a_frame_shows_the_probability_of_the_second_class_by_the_latest_weights(hand: Hand) -> None:
    job = hand.job(network=NetworkSpec(kind="logistic", hidden=()))
    with stream(hand.client, path_of(job), boundary=16) as sent, stream(hand.client, path_of(job)) as plain:
        for epoch, (a, b, c) in enumerate([(1.0, 0.0, 0.0), (-2.0, 0.5, 1.0)], 10):
            hand.show(job, epoch, w=[[a], [b]], b=[c])
            frame = next_frame(sent)
            x_HW, y_HW = places_of(frame)
            expected = 255 / (1 + np.exp(-(a * x_HW + b * y_HW + c)))
            assert np.abs(values_of(frame) - expected).max() <= 0.501
            assert (frame["job"], frame["epoch"], frame["shape"]) == (job.id, epoch, [16, 16])
            assert (frame["response"], frame["classes"]) == ("probability", ["red", "blue"])
        hand.fail(job)
        assert "boundary" not in kinds(list(plain)), "which nobody asked for there"


def test_a_frame_of_more_classes_shows_the_likeliest(hand: Hand) -> None:
    job = hand.job(DatasetSpec(dataset="gaussians", classes=3), NetworkSpec(kind="logistic", hidden=()))
    with stream(hand.client, path_of(job), boundary=32) as sent:
        hand.show(job, 1, w=[[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]], b=[0.0, 0.25, 0.0])
        frame = next_frame(sent)
    hand.fail(job)
    x_HW, y_HW = places_of(frame)
    expected = np.argmax([x_HW, 2 * y_HW + 0.25, -x_HW], axis=0)
    assert np.mean(values_of(frame) == expected) > 0.999, "but where two are equal"
    assert frame["response"] == "label"
    assert len(frame["classes"]) == 3


def test_each_who_watches_has_frames_of_the_size_it_asked_for(hand: Hand) -> None:
    job = hand.job(network=NetworkSpec(kind="logistic", hidden=()))
    with (
        stream(hand.client, path_of(job), boundary=8) as small,
        stream(hand.client, path_of(job), boundary=256) as large,
    ):
        hand.show(job, 1, w=[[1.0], [1.0]], b=[0.0])
        frames = [next_frame(small), next_frame(large)]
    with stream(hand.client, path_of(job), boundary=9, last="2") as late:
        frames.append(next_frame(late))
    hand.fail(job)
    assert [frame["shape"] for frame in frames] == [[8, 8], [256, 256], [9, 9]]
    corners = [values_of(frame)[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() for frame in frames]
    assert corners[0] == corners[1] == corners[2]


def test_weights_that_cannot_be_shown_make_no_frame_and_stop_nothing(hand: Hand) -> None:
    job = hand.job(network=NetworkSpec(kind="logistic", hidden=()))
    with stream(hand.client, path_of(job), boundary=8, last="2") as sent:
        hand.show(job, 1, w=[[np.nan], [1.0]], b=[0.0])
        hand.tell(job)
        assert next_told(sent).kind == "metrics"
        hand.show(job, 2, w=[[1.0], [1.0]], b=[0.0])
        assert next_frame(sent)["epoch"] == 2
        hand.fail(job)
        assert kinds(list(sent)) == ["status", "done"]


def test_frames_of_several_jobs_come_in_one_stream(hand: Hand) -> None:
    jobs = [hand.job(network=NetworkSpec(kind="logistic", hidden=())) for _ in range(2)]
    with stream(hand.client, path_of(*jobs), boundary=8) as sent:
        for epoch, job in enumerate(jobs):
            hand.show(job, epoch, w=[[1.0], [1.0]], b=[0.0])
            frame = next_frame(sent)
            assert (frame["job"], frame["epoch"]) == (job.id, epoch)
            hand.fail(job)


def test_what_has_no_boundary_in_the_plane_cannot_be_watched(hand: Hand) -> None:
    points = LabelledPoints(np.zeros((4, 3), np.float32), np.array([0, 0, 1, 1]), (0, 1))
    job, plane = hand.job(points), hand.job()
    for path in (path_of(job) + "?boundary=8", path_of(plane, job) + "&boundary=8"):
        answer = hand.client.get(path, headers={"Accept": "text/event-stream"})
        assert_problem(answer, 422, "invalid-input", field="boundary")
        assert "two coordinates" in answer.json()["detail"]
    hand.fail(job)
    hand.fail(plane)


def test_a_network_that_is_too_large_to_be_watched_so_closely_is_refused(hand: Hand) -> None:
    job = hand.job(network=NetworkSpec(hidden=(1024, 1024)), epochs=1)
    answer = hand.client.get(path_of(job), params={"boundary": 256}, headers={"Accept": "text/event-stream"})
    assert_problem(answer, 422, "invalid-input", field="boundary")
    with stream(hand.client, path_of(job), boundary=64) as sent:
        assert next(sent).kind == "job"
    hand.fail(job)


def test_who_watches_a_training_sees_its_boundary_move(client: httpx.Client) -> None:
    answer = client.post("/train", json=WITHOUT_END)
    with stream(client, f"{answer.headers['location']}/events", boundary=32) as sent:
        frames = [next_frame(sent) for _ in range(5)]
        client.post(f"{answer.headers['location']}/cancel")
        left = list(sent)
    epochs = [frame["epoch"] for frame in frames]
    assert epochs == sorted(set(epochs))
    assert (values_of(frames[0]) != values_of(frames[-1])).any()
    assert left[-1].kind == "done"
    assert left[-1].data["status"] == "cancelled"


@pytest.mark.parametrize(
    "data", [{"dataset": "flower"}, {"points": [[0, 0], [1, 2], [0, 2], [1, 0]], "labels": ["a", "a", "b", "b"]}]
)
def test_the_last_frame_is_the_boundary_grid_of_the_version_and_comes_before_the_end(
    client: httpx.Client, data: dict[str, Any]
) -> None:
    job = client.post("/train", json={"model": "last-frame", "data": data, "training": {"epochs": 3_000}}).json()
    path = f"{job['links']['self']}/events"
    sent = all_sent(client, path, boundary=40)
    assert kinds(sent[-3:]) == ["status", "boundary", "done"]
    assert_shows_version(client, sent[-2].data, "last-frame", sent[-1].data["version"])
    late = all_sent(client, path, boundary=24)
    assert kinds(late[-2:]) == ["boundary", "done"]
    assert_shows_version(client, late[-2].data, "last-frame", sent[-1].data["version"])


def assert_shows_version(client: httpx.Client, frame: dict[str, Any], model: str, version: int) -> None:
    query = {"model": model, "version": version, "resolution": frame["shape"][0]}
    grid = client.get("/boundary-grid", params=query).json()
    assert np.abs(values_of(frame) / 255 - np.array(grid["values"])).max() <= 1 / 255
    assert frame["classes"] == grid["classes"]
    assert (frame["x_min"], frame["x_max"]) == (grid["x"][0], grid["x"][-1])
    assert (frame["y_min"], frame["y_max"]) == (grid["y"][0], grid["y"][-1])


def test_both_forms_are_described(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    of_one = paths["/jobs/{job_id}/events"]["get"]["responses"]
    assert of_one["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/EventPage")
    assert "text/event-stream" in of_one["200"]["content"]
    assert list(paths["/events"]["get"]["responses"]["200"]["content"]) == ["text/event-stream"]
    assert "204" in of_one
    for path in ("/events", "/jobs/{job_id}/events"):
        assert all(one["description"] for one in paths[path]["get"]["parameters"])
