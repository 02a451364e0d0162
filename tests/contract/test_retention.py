from pathlib import Path
from typing import Any

import httpx
import pytest

from service.store.files import Files
from tests.contract.problems import assert_problem
from tests.service.places import Place
from tests.serving import running, train, wait_until

OWN: dict[str, Any] = {
    "data": {"points": [[0.0], [1.0], [2.0], [3.0]], "labels": [0, 0, 1, 1]},
    "network": {"kind": "logistic"},
    "training": {"epochs": 1},
}


def versions_of(client: httpx.Client, model: str) -> list[int]:
    return [one["version"] for one in client.get(f"/models/{model}/versions").json()["data"]]


def job_ids(data_dir: Path) -> set[str]:
    """The jobs that have files."""
    return {path.name[:24] for folder in ("checkpoints", "datasets") for path in (data_dir / folder).glob("*")}


@pytest.mark.slow
def test_a_publication_deletes_older_versions_than_are_kept_except_those_with_an_alias(tmp_path: Path) -> None:
    with running(tmp_path, keep_versions=2) as client:
        assert client.get("/health/ready").status_code == 200
        jobs = [train(client, "m", **OWN)["id"]]
        client.put("/models/m/aliases/production", json={"version": 1})
        jobs += [train(client, "m", **OWN)["id"] for _ in range(4)]
        assert versions_of(client, "m") == [5, 4, 1]
        wait_until(lambda: job_ids(tmp_path) == {jobs[0], jobs[3], jobs[4]})
        assert_problem(client.get("/models/m/versions/3"), 404, "version-not-found")
        request = {"model": "m", "points": [[0.0]]}
        assert client.post("/predict", json=request).json()["version"] == 5
        assert client.post("/predict", json=request | {"alias": "production"}).json()["version"] == 1

        client.delete("/models/m/aliases/production")
        train(client, "m", **OWN)
        assert versions_of(client, "m") == [6, 5]


@pytest.mark.slow
def test_a_model_keeps_as_many_versions_as_it_says(service: httpx.Client) -> None:
    for _ in range(3):
        train(service, "own", **OWN)
    assert service.get("/models/own").json()["keep_versions"] is None
    kept = service.put("/models/own", json={"keep_versions": 1})
    assert (kept.status_code, kept.json()["keep_versions"], kept.json()["version_count"]) == (200, 1, 3)
    train(service, "own", **OWN)
    assert versions_of(service, "own") == [4]
    assert service.put("/models/own", json={"keep_versions": None}).json()["keep_versions"] is None
    train(service, "own", **OWN)
    assert versions_of(service, "own") == [5, 4]


@pytest.mark.slow
def test_latest_is_kept_when_it_went_back_to_an_old_version_until_it_moves(service: httpx.Client) -> None:
    for _ in range(2):
        train(service, "back", **OWN)
    service.put("/models/back", json={"keep_versions": 1})
    service.put("/models/back/aliases/latest", json={"version": 1})
    guarded = {"training": {"epochs": 1, "validation_fraction": 0.5}, "promote_if": {"log_loss": "<0"}}
    train(service, "back", **OWN | guarded)
    assert versions_of(service, "back") == [3, 1]
    train(service, "back", **OWN)
    assert versions_of(service, "back") == [4]


@pytest.mark.parametrize("body", [{"keep_versions": -1}, {"keep_versions": 1.5}, {"keep_versions": 10**7}, {}])
def test_an_invalid_number_of_versions_is_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    assert_problem(client.put("/models/plane", json=body), 422, "invalid-input", field="keep_versions")
    assert_problem(client.put("/models/nobody", json={"keep_versions": 1}), 404, "model-not-found")


@pytest.mark.slow
def test_files_without_a_row_are_removed_and_all_others_stay(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        kept, lost = (train(client, model, **OWN)["id"] for model in ("kept", "lost"))
        waiting = client.post("/train", json=OWN | {"model": "waits", "training": {"epochs": 10**6}}).json()["id"]
        client.post(f"/jobs/{waiting}/pause", headers={"Prefer": "wait=50"})
    place = Place.of_folder(tmp_path)
    place.store.versions.delete("lost", 1)  # the process dies before it removes the files
    for name in ("of-somebody-else", f"{lost}-1-18f0", f"import-{'0' * 24}"):
        (tmp_path / "checkpoints" / name).mkdir()
    files, in_use = Files(tmp_path), place.store.jobs.files_in_use
    files.remove_unused(in_use)
    assert {kept, lost, waiting} <= job_ids(tmp_path), "a row may still be to come"
    files.remove_unused(in_use, unchanged_s=-1)
    assert job_ids(tmp_path) == {kept, waiting, "of-somebody-else"}
    place.store.close()
    with running(tmp_path) as client:
        assert client.post("/predict", json={"model": "kept", "points": [[0.0]]}).status_code == 200
        overlay = {"model": "kept", "format": "png", "resolution": 4}
        assert client.get("/boundary-grid", params=overlay).status_code == 200
