"""What can be done with a job: ask what it would be, send it twice, stop it, have it go on, try it again, forget it."""

import http.client
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.api.jobs.views import JobView
from service.jobs.queue import new_spec
from service.records import Job, JobState, JobStatus
from tests.contract.problems import assert_problem
from tests.serving import DEADLINE_S, running, train, wait_until

QUICK: dict[str, Any] = {"model": "quick", "data": {"dataset": "flower"}, "training": {"epochs": 1}}
ENDLESS: dict[str, Any] = {
    "model": "endless",
    "data": {"dataset": "flower"},
    "network": {"hidden": [64, 64]},
    "training": {"epochs": 1_000_000},
}
NOBODY = "0" * 24
WAIT = {"Prefer": "wait=50"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("controlled")


@pytest.fixture(scope="module")
def served(data_dir: Path) -> Iterator[httpx.Client]:
    """A service whose one training process is free between the tests, and whose queue takes four."""
    with running(data_dir, max_queued_jobs=4, body_timeout_s=0.5) as client:
        yield client


def submit(client: httpx.Client, body: dict[str, Any], **headers: str) -> httpx.Response:
    return client.post("/jobs", json=body, headers=named(headers))


def named(headers: dict[str, str]) -> dict[str, str]:
    """Headers by their names on the wire."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def show(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = client.get(job["links"]["self"]).json()
    return shown


def show_headers(client: httpx.Client, job: dict[str, Any]) -> httpx.Headers:
    return client.get(job["links"]["self"]).headers


def ask(client: httpx.Client, job: dict[str, Any], what: str, **headers: str) -> httpx.Response:
    return client.post(f"{job['links']['self']}/{what}", headers=named(headers))


def cancelled(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    answer = ask(client, job, "cancel", **WAIT)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    ended: dict[str, Any] = answer.json()
    return ended


@contextmanager
def endless(client: httpx.Client, **change: Any) -> Iterator[dict[str, Any]]:
    """A job that trains until it is told otherwise, cancelled at the end if it was not before."""
    job = submit(client, ENDLESS | change).json()
    try:
        wait_until(lambda: show(client, job)["progress"]["epoch"] > 0)
        yield show(client, job)
    finally:
        ask(client, job, "cancel", **WAIT)


def newest(client: httpx.Client) -> str | None:
    first: str | None = client.get("/jobs", params={"limit": 1}).json()["first_id"]
    return first


# what a job would be


def test_a_training_that_is_only_validated_says_what_it_would_be_and_is_no_job(
    served: httpx.Client, data_dir: Path
) -> None:
    before = newest(served), list(data_dir.glob("datasets/*"))
    own = {"points": [[0], [1], [2], [4.5]], "labels": ["a", "a", "b", "b"]}
    body = QUICK | {"data": own, "metadata": {"owner": "me"}}
    answer = served.post("/train", params={"validate_only": True}, json=body)
    assert answer.status_code == 200
    assert "location" not in answer.headers
    would_be = answer.json()
    assert would_be.pop("object") == "training.validation"
    assert (newest(served), list(data_dir.glob("datasets/*"))) == before

    job = submit(served, body).json()
    assert would_be.items() <= job.items()
    assert set(would_be) == {"model", "data", "data_digest", "network", "training", "recipe", "metadata"}


def test_what_would_be_refused_is_refused_when_it_is_only_validated(served: httpx.Client) -> None:
    validate = {"validate_only": "true"}
    wrong = QUICK | {"training": {"epochs": 0}}
    assert_problem(served.post("/jobs", params=validate, json=wrong), 422, "invalid-input", field="training.epochs")
    together = QUICK | {"data": {"dataset": "flower", "classes": 3}}
    assert_problem(served.post("/jobs", params=validate, json=together), 422, "invalid-input", field="data.classes")
    vague = served.post("/jobs", params={"validate_only": "perhaps"}, json=QUICK)
    assert_problem(vague, 422, "invalid-input", field="validate_only")
    headers = {"Idempotency-Key": "validated"}
    assert served.post("/jobs", json=QUICK, headers=headers).status_code == 202
    other = QUICK | {"model": "another"}
    assert_problem(served.post("/jobs", params=validate, json=other, headers=headers), 422, "idempotency-key-reused")
    assert served.post("/jobs", params=validate, json=QUICK, headers=headers).status_code == 200


# keys


def test_a_training_that_is_sent_again_under_its_key_is_the_same_job(served: httpx.Client) -> None:
    first = submit(served, QUICK, Idempotency_Key="once")
    assert first.status_code == 202
    assert "idempotency-replayed" not in first.headers
    served.get(first.headers["location"], headers=WAIT)

    again = served.post("/train", json=QUICK, headers={"Idempotency-Key": '"once"'})
    assert again.status_code == 202
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["status"] == "succeeded"

    spelt_out = QUICK | {"training": {"epochs": 1, "optimizer": "sgd"}, "metadata": {}}
    assert submit(served, spelt_out, Idempotency_Key="once").json()["id"] == first.json()["id"]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "another"},
        {"data": {"dataset": "moons"}},
        {"training": {"epochs": 2}},
        {"network": {"hidden": [5]}},
        {"metadata": {"run": "2"}},
    ],
)
def test_a_key_is_for_one_training_alone(served: httpx.Client, change: dict[str, Any]) -> None:
    body = QUICK | {"metadata": {"run": "1"}}
    assert submit(served, body, Idempotency_Key="taken").status_code == 202
    before = newest(served)
    assert_problem(submit(served, body | change, Idempotency_Key="taken"), 422, "idempotency-key-reused")
    assert newest(served) == before


def test_requests_of_one_key_that_come_at_the_same_moment_make_one_job(served: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: submit(served, QUICK, Idempotency_Key="at-once"), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert sorted(answer.headers.get("idempotency-replayed", "") for answer in answers) == ["", *["true"] * 7]
    listed = served.get("/jobs", params={"model": "quick"}).json()["data"]
    assert [job["id"] for job in listed].count(job_id) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("k" * 255, '"' + "k" * 255 + '"', True),
        (r'"a\"b\\c"', r'a"b\c', True),
        ("Case", "case", False),
    ],
)
def test_a_key_is_what_stands_between_its_quotes(served: httpx.Client, one: str, other: str, same: bool) -> None:
    first = submit(served, QUICK | {"model": "quoted"}, Idempotency_Key=one)
    second = submit(served, QUICK | {"model": "quoted"}, Idempotency_Key=other)
    assert first.status_code == second.status_code == 202
    assert (first.json()["id"] == second.json()["id"]) == same
    served.get(second.headers["location"], headers=WAIT)


@pytest.mark.parametrize("key", ["", '""', "k" * 256, "two words", '"open', '"a"b"', "tab\there", "schlüssel", "k, k"])
def test_a_key_that_is_none_is_refused_and_makes_no_job(served: httpx.Client, key: str) -> None:
    before = newest(served)
    answer = served.post("/jobs", json=QUICK, headers={"Idempotency-Key": key.encode("latin-1")})  # type: ignore[dict-item]
    assert_problem(answer, 422, "invalid-input", field="Idempotency-Key")
    assert len(key) < 3 or key not in answer.text
    assert newest(served) == before


def test_a_full_queue_refuses_new_jobs_and_still_answers_for_those_that_it_has(
    served: httpx.Client, data_dir: Path
) -> None:
    with endless(served):
        waiting = [submit(served, QUICK, Idempotency_Key=f"waits-{i}") for i in range(4)]
        assert [answer.status_code for answer in waiting] == [202] * 4
        kept = len(list((data_dir / "datasets").glob("*")))
        own = QUICK | {"data": {"points": [[7], [8]], "labels": [0, 1]}}
        refused = submit(served, own, Idempotency_Key="waits-4")
        assert_problem(refused, 429, "queue-full")
        assert refused.headers["retry-after"] == "1"
        assert_problem(served.post("/jobs", params={"validate_only": True}, json=own), 429, "queue-full")
        assert len(list((data_dir / "datasets").glob("*"))) == kept

        again = submit(served, QUICK, Idempotency_Key="waits-2")
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json()["id"] == waiting[2].json()["id"]
        assert_problem(submit(served, own, Idempotency_Key="waits-2"), 422, "idempotency-key-reused")

        cancelled(served, waiting[0].json())
        assert submit(served, own, Idempotency_Key="waits-4").status_code == 202
        for answer in waiting:
            cancelled(served, answer.json())


# metadata


def test_metadata_is_shown_with_the_job_and_in_lists(served: httpx.Client) -> None:
    metadata = {f"{i:x}".ljust(64, "é"): "ü" * 512 for i in range(15)} | {"k": ""}
    job = train(served, "noted", metadata=metadata)
    assert job["metadata"] == metadata
    assert show(served, job)["metadata"] == metadata
    assert served.get("/jobs", params={"model": "noted"}).json()["data"][0]["metadata"] == metadata
    assert train(served, "noted")["metadata"] == {}
    recipes = {one["recipe"] for one in served.get("/jobs", params={"model": "noted"}).json()["data"]}
    assert len(recipes) == 1


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({str(i): "" for i in range(17)}, "metadata"),
        ({"": "x"}, "metadata.?"),
        ({"k" * 65: "x"}, "metadata.?"),
        ({"k": "x" * 513}, "metadata.k"),
        ({"k": 1}, "metadata.k"),
        ({"k": None}, "metadata.k"),
        (["k"], "metadata"),
        (None, "metadata"),
    ],
)
def test_metadata_that_are_none_are_refused(served: httpx.Client, metadata: Any, field: str) -> None:
    assert_problem(submit(served, QUICK | {"metadata": metadata}), 422, "invalid-input", field=field)


def test_metadata_with_half_a_character_are_refused(served: httpx.Client) -> None:
    body = b'{"model": "quick", "data": {"dataset": "flower"}, "metadata": {"k": "\\ud800"}}'
    answer = served.post("/jobs", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, 400, "malformed-json")


# stopping


def test_a_training_that_is_cancelled_ends_in_the_middle_and_publishes_nothing(served: httpx.Client) -> None:
    with endless(served) as job:
        answer = ask(served, job, "cancel")
        assert answer.status_code in (200, 202)
        assert answer.json()["status"] == ("cancelling" if answer.status_code == 202 else "cancelled")
        assert ask(served, job, "cancel").status_code in (200, 202)

        done = served.get(job["links"]["self"], headers=WAIT).json()
        assert done["status"] == "cancelled"
        assert 0 < done["progress"]["epoch"] < done["progress"]["epochs"]
        assert done["version"] is None
        assert done["problem"] is None
        assert datetime.fromisoformat(done["finished_at"]) > datetime.fromisoformat(done["started_at"])
        assert_problem(served.get("/models/endless"), 404, "model-not-found")
        again = ask(served, job, "cancel")
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")
        assert "retry-after" not in again.headers


def test_a_job_that_waits_is_cancelled_and_paused_at_once(served: httpx.Client) -> None:
    with endless(served):
        job = submit(served, QUICK).json()
        for what, status in {"pause": "paused", "resume": "queued", "cancel": "cancelled"}.items():
            answer = ask(served, job, what)
            assert (answer.status_code, answer.json()["status"]) == (200, status)
        assert show(served, job)["attempt"] == 0


def test_a_wait_for_a_job_ends_when_another_client_cancels_it(served: httpx.Client) -> None:
    with endless(served), ThreadPoolExecutor(1) as threads:
        job = submit(served, QUICK).json()
        waiting = threads.submit(served.get, job["links"]["self"], headers=WAIT)
        cancelled(served, job)
        assert waiting.result().json()["status"] == "cancelled"


def test_a_training_that_is_paused_lets_others_by_and_goes_on_from_where_it_stopped(served: httpx.Client) -> None:
    with endless(served) as job:
        answer = ask(served, job, "pause", **WAIT)
        assert answer.status_code == 200
        assert answer.headers["preference-applied"] == "wait=50"
        paused = answer.json()
        assert paused["status"] == "paused"
        assert paused["finished_at"] is None
        assert "checkpoint" in paused["links"]
        assert ask(served, job, "pause").json()["status"] == "paused"
        assert train(served, "meanwhile")["status"] == "succeeded"

        assert ask(served, job, "resume").json()["status"] in ("queued", "running")
        wait_until(lambda: show(served, job)["progress"]["epoch"] > paused["progress"]["epoch"])
        resumed = show(served, job)
        assert resumed["status"] == "running"
        assert resumed["attempt"] == 2
        assert resumed["started_at"] == paused["started_at"]
        assert ask(served, job, "resume").json()["status"] == "running"


def test_pausing_is_followed_step_by_step_without_waiting(served: httpx.Client) -> None:
    with endless(served) as job:
        answer = ask(served, job, "pause")
        assert (answer.status_code, answer.json()["status"]) in [(202, "pausing"), (200, "paused")]
        wait_until(lambda: show(served, job)["status"] == "paused")
        assert ask(served, job, "cancel").json()["status"] == "cancelled"  # nobody has it: there is nothing to wait for


def test_a_paused_training_ends_with_the_weights_of_one_that_never_was(served: httpx.Client) -> None:
    long = {"network": {"hidden": [32, 32]}, "training": {"epochs": 20_000}}
    job = submit(served, QUICK | long).json()
    wait_until(lambda: show(served, job)["status"] == "running")
    assert ask(served, job, "pause", **WAIT).json()["status"] == "paused"
    stopped_and_not = [ask(served, job, "resume", **WAIT).json(), train(served, "straight", **long)]
    assert [one["attempt"] for one in stopped_and_not] == [2, 1]
    cards = [served.get(one["links"]["version"]).json()["card"] for one in stopped_and_not]
    assert cards[0]["files"]["network.safetensors"] == cards[1]["files"]["network.safetensors"]
    assert stopped_and_not[0]["metrics"] == stopped_and_not[1]["metrics"]


def test_what_the_state_of_a_job_does_not_allow_is_refused(served: httpx.Client) -> None:
    succeeded = train(served, "done")
    for what in ("cancel", "pause", "resume", "retry"):
        assert_problem(ask(served, succeeded, what), 409, "wrong-state")
    assert show(served, succeeded) == succeeded
    with endless(served) as job:
        assert_problem(ask(served, job, "retry"), 409, "wrong-state")
        assert_problem(served.delete(job["links"]["self"]), 409, "wrong-state")
        assert ask(served, job, "pause", **WAIT).status_code == 200
        assert_problem(ask(served, job, "retry"), 409, "wrong-state")
        assert_problem(served.delete(job["links"]["self"]), 409, "wrong-state")
        cancelled(served, job)
        for what in ("pause", "resume"):
            assert_problem(ask(served, job, what), 409, "wrong-state")


def test_a_body_that_nobody_asked_for_is_ignored(served: httpx.Client) -> None:
    with endless(served) as job:
        address = f"{job['links']['self']}/cancel"
        answer = served.post(address, content=b"{not json", headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 202)
        assert served.post(address, json={"reason": "x" * 100_000}).status_code in (200, 202)


# again, and never again


def test_a_job_that_failed_or_was_cancelled_is_tried_again_as_a_job_of_its_own(served: httpx.Client) -> None:
    wild = {
        "network": {"hidden": [4, 4], "activation": "identity"},
        "training": {"epochs": 500, "learning_rate": 1_000},
    }
    failed = train(served, "wild", metadata={"try": "me"}, **wild)
    answer = ask(served, failed, "retry", **WAIT)
    assert answer.status_code == 202
    again = answer.json()
    assert answer.headers["location"] == again["links"]["self"] != failed["links"]["self"]
    assert again["retry_of"] == failed["id"]
    assert failed["retry_of"] is None
    same = ("model", "data", "data_digest", "network", "training", "recipe", "metadata", "status", "problem", "metrics")
    assert {key: again[key] for key in same} == {key: failed[key] for key in same}
    assert show(served, failed) == failed

    with endless(served):
        waits = submit(served, QUICK | {"model": "second-thoughts"}).json()
        cancelled(served, waits)
        nothing = served.get(f"{waits['links']['self']}/checkpoint")
        assert_problem(nothing, 404, "nothing-kept")
        assert "ended before" in nothing.json()["detail"]
    assert ask(served, waits, "retry", **WAIT).json()["status"] == "succeeded"


def test_a_second_try_that_is_sent_again_under_its_key_is_the_same_job(served: httpx.Client) -> None:
    with endless(served):
        first, other = (cancelled(served, submit(served, QUICK).json()) for _ in range(2))
        again = ask(served, first, "retry", Idempotency_Key="second-try")
        replayed = ask(served, first, "retry", Idempotency_Key="second-try")
        assert "idempotency-replayed" not in again.headers
        assert replayed.headers["idempotency-replayed"] == "true"
        assert again.headers["location"] == replayed.headers["location"]
        reused = ask(served, other, "retry", Idempotency_Key="second-try")
        assert_problem(reused, 422, "idempotency-key-reused")
        assert_problem(submit(served, QUICK, Idempotency_Key="second-try"), 422, "idempotency-key-reused")
        cancelled(served, again.json())


def test_a_second_try_that_is_only_validated_says_what_it_would_be_and_is_no_job(served: httpx.Client) -> None:
    with endless(served) as job:
        assert_problem(ask(served, job, "retry?validate_only=true"), 409, "wrong-state")
    before = newest(served)
    answer = ask(served, job, "retry?validate_only=true")
    assert answer.status_code == 200
    assert answer.json().pop("recipe") == job["recipe"]
    assert newest(served) == before


def test_a_full_queue_takes_no_second_tries(served: httpx.Client) -> None:
    with endless(served):
        waiting = [submit(served, QUICK).json() for _ in range(4)]
        cancelled(served, waiting[0])
        waiting.append(submit(served, QUICK).json())
        assert_problem(ask(served, waiting[0], "retry"), 429, "queue-full")
        for job in waiting:
            cancelled(served, job)


def test_a_job_that_is_deleted_is_gone_and_its_version_stays(served: httpx.Client) -> None:
    job = submit(served, QUICK | {"model": "kept"}, Idempotency_Key="forgotten").json()
    job = served.get(job["links"]["self"], headers=WAIT).json()
    answer = served.delete(job["links"]["self"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(served.get(job["links"]["self"]), 404, "job-not-found")
    assert_problem(served.delete(job["links"]["self"]), 404, "job-not-found")
    assert served.get("/jobs", params={"model": "kept"}).json()["data"] == []
    assert served.get(job["links"]["version"]).json()["status"] == "served"
    assert served.get(job["links"]["version"] + "/checkpoint").status_code == 200
    assert served.post("/predict", json={"model": "kept", "points": [[0, 0]]}).status_code == 200

    anew = submit(served, QUICK | {"model": "kept"}, Idempotency_Key="forgotten")
    assert "idempotency-replayed" not in anew.headers
    assert anew.json()["id"] != job["id"]


OWN: dict[str, Any] = {"model": "own", "data": {"points": [[0, 0], [1, 1]], "labels": [0, 1]}}


def points_kept(data_dir: Path) -> set[str]:
    return {path.name for path in (data_dir / "datasets").glob("*")}


def test_points_of_a_job_are_deleted_with_it_but_those_that_a_version_was_trained_on(
    served: httpx.Client, data_dir: Path
) -> None:
    before = points_kept(data_dir)
    with endless(served):
        never = cancelled(served, submit(served, OWN).json())
        again = ask(served, never, "retry").json()
        assert len(points_kept(data_dir) - before) == 2
        assert served.delete(never["links"]["self"]).status_code == 204
    again = served.get(again["links"]["self"], headers=WAIT).json()
    assert again["status"] == "succeeded"
    assert served.delete(again["links"]["self"]).status_code == 204
    assert len(points_kept(data_dir) - before) == 1
    picture = {"model": "own", "format": "png", "points": True, "resolution": 20}
    assert served.get("/boundary-grid", params=picture).status_code == 200


def test_points_of_a_submission_that_is_sent_twice_at_once_are_kept_once(served: httpx.Client, data_dir: Path) -> None:
    before = points_kept(data_dir)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: submit(served, OWN, Idempotency_Key="own-at-once"), range(8)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(points_kept(data_dir) - before) == 1


def test_points_that_were_damaged_fail_their_own_job_and_no_other(served: httpx.Client, data_dir: Path) -> None:
    with endless(served):
        damaged, whole = (submit(served, OWN).json() for _ in range(2))
        (data_dir / "datasets" / f"{damaged['id']}.npz").write_bytes(b"no such file")
    damaged = served.get(damaged["links"]["self"], headers=WAIT).json()
    assert (damaged["status"], damaged["problem"]["code"]) == ("failed", "damaged-data")
    assert served.get(whole["links"]["self"], headers=WAIT).json()["status"] == "succeeded"
    refused = ask(served, damaged, "retry")
    assert_problem(refused, 409, "wrong-state")
    assert "send the training again" in refused.json()["detail"]
    assert submit(served, OWN, **WAIT).json()["status"] == "succeeded"


def test_points_for_which_there_is_no_room_are_refused_and_make_no_job(served: httpx.Client, data_dir: Path) -> None:
    before = newest(served)
    folder = data_dir / "datasets"
    folder.rename(data_dir / "aside")
    folder.write_text("a file where the folder should be")
    try:
        assert_problem(submit(served, OWN), 503, "storage-unavailable")
    finally:
        folder.unlink()
        (data_dir / "aside").rename(folder)
    assert newest(served) == before
    assert submit(served, OWN, **WAIT).json()["status"] == "succeeded"


def test_a_list_of_jobs_can_be_deleted_page_by_page(served: httpx.Client) -> None:
    ids = [train(served, "one-by-one")["id"] for _ in range(5)]
    query: dict[str, Any] = {"model": "one-by-one", "limit": 2}
    deleted = []
    while True:
        page = served.get("/jobs", params=query).json()
        for job in page["data"]:
            assert served.delete(job["links"]["self"]).status_code == 204
            deleted.append(job["id"])
        if not page["has_more"]:
            break
        query["after"] = page["last_id"]
    assert deleted == ids[::-1]


def test_weights_that_a_job_keeps_are_deleted_with_it(served: httpx.Client, data_dir: Path) -> None:
    with endless(served) as job:
        ask(served, job, "pause", **WAIT)
        ended = cancelled(served, job)
        assert served.get(ended["links"]["checkpoint"]).status_code == 200
        assert list((data_dir / "checkpoints").glob(f"{job['id']}*"))
        assert served.delete(job["links"]["self"]).status_code == 204
        assert not list((data_dir / "checkpoints").glob(f"{job['id']}*"))
        assert_problem(served.get(ended["links"]["checkpoint"]), 404, "job-not-found")


# looking


def test_a_job_that_runs_says_how_long_it_has_been_at_it_and_when_it_may_be_done(served: httpx.Client) -> None:
    with endless(served) as job:
        wait_until(lambda: show(served, job)["training_seconds"] > job["training_seconds"])
        running_job = show(served, job)
        assert running_job["links"]["events"] == f"/jobs/{job['id']}/events"
        assert datetime.fromisoformat(running_job["estimated_finish"]) > datetime.fromisoformat(job["started_at"])
        waiting = submit(served, QUICK).json()
        assert (waiting["estimated_finish"], waiting["training_seconds"]) == (None, 0)
        paused = ask(served, job, "pause", **WAIT).json()
        assert paused["estimated_finish"] is None
        assert paused["training_seconds"] >= running_job["training_seconds"]


def test_an_estimate_is_what_is_left_at_the_pace_so_far(served: httpx.Client) -> None:
    with endless(served) as job:
        wait_until(lambda: show(served, job)["training_seconds"] > 1)
        answer = served.get(job["links"]["self"])
        now = parsedate_to_datetime(answer.headers["date"])
        shown = answer.json()
        fraction = shown["progress"]["fraction"]
        left_s = (datetime.fromisoformat(shown["estimated_finish"]) - now).total_seconds()
        assert left_s == pytest.approx(shown["training_seconds"] * (1 - fraction) / fraction, abs=3)


def test_a_finish_that_no_training_may_live_to_see_is_not_foretold() -> None:
    many = TrainingSpec(epochs=1_000_000, restarts=100)
    spec = new_spec("slow", DatasetSpec(), NetworkSpec(), many, origin="http")

    def estimated_finish(epoch: int, ran_s: float) -> datetime | None:
        return JobView.of(Job(spec, JobStatus(state=JobState.RUNNING, epoch=epoch, ran_s=ran_s))).estimated_finish

    assert estimated_finish(epoch=1, ran_s=3_600.0) is None
    assert estimated_finish(epoch=10_000_000, ran_s=3_600.0) is not None
    assert estimated_finish(epoch=0, ran_s=0.0) is None


def test_the_last_weights_of_a_training_can_be_had_while_it_goes_on_and_after_it_was_stopped(
    served: httpx.Client, tmp_path: Path
) -> None:
    with endless(served) as job:
        assert_problem(served.get(f"{job['links']['self']}/checkpoint"), 404, "nothing-kept")
        wait_until(lambda: "checkpoint" in show(served, job)["links"])
        address = show(served, job)["links"]["checkpoint"]
        contents = []
        for what in (None, "pause", "cancel"):
            if what:
                assert ask(served, job, what, **WAIT).status_code == 200
            answer = served.get(address)
            assert answer.status_code == 200
            assert ("retry-after" in show_headers(served, job)) == (what is None)
            assert f'filename="endless-{job["id"]}.pth"' in answer.headers["content-disposition"]
            contents.append(answer.content)
            (tmp_path / "kept.pth").write_bytes(answer.content)
            state = torch.load(tmp_path / "kept.pth", weights_only=True)
            assert [tuple(value.shape) for value in state.values()] == [(64, 2), (64,), (64, 64), (64,), (1, 64), (1,)]
            assert all(value.isfinite().all() for value in state.values())
        assert contents[0] != contents[1] == contents[2]


def test_weights_that_are_replaced_again_and_again_can_be_had_all_the_time(served: httpx.Client) -> None:
    with endless(served) as job:
        wait_until(lambda: "checkpoint" in show(served, job)["links"])
        address = show(served, job)["links"]["checkpoint"]
        seen: set[bytes] = set()

        def replaced() -> bool:
            answer = served.get(address)
            assert answer.status_code == 200
            seen.add(answer.content)
            return len(seen) == 3

        wait_until(replaced)


def test_weights_whose_file_has_gone_are_not_kept(served: httpx.Client, data_dir: Path) -> None:
    with endless(served) as job:
        address = ask(served, job, "pause", **WAIT).json()["links"]["checkpoint"]
        for folder in (data_dir / "checkpoints").glob(f"{job['id']}*"):
            shutil.rmtree(folder)
        assert_problem(served.get(address), 404, "nothing-kept")


def test_a_job_that_has_not_changed_is_not_sent_again(served: httpx.Client) -> None:
    with endless(served) as job:
        waiting = submit(served, QUICK).json()["links"]["self"]
        first = served.get(waiting)
        assert first.headers["cache-control"] == "no-cache"
        tag = first.headers["etag"]
        again = served.get(waiting, headers={"If-None-Match": f'"other", W/{tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["retry-after"] == "1"
        assert served.get(waiting, headers={"If-None-Match": '"other"'}).json() == first.json()
        cancelled(served, job)
    ended = served.get(waiting, headers={"If-None-Match": tag, **WAIT})
    assert ended.status_code == 200
    assert ended.json()["status"] == "succeeded"
    assert ended.headers["etag"] != tag
    assert "retry-after" not in ended.headers


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/jobs?modle=quick", "modle"),
        ("/jobs?model=quick&model=slow", "model"),
        (f"/events?job={NOBODY}&job={NOBODY}", "job"),
        (f"/jobs/{NOBODY}?verbose", "verbose"),
        ("/health/ready?deep=1", "deep"),
        ("/models?limit=1&limit=1", "limit"),
        ("/boundary-grid?model=quick&model=quick", "model"),
        ("/boundary-grid?model=quick&colour=red", "colour"),
        ("/datasets/flower/points?n=10&n=20", "n"),
    ],
)
def test_parameters_that_there_are_not_or_that_come_twice_are_refused(
    served: httpx.Client, path: str, name: str
) -> None:
    assert_problem(served.get(path), 422, "invalid-input", field=name)


def test_parameters_of_an_array_that_come_twice_are_refused(served: httpx.Client) -> None:
    headers = {"Content-Type": "application/x-npy"}
    answer = served.post("/predict?model=quick&model=slow", content=b"", headers=headers)
    assert_problem(answer, 422, "invalid-input", field="model")


@pytest.mark.parametrize("path", ["/train", "/predict"])
def test_a_body_that_does_not_go_on_is_waited_for_no_longer_than_may_be(served: httpx.Client, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection((served.base_url.host, served.base_url.port or 80), timeout=DEADLINE_S) as connection:
        for part in (head, '{"model": ', '"m"'):
            connection.sendall(part.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 408
        assert b"body-too-slow" in answer.read()
    assert served.get("/health/live").is_success


def test_a_header_that_comes_twice_counts_as_one_list(served: httpx.Client) -> None:
    twice = [("Idempotency-Key", "one"), ("Idempotency-Key", "other")]
    assert_problem(served.post("/jobs", json=QUICK, headers=twice), 422, "invalid-input", field="Idempotency-Key")
    job = train(served, "quick")
    path = job["links"]["self"]
    preferring = served.get(path, headers=[("Prefer", "respond-async"), ("Prefer", "wait=2")])
    assert preferring.headers["preference-applied"] == "wait=2"
    tags = [("If-None-Match", '"another"'), ("If-None-Match", preferring.headers["etag"])]
    assert served.get(path, headers=tags).status_code == 304


@pytest.mark.parametrize(
    "path",
    ["/health/live", "/health/ready", "/jobs", "/models", "/metrics", "/boundary-grid?model=headed&resolution=9"],
)
def test_the_head_of_an_answer_can_be_had_alone(served: httpx.Client, path: str) -> None:
    if not served.get("/models/headed").is_success:
        train(served, "headed")
    whole, head = served.get(path), served.head(path)
    assert (head.status_code, head.content) == (200, b"")
    fleeting = {"date", "x-request-id", "content-length"}
    assert {k: v for k, v in head.headers.items() if k not in fleeting} == {
        k: v for k, v in whole.headers.items() if k not in fleeting
    }
    assert served.get(path).status_code == 200, "the connection can be used again"


def test_the_head_of_a_stream_ends_at_once(served: httpx.Client) -> None:
    with endless(served) as job:
        answer = served.head(job["links"]["events"], headers={"Accept": "text/event-stream"})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


def test_what_only_takes_a_post_has_no_head(served: httpx.Client) -> None:
    assert served.head("/train").status_code == 405


def test_jobs_are_listed_by_model_and_state(served: httpx.Client) -> None:
    done = [train(served, "listed")["id"] for _ in range(3)]
    with endless(served):
        waiting = submit(served, QUICK | {"model": "listed"}).json()

        def ids(**query: Any) -> list[str]:
            return [job["id"] for job in served.get("/jobs", params={"model": "listed"} | query).json()["data"]]

        assert ids() == [waiting["id"], *done[::-1]]
        assert ids(status="succeeded") == done[::-1]
        assert ids(status="queued") == [waiting["id"]]
        assert ids(limit=1, after=done[2]) == [done[1]]
        assert ids(model="nobody") == []
        for status in ("pausing", "paused", "cancelling", "failed"):
            assert ids(status=status) == []
        cancelled(served, waiting)
    assert_problem(served.get("/jobs", params={"model": "No Name"}), 422, "invalid-input", field="model")


# refusals


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs/{}"),
        ("DELETE", "/jobs/{}"),
        ("POST", "/jobs/{}/cancel"),
        ("POST", "/jobs/{}/pause"),
        ("POST", "/jobs/{}/resume"),
        ("POST", "/jobs/{}/retry"),
        ("GET", "/jobs/{}/checkpoint"),
    ],
)
def test_a_job_that_there_is_not_can_be_asked_nothing(served: httpx.Client, method: str, path: str) -> None:
    assert_problem(served.request(method, path.format(NOBODY)), 404, "job-not-found")
    for malformed in ("nonsense", NOBODY[1:], NOBODY + "0", "F" * 24, "%00", "0" * 10_000):
        answer = served.request(method, path.format(malformed))
        assert_problem(answer, 422, "invalid-input", field="job_id")
        assert malformed not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/train", {"POST"}),
        ("PUT", "/jobs", {"GET", "HEAD", "POST"}),
        ("DELETE", "/jobs", {"GET", "HEAD", "POST"}),
        ("POST", f"/jobs/{NOBODY}", {"GET", "HEAD", "DELETE"}),
        ("PATCH", f"/jobs/{NOBODY}", {"GET", "HEAD", "DELETE"}),
        ("GET", f"/jobs/{NOBODY}/cancel", {"POST"}),
        ("DELETE", f"/jobs/{NOBODY}/checkpoint", {"GET", "HEAD"}),
    ],
)
def test_a_path_says_which_methods_it_takes(served: httpx.Client, method: str, path: str, allowed: set[str]) -> None:
    answer = served.request(method, path)
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed
