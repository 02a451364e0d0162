"""What the events of a job say, in pages and in streams, and how a client continues after any of them."""

import json
from collections.abc import Iterator

import httpx
import pytest

from service.api.jobs.event_schemas import EventPage
from tests.contract.job_requests import ENDLESS, act, endless
from tests.contract.manual_worker import FIGURES, ManualWorker, events_path
from tests.contract.problems import assert_problem
from tests.serving import train
from tests.streams import StreamEvent, all_events, stream, with_id


def next_with_id(events: Iterator[StreamEvent]) -> StreamEvent:
    return next(event for event in events if event.id is not None)


def ids(events: list[StreamEvent]) -> list[str | None]:
    return [event.id for event in events]


def test_a_page_lists_the_events_of_a_job_oldest_first(worker: ManualWorker) -> None:
    job = worker.new_job()
    worker.report(job, epoch=3)
    worker.cancel(job)
    answer = worker.client.get(events_path(job))
    page = answer.json()
    assert {key: value for key, value in page.items() if key != "data"} == {
        "object": "list",
        "has_more": False,
        "first_id": 1,
        "last_id": 6,
    }
    assert [event["id"] for event in page["data"]] == [1, 2, 3, 4, 5, 6]
    assert {event["object"] for event in page["data"]} == {"training.job.event"}
    assert [event["type"] for event in page["data"]] == ["status", "status", "metrics", "status", "status", "done"]
    assert {event["job_id"] for event in page["data"]} == {job.id}
    assert page["data"][2]["data"] == {"epoch": 3, "epochs": 5, "metrics": FIGURES}
    EventPage.model_validate_json(answer.content)
    statuses = [event["data"]["status"] for event in page["data"] if event["type"] == "status"]
    assert statuses == ["queued", "running", "cancelling", "cancelled"]
    times = [event["created_at"] for event in page["data"]]
    assert times == sorted(times)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/jobs?limit=1", "/jobs/{job}", "/jobs/{job}/events"])
def test_a_version_is_served_as_soon_as_its_job_is_reported_as_succeeded(worker: ManualWorker, path: str) -> None:
    for _ in range(4):
        job = worker.new_job()
        worker.place.work(job)
        assert "succeeded" in worker.client.get(path.format(job=job.id)).text
        answer = worker.client.post("/predict", json={"model": job.model, "points": [[0, 0]]})
        assert answer.json()["version"] == worker.client.get(f"/jobs/{job.id}").json()["version"]


def test_pages_follow_each_other_without_gap_or_repetition(worker: ManualWorker) -> None:
    job = worker.new_job()
    for epoch in range(8):
        worker.report(job, epoch=epoch)
    seen: list[int] = []
    has_more = True
    while has_more:
        query = {"limit": 3, "after": seen[-1] if seen else 0}
        page = worker.client.get(events_path(job), params=query).json()
        numbers = [event["id"] for event in page["data"]]
        assert (page["first_id"], page["last_id"]) == (numbers[0], numbers[-1])
        seen += numbers
        has_more = page["has_more"]
    assert seen == list(range(1, 11))
    empty = worker.client.get(events_path(job), params={"after": 10}).json()
    assert empty == {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}
    worker.fail(job)


def test_a_stream_starts_with_the_job_and_sends_each_event_as_it_happens(worker: ManualWorker) -> None:
    job = worker.new_job()
    with stream(worker.client, events_path(job)) as events:
        assert next(events) == ("job", worker.client.get(f"/jobs/{job.id}").json(), None, job.id, None)
        assert next(events) == ("status", {"status": "queued", "attempt": 0}, "1", job.id, 1)
        assert next(events) == ("status", {"status": "running", "attempt": 1}, "2", job.id, 2)
        worker.report(job, epoch=4)
        assert next(events) == ("metrics", {"epoch": 4, "epochs": 5, "metrics": FIGURES}, "3", job.id, 3)
        assert worker.leases.record_checkpoint(job, checkpoint="c", epoch=4)
        assert next(events) == ("checkpoint", {"epoch": 4}, "4", job.id, 4)
        worker.fail(job)
        problem = {"code": "internal", "detail": "It was the test."}
        end = {"status": "failed", "attempt": 1, "problem": problem}
        assert next(events) == ("status", end, "5", job.id, 5)
        assert next(events) == ("done", end | {"epoch": 4, "metrics": FIGURES}, "6", job.id, 6)
        assert next(events, None) is None, "the stream ends with the job"


def test_a_stream_sends_the_same_events_as_the_pages(worker: ManualWorker) -> None:
    job = worker.new_job()
    worker.report(job)
    worker.fail(job)
    pages = worker.client.get(events_path(job)).json()["data"]
    headers = {"Accept": "text/event-stream"}
    lines = worker.client.get(events_path(job), headers=headers).text.splitlines()
    streamed = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert streamed[1:] == pages, "after the event `job`"


def test_a_stream_sends_statuses_in_order_and_the_version_is_served_when_it_is_named(
    client: httpx.Client,
) -> None:
    answer = client.post("/train", json=ENDLESS | {"model": "followed", "training": {"epochs": 20}})
    statuses = []
    with stream(client, f"{answer.headers['location']}/events") as events:
        for event in events:
            if event.kind == "status":
                statuses.append(event.data["status"])
            if "version" in event.data and event.kind != "job":
                asked = {"model": "followed", "version": event.data["version"], "points": [[0, 0]]}
                assert client.post("/predict", json=asked).status_code == 200
    assert statuses == ["queued", "running", "succeeded"]
    assert event.kind == "done"
    assert event.data["status"] == "succeeded"


@pytest.mark.slow
def test_a_stream_resumes_after_any_event_without_loss_or_repetition(worker: ManualWorker) -> None:
    job = worker.new_job()
    for epoch in range(4):
        worker.report(job, epoch=epoch)
    worker.fail(job)
    everything = with_id(all_events(worker.client, events_path(job)))
    assert ids(everything) == [str(i) for i in range(1, 9)]
    path = events_path(job)
    for seen in range(8):
        for query in (
            {"last_id": str(seen)},
            {"after": seen},
            {"lastEventId": seen},
            {"lastEventId": seen, "after": 1},
            {"last_id": str(seen), "lastEventId": 1, "after": 1},
        ):
            assert with_id(all_events(worker.client, path, **query)) == everything[seen:], query
        assert with_id(all_events(worker.client, f"/events?job={job.id}", lastEventId=seen)) == everything[seen:]


@pytest.mark.slow
def test_a_client_that_reconnects_during_a_training_misses_nothing(client: httpx.Client) -> None:
    with endless(client) as job:
        path = job["links"]["events"]
        seen: list[StreamEvent] = []
        for _ in range(4):
            with stream(client, path, last_id=seen[-1].id if seen else None) as events:
                seen += [next_with_id(events), next_with_id(events)]
        act(client, job, "cancel")
        seen += with_id(all_events(client, path, last_id=seen[-1].id))
    assert ids(seen) == [str(i) for i in range(1, len(seen) + 1)]
    assert seen[-1].data["status"] == "cancelled"
    assert seen == with_id(all_events(client, path))


@pytest.mark.slow
def test_a_client_that_joins_late_receives_old_events(worker: ManualWorker) -> None:
    job = worker.new_job()
    for epoch in range(450):
        worker.report(job, epoch=epoch)
    path = events_path(job)
    with stream(worker.client, path) as first, stream(worker.client, path, last_id="300") as second:
        worker.fail(job)
        assert ids(with_id(first)) == [str(i) for i in range(1, 455)]
        assert ids(with_id(second)) == [str(i) for i in range(301, 455)]


def test_an_event_number_from_the_future_counts_as_the_latest(worker: ManualWorker) -> None:
    job = worker.new_job()
    with stream(worker.client, events_path(job), last_id="999") as events:
        assert next(events).kind == "job"
        worker.report(job)
        assert next(events).id == "3"
    worker.fail(job)


def test_a_client_that_has_received_all_events_of_ended_jobs_gets_204(worker: ManualWorker) -> None:
    first, second = worker.new_job(), worker.new_job()
    worker.fail(first)
    accept = {"Accept": "text/event-stream"}
    for path in (events_path(first), f"/events?job={first.id}"):
        answer = worker.client.get(path, headers=accept | {"Last-Event-ID": "4"})
        assert (answer.status_code, answer.content) == (204, b"")
    both = events_path(first, second)
    with stream(worker.client, both, last_id="4,2") as events:
        assert [next(events).data["id"], next(events).data["id"]] == [first.id, second.id]
        worker.fail(second)
        assert [(event.kind, event.id) for event in events] == [("status", "4,3"), ("done", "4,4")]
    assert worker.client.get(both, headers=accept | {"Last-Event-ID": "4,4"}).status_code == 204


@pytest.mark.slow
def test_a_stream_of_several_jobs_resumes_after_any_event(worker: ManualWorker) -> None:
    first, second = worker.new_job(), worker.new_job()
    path = events_path(second, first)
    with stream(worker.client, path) as events:
        assert [next(events).data["id"], next(events).data["id"]] == [second.id, first.id]
        everything = [next(events) for _ in range(4)]
        for job in (first, second, first):
            worker.report(job)
            everything.append(next(events))
            assert everything[-1].job_id == job.id
        worker.fail(second)
        everything += [next(events), next(events)]
        worker.fail(first)
        everything += events
    assert everything[-1].id == "5,6"
    assert [event.kind for event in everything[-2:]] == ["status", "done"]
    for job in (first, second):
        assert [event._replace(id=None) for event in everything if event.job_id == job.id] == [
            event._replace(id=None) for event in with_id(all_events(worker.client, events_path(job)))
        ]
    for i, event in enumerate(everything[:-1]):
        rest = with_id(all_events(worker.client, path, last_id=event.id))
        assert sorted(map(repr, (left._replace(id=None) for left in rest))) == sorted(
            map(repr, (left._replace(id=None) for left in everything[i + 1 :]))
        ), f"after {event.id}"


@pytest.mark.slow
def test_a_stream_of_several_jobs_resumes_during_a_training(client: httpx.Client) -> None:
    ended = train(client, "ended")
    with endless(client) as running:
        path = f"/events?job={running['id']},{ended['id']}"
        seen: list[StreamEvent] = []
        for _ in range(3):
            with stream(client, path, last_id=seen[-1].id if seen else None) as events:
                seen += [next_with_id(events) for _ in range(3)]
        act(client, running, "cancel")
        seen += with_id(all_events(client, path, last_id=seen[-1].id))
    for job in (ended, running):
        alone = with_id(all_events(client, f"/jobs/{job['id']}/events"))
        assert [event[:2] for event in seen if event.job_id == job["id"]] == [event[:2] for event in alone]


def test_a_stream_ends_when_its_jobs_are_deleted(worker: ManualWorker) -> None:
    ended, other = worker.new_job(), worker.new_job()
    worker.fail(ended)
    with stream(worker.client, events_path(ended, other)) as events:
        assert [next(events).kind for _ in range(2)] == ["job", "job"]
        worker.fail(other)
        worker.jobs.delete(ended.id)
        worker.jobs.delete(other.id)
        list(events)
    assert_problem(worker.client.get(events_path(other)), 404, "job-not-found")
