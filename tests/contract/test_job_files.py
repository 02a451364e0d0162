"""The files of a job: the points that a client sent, and its checkpoint."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from tests.contract.job_requests import WAIT, act, cancelled, endless, newest_job_id, show, submit
from tests.contract.manual_worker import ManualWorker
from tests.contract.problems import assert_problem
from tests.serving import ended, wait_until

OWN: dict[str, Any] = {"model": "own", "data": {"points": [[0, 0], [1, 1]], "labels": [0, 1]}}


def stored_points(data_dir: Path) -> set[str]:
    return {path.name for path in (data_dir / "datasets").glob("*")}


@pytest.mark.slow
def test_deleting_a_job_deletes_its_points_unless_a_version_was_trained_on_them(
    service: httpx.Client, data_dir: Path
) -> None:
    before = stored_points(data_dir)
    with endless(service):
        first = cancelled(service, submit(service, OWN).json())
        again = act(service, first, "retry").json()
        assert len(stored_points(data_dir) - before) == 2
        assert service.delete(first["links"]["self"]).status_code == 204
    again = ended(service, again["links"]["self"])
    assert again["status"] == "succeeded"
    assert service.delete(again["links"]["self"]).status_code == 204
    assert len(stored_points(data_dir) - before) == 1
    picture = {"model": "own", "format": "png", "overlay": "points", "resolution": 20}
    assert service.get("/boundary-grid", params=picture).status_code == 200


def test_points_of_simultaneous_submissions_with_one_idempotency_key_are_stored_once(
    service: httpx.Client, data_dir: Path
) -> None:
    before = stored_points(data_dir)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: submit(service, OWN, Idempotency_Key="own-at-once"), range(8)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(stored_points(data_dir) - before) == 1


@pytest.mark.slow
def test_damaged_points_fail_their_own_job_and_no_other(service: httpx.Client, data_dir: Path) -> None:
    with endless(service):
        damaged, intact = (submit(service, OWN).json() for _ in range(2))
        (data_dir / "datasets" / f"{damaged['id']}.npz").write_bytes(b"not the file that was stored")
    damaged = ended(service, damaged["links"]["self"])
    assert (damaged["status"], damaged["problem"]["code"]) == ("failed", "damaged-data")
    assert ended(service, intact["links"]["self"])["status"] == "succeeded"
    refused = act(service, damaged, "retry")
    assert_problem(refused, 409, "wrong-state")
    assert "Submit the training again" in refused.json()["detail"]
    assert ended(service, submit(service, OWN).headers["location"])["status"] == "succeeded"


@pytest.mark.slow
def test_points_that_cannot_be_stored_are_refused_and_create_no_job(service: httpx.Client, data_dir: Path) -> None:
    before = newest_job_id(service)
    folder = data_dir / "datasets"
    folder.mkdir(exist_ok=True)
    folder.rename(data_dir / "aside")
    folder.write_text("a file where the folder should be")
    try:
        assert_problem(submit(service, OWN), 503, "storage-unavailable")
    finally:
        folder.unlink()
        (data_dir / "aside").rename(folder)
    assert newest_job_id(service) == before
    assert ended(service, submit(service, OWN).headers["location"])["status"] == "succeeded"


def test_a_running_job_without_a_checkpoint_says_so(worker: ManualWorker) -> None:
    job = worker.new_job()
    assert_problem(worker.client.get(f"/jobs/{job.id}/checkpoint"), 404, "nothing-kept")
    worker.fail(job)


@pytest.mark.slow
def test_the_latest_checkpoint_can_be_downloaded_while_a_job_runs_and_after_it_has_stopped(
    service: httpx.Client, tmp_path: Path
) -> None:
    with endless(service) as job:
        wait_until(lambda: "checkpoint" in show(service, job)["links"])
        path = show(service, job)["links"]["checkpoint"]
        contents = []
        for action in (None, "pause", "cancel"):
            if action:
                assert act(service, job, action, **WAIT).status_code == 200
            answer = service.get(path)
            assert answer.status_code == 200
            assert ("retry-after" in service.get(job["links"]["self"]).headers) == (action is None)
            assert f'filename="endless-{job["id"]}.pth"' in answer.headers["content-disposition"]
            contents.append(answer.content)
            (tmp_path / "checkpoint.pth").write_bytes(answer.content)
            state = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
            assert [tuple(value.shape) for value in state.values()] == [(64, 2), (64,), (64, 64), (64,), (1, 64), (1,)]
            assert all(value.isfinite().all() for value in state.values())
        assert contents[0] != contents[1] == contents[2]


@pytest.mark.slow
def test_a_checkpoint_can_be_downloaded_while_newer_ones_replace_it(service: httpx.Client) -> None:
    with endless(service) as job:
        wait_until(lambda: "checkpoint" in show(service, job)["links"])
        path = show(service, job)["links"]["checkpoint"]
        seen: set[bytes] = set()

        def was_replaced_twice() -> bool:
            answer = service.get(path)
            assert answer.status_code == 200
            seen.add(answer.content)
            return len(seen) == 3

        wait_until(was_replaced_twice)


@pytest.mark.slow
def test_a_checkpoint_whose_files_are_missing_is_not_found(service: httpx.Client, data_dir: Path) -> None:
    with endless(service) as job:
        path = act(service, job, "pause", **WAIT).json()["links"]["checkpoint"]
        for folder in (data_dir / "checkpoints").glob(f"{job['id']}*"):
            shutil.rmtree(folder)
        assert_problem(service.get(path), 404, "nothing-kept")


@pytest.mark.slow
def test_deleting_a_job_deletes_its_checkpoint(service: httpx.Client, data_dir: Path) -> None:
    with endless(service) as job:
        act(service, job, "pause", **WAIT)
        stopped = cancelled(service, job)
        assert service.get(stopped["links"]["checkpoint"]).status_code == 200
        assert list((data_dir / "checkpoints").glob(f"{job['id']}*"))
        assert service.delete(job["links"]["self"]).status_code == 204
        assert not list((data_dir / "checkpoints").glob(f"{job['id']}*"))
        assert_problem(service.get(stopped["links"]["checkpoint"]), 404, "job-not-found")
