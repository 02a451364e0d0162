"""How jobs are submitted: `validate_only`, idempotency keys, metadata, and a queue that is full."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.job_requests import QUICK, act, cancelled, endless, is_accepted, newest_job_id, show, submit
from tests.contract.problems import assert_problem
from tests.serving import ended, train


def test_validate_only_shows_the_resolved_job_and_creates_none(service: httpx.Client, data_dir: Path) -> None:
    before = newest_job_id(service), list(data_dir.glob("datasets/*"))
    own = {"points": [[0], [1], [2], [4.5]], "labels": ["a", "a", "b", "b"]}
    body = QUICK | {"data": own, "metadata": {"owner": "me"}}
    answer = service.post("/train", params={"validate_only": True}, json=body)
    assert answer.status_code == 200
    assert "location" not in answer.headers
    shown = answer.json()
    assert shown.pop("object") == "training.validation"
    assert (newest_job_id(service), list(data_dir.glob("datasets/*"))) == before

    job = submit(service, body).json()
    assert shown.items() <= job.items()
    fields = {
        "model",
        "data",
        "data_digest",
        "preset",
        "network",
        "training",
        "started_from",
        "recipe_digest",
        "promote_if",
        "promote_to",
        "metadata",
        "publish",
        "supersede",
        "snapshots",
    }
    assert set(shown) == fields


def test_validate_only_refuses_what_a_submission_would_refuse(service: httpx.Client) -> None:
    validate = {"validate_only": "true"}
    invalid = QUICK | {"training": {"epochs": 0}}
    assert_problem(service.post("/jobs", params=validate, json=invalid), 422, "invalid-input", field="training.epochs")
    inconsistent = QUICK | {"data": {"dataset": "flower", "n_classes": 3}}
    assert_problem(
        service.post("/jobs", params=validate, json=inconsistent), 422, "invalid-input", field="data.n_classes"
    )
    answer = service.post("/jobs", params={"validate_only": "perhaps"}, json=QUICK)
    assert_problem(answer, 422, "invalid-input", field="validate_only", place="query")
    headers = {"Idempotency-Key": "validated"}
    assert service.post("/jobs", json=QUICK, headers=headers).status_code == 202
    other = QUICK | {"model": "another"}
    assert_problem(service.post("/jobs", params=validate, json=other, headers=headers), 422, "idempotency-key-reused")
    assert service.post("/jobs", params=validate, json=QUICK, headers=headers).status_code == 200


@pytest.mark.slow
def test_a_submission_repeated_with_the_same_idempotency_key_is_the_same_job(service: httpx.Client) -> None:
    first = submit(service, QUICK, Idempotency_Key="once")
    assert is_accepted(first)
    assert "idempotent-replayed" not in first.headers
    ended(service, first.headers["location"])

    again = service.post("/train", json=QUICK, headers={"Idempotency-Key": '"once"'})
    assert again.status_code == 200, "the job has ended"
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["status"] == "succeeded"

    with_defaults = QUICK | {"training": {"epochs": 1, "optimizer": "sgd"}, "metadata": {}}
    assert submit(service, with_defaults, Idempotency_Key="once").json()["id"] == first.json()["id"]


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
def test_an_idempotency_key_that_was_used_with_another_training_is_refused(
    service: httpx.Client, change: dict[str, Any]
) -> None:
    body = QUICK | {"metadata": {"run": "1"}}
    assert is_accepted(submit(service, body, Idempotency_Key="taken"))
    before = newest_job_id(service)
    assert_problem(submit(service, body | change, Idempotency_Key="taken"), 422, "idempotency-key-reused")
    assert newest_job_id(service) == before


def test_simultaneous_submissions_with_one_idempotency_key_create_one_job(service: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: submit(service, QUICK, Idempotency_Key="at-once"), range(8)))
    assert all(map(is_accepted, answers))
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert sorted(answer.headers.get("idempotent-replayed", "") for answer in answers) == ["", *["true"] * 7]
    listed = service.get("/jobs", params={"model": "quick"}).json()["data"]
    assert [job["id"] for job in listed].count(job_id) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("k" * 255, '"' + "k" * 255 + '"', True),
        (r'"a\"b\\c"', r'a"b\c', True),
        ("Case", "case", False),
    ],
)
def test_idempotency_keys_are_compared_without_their_quotes(
    service: httpx.Client, one: str, other: str, same: bool
) -> None:
    first = submit(service, QUICK | {"model": "quoted"}, Idempotency_Key=one)
    second = submit(service, QUICK | {"model": "quoted"}, Idempotency_Key=other)
    assert is_accepted(first)
    assert is_accepted(second)
    assert (first.json()["id"] == second.json()["id"]) == same
    ended(service, second.headers["location"])


@pytest.mark.parametrize("key", ["", '""', "k" * 256, "two words", '"open', '"a"b"', "tab\there", "schlüssel", "k, k"])
def test_an_invalid_idempotency_key_is_refused_and_creates_no_job(service: httpx.Client, key: str) -> None:
    before = newest_job_id(service)
    answer = service.post("/jobs", json=QUICK, headers={"Idempotency-Key": key.encode("latin-1")})  # type: ignore[dict-item]
    assert_problem(answer, 422, "invalid-input", field="Idempotency-Key", place="header")
    assert len(key) < 3 or key not in answer.text
    assert newest_job_id(service) == before


@pytest.mark.slow
def test_a_full_queue_refuses_new_jobs_but_replays_known_idempotency_keys(
    service: httpx.Client, data_dir: Path
) -> None:
    with endless(service):
        waiting = [submit(service, QUICK, Idempotency_Key=f"waits-{i}") for i in range(4)]
        assert [answer.status_code for answer in waiting] == [202] * 4
        kept = len(list((data_dir / "datasets").glob("*")))
        own = QUICK | {"data": {"points": [[7], [8]], "labels": [0, 1]}}
        refused = submit(service, own, Idempotency_Key="waits-4")
        assert_problem(refused, 429, "queue-full")
        assert refused.headers["retry-after"] == "1"
        assert_problem(service.post("/jobs", params={"validate_only": True}, json=own), 429, "queue-full")
        assert len(list((data_dir / "datasets").glob("*"))) == kept

        again = submit(service, QUICK, Idempotency_Key="waits-2")
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json()["id"] == waiting[2].json()["id"]
        assert_problem(submit(service, own, Idempotency_Key="waits-2"), 422, "idempotency-key-reused")

        cancelled(service, waiting[0].json())
        assert submit(service, own, Idempotency_Key="waits-4").status_code == 202
        for answer in waiting:
            cancelled(service, answer.json())


def test_metadata_is_shown_with_the_job_and_in_lists(service: httpx.Client) -> None:
    metadata = {f"{i:x}".ljust(64, "é"): "ü" * 512 for i in range(15)} | {"k": ""}
    job = train(service, "noted", metadata=metadata)
    assert job["metadata"] == metadata
    assert show(service, job)["metadata"] == metadata
    assert service.get("/jobs", params={"model": "noted"}).json()["data"][0]["metadata"] == metadata
    assert train(service, "noted")["metadata"] == {}
    recipes = {job["recipe_digest"] for job in service.get("/jobs", params={"model": "noted"}).json()["data"]}
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
def test_invalid_metadata_is_refused(service: httpx.Client, metadata: Any, field: str) -> None:
    assert_problem(submit(service, QUICK | {"metadata": metadata}), 422, "invalid-input", field=field)


def test_metadata_with_a_lone_surrogate_is_refused(service: httpx.Client) -> None:
    body = b'{"model": "quick", "data": {"dataset": "flower"}, "metadata": {"k": "\\ud800"}}'
    answer = service.post("/jobs", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, 400, "malformed-json")


@pytest.mark.slow
def test_a_full_queue_refuses_retries(service: httpx.Client) -> None:
    with endless(service):
        waiting = [submit(service, QUICK).json() for _ in range(4)]
        cancelled(service, waiting[0])
        waiting.append(submit(service, QUICK).json())
        assert_problem(act(service, waiting[0], "retry"), 429, "queue-full")
        for job in waiting:
            cancelled(service, job)
