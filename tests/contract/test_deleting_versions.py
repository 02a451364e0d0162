from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.problems import assert_problem
from tests.serving import running, train

OWN = {"data": {"points": [[0.0], [1.0], [2.0], [3.0]], "labels": [0, 0, 1, 1]}, "network": {"kind": "logistic"}}


def trained(client: httpx.Client, model: str, count: int, **body: Any) -> list[dict[str, Any]]:
    return [train(client, model, training={"epochs": 1}, **body) for _ in range(count)]


def files_of(data_dir: Path, job: dict[str, Any]) -> list[str]:
    return sorted(
        path.name for folder in ("checkpoints", "datasets") for path in (data_dir / folder).glob(f"{job['id']}*")
    )


def version_of(client: httpx.Client, model: str) -> int:
    answer = client.post("/predict", json={"model": model, "points": [[0.0]]})
    assert answer.status_code == 200, answer.text
    version: int = answer.json()["version"]
    return version


@pytest.mark.slow
def test_a_deleted_version_is_gone_with_its_files(service: httpx.Client, data_dir: Path) -> None:
    first, second = trained(service, "deleted", 2, **OWN)
    assert len(files_of(data_dir, first)) == 2
    grid = {"model": "deleted", "version": 1, "resolution": 4}
    assert service.get("/boundary-grid", params=grid).status_code == 200
    assert service.delete("/models/deleted/versions/1").status_code == 204
    assert files_of(data_dir, first) == []
    assert len(files_of(data_dir, second)) == 2

    for path in ("/models/deleted/versions/1", "/models/deleted/versions/1/checkpoint"):
        assert_problem(service.get(path), 404, "version-not-found")
    assert_problem(service.delete("/models/deleted/versions/1"), 404, "version-not-found")
    assert_problem(service.get("/boundary-grid", params=grid), 404, "version-not-found")
    answer = service.post("/predict", json={"model": "deleted", "version": 1, "points": [[0.0]]})
    assert_problem(answer, 404, "version-not-found")
    model = service.get("/models/deleted").json()
    assert (model["version_count"], model["served_version"]) == (1, 2)
    job = service.get(first["links"]["self"]).json()
    assert (job["status"], job["version"]) == ("succeeded", 1), "the job remembers what it published"
    assert service.delete(first["links"]["self"]).status_code == 204


@pytest.mark.slow
def test_deleting_the_latest_version_makes_the_one_before_it_the_latest_and_its_number_is_not_used_again(
    service: httpx.Client,
) -> None:
    trained(service, "undone", 3, **OWN)
    assert service.delete("/models/undone/versions/3").status_code == 204
    assert version_of(service, "undone") == 2
    assert service.get("/models/undone").json()["aliases"] == {"latest": 2}
    (job,) = trained(service, "undone", 1, **OWN)
    assert job["version"] == version_of(service, "undone") == 4


@pytest.mark.slow
def test_deleting_the_oldest_version_that_latest_names_makes_the_newest_the_latest(service: httpx.Client) -> None:
    trained(service, "oldest", 2, **OWN)
    service.put("/models/oldest/aliases/latest", json={"version": 1})
    assert service.delete("/models/oldest/versions/1").status_code == 204
    assert version_of(service, "oldest") == 2


@pytest.mark.slow
def test_a_version_that_an_alias_names_cannot_be_deleted_nor_can_its_model(service: httpx.Client) -> None:
    trained(service, "in-use", 2, **OWN)
    service.put("/models/in-use/aliases/production", json={"version": 1})
    for path in ("/models/in-use/versions/1", "/models/in-use"):
        answer = service.delete(path)
        assert_problem(answer, 409, "version-in-use")
        assert "production" in answer.json()["detail"]
    assert service.delete("/models/in-use/versions/2").status_code == 204
    assert service.delete("/models/in-use/aliases/production").status_code == 204
    assert service.delete("/models/in-use/versions/1").status_code == 204
    assert_problem(service.get("/models/in-use"), 404, "model-not-found")


@pytest.mark.slow
def test_a_deleted_model_is_gone_with_its_files_and_counts_on_when_it_is_trained_again(
    service: httpx.Client, data_dir: Path
) -> None:
    jobs = trained(service, "whole", 2, **OWN)
    assert service.delete("/models/whole").status_code == 204
    assert [files_of(data_dir, job) for job in jobs] == [[], []]
    for path in ("/models/whole", "/models/whole/versions", "/models/whole/versions/1", "/models/whole/aliases"):
        assert_problem(service.get(path), 404, "model-not-found")
    assert_problem(service.delete("/models/whole"), 404, "model-not-found")
    assert "whole" not in [model["name"] for model in service.get("/models", params={"limit": 100}).json()["data"]]
    (job,) = trained(service, "whole", 1, **OWN)
    assert job["version"] == version_of(service, "whole") == 3


@pytest.mark.slow
def test_another_service_on_the_same_data_drops_a_deleted_version_at_once(tmp_path: Path) -> None:
    with running(tmp_path) as one, running(tmp_path, training_processes=0) as other:
        trained(one, "m", 2, **OWN)
        assert version_of(other, "m") == 2
        assert one.delete("/models/m/versions/2").status_code == 204
        assert version_of(other, "m") == 1
        answer = other.post("/predict", json={"model": "m", "version": 2, "points": [[0.0]]})
        assert_problem(answer, 404, "version-not-found")
        assert one.delete("/models/m").status_code == 204
        assert_problem(other.get("/models/m"), 404, "model-not-found")
    with running(tmp_path) as again:
        assert again.get("/models").json()["data"] == []
        (job,) = trained(again, "m", 1, **OWN)
        assert job["version"] == 3
