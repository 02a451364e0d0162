from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from tests.contract.problems import assert_problem
from tests.serving import running, train


def test_models_are_listed_by_name_in_pages(client: httpx.Client) -> None:
    names: list[str] = []
    page = {"has_more": True, "last_id": None}
    while page["has_more"]:
        after = {"after": page["last_id"]} if page["last_id"] else {}
        page = client.get("/models", params={"limit": 2} | after).json()
        assert page["object"] == "list"
        assert 1 <= len(page["data"]) <= 2
        names += [model["name"] for model in page["data"]]
        assert page["last_id"] == names[-1]
    assert names == sorted(names)
    assert {"line", "plane", "trio"} <= set(names)


def test_a_model_shows_its_newest_version_and_lists_all_of_them_newest_first(client: httpx.Client) -> None:
    for seed in (1, 2, 3):
        train(client, "thrice", training={"epochs": 5, "seed": seed})
    model = client.get("/models/thrice").json()
    assert (model["name"], model["object"], model["version_count"]) == ("thrice", "model", 3)
    assert model["newest_version"] == model["served_version"] == 3
    assert client.post("/predict", json={"model": "thrice", "points": [[0, 0]]}).json()["version"] == 3
    whole = client.get(model["links"]["versions"]).json()
    assert [version["version"] for version in whole["data"]] == [3, 2, 1]
    assert (whole["has_more"], whole["first_id"], whole["last_id"]) == (False, "3", "1")
    first = client.get(model["links"]["versions"], params={"limit": 2}).json()
    rest = client.get(model["links"]["versions"], params={"limit": 2, "after": first["last_id"]}).json()
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert first["data"] + rest["data"] == whole["data"]
    empty = client.get(model["links"]["versions"], params={"after": 1}).json()
    assert (empty["data"], empty["has_more"], empty["last_id"]) == ([], False, None)
    for summary in whole["data"]:
        version = client.get(summary["links"]["self"]).json()
        assert {key: version[key] for key in summary if key != "links"} == {
            key: summary[key] for key in summary if key != "links"
        }
    assert model["latest"] == whole["data"][0]
    assert model["links"]["latest"] == model["latest"]["links"]["self"]
    assert model in client.get("/models", params={"limit": 100}).json()["data"]


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"after": 0}, {"after": "first"}])
def test_an_invalid_request_for_a_page_of_versions_is_refused(client: httpx.Client, query: dict[str, Any]) -> None:
    answer = client.get("/models/plane/versions", params=query)
    assert_problem(answer, 422, "invalid-input", field=next(iter(query)))


def test_a_version_links_to_its_job_until_the_job_is_deleted(client: httpx.Client) -> None:
    job = train(client, "outlives-its-job")
    path = job["links"]["version"]
    before = client.get(path).json()
    assert before["links"]["job"] == job["links"]["self"]
    assert client.delete(job["links"]["self"]).status_code == 204
    after = client.get(path).json()
    assert before["links"].pop("job")
    assert after == before


def test_a_version_describes_its_training(client: httpx.Client) -> None:
    version = client.get("/models/plane/versions/1").json()
    assert (version["model"], version["version"], version["status"], version["reason"]) == ("plane", 1, "served", None)
    card = version["card"]
    assert card["network"] == {
        "kind": "sequential",
        "hidden": [4],
        "activation": "tanh",
        "scale": "none",
        "inputs": None,
        "feature_weights": None,
    }
    assert card["n_features"] == 2
    assert card["classes"] == ["red", "blue"]
    flower = {"type": "generated", "dataset": "flower", "n": 400, "noise": 0.2, "seed": 1, "n_classes": 2}
    assert card["data"] == flower | {"validation": None}
    points = np.array(client.get("/datasets/flower/points").json()["points"])
    for name, statistic in (("min", points.min(0)), ("max", points.max(0)), ("median", np.median(points, 0))):
        np.testing.assert_allclose(card["data_summary"][name], statistic, rtol=1e-6)
    assert card["training"]["epochs"] == 300 == card["epochs_run"]
    assert card["stop_reason"] == "completed"
    (result,) = card["restart_results"]
    assert result == {"seed": 0, "stop_reason": "completed", "epochs_run": 300, "metrics": card["metrics"]}
    assert version["metrics"] == card["metrics"]
    line = client.get("/models/line/versions/1").json()["card"]["data"]
    about = {"type": "points", "n_points": 4, "n_features": 1}
    assert line == about | {"feature_names": None, "categories": None, "validation": None}
    job = client.get(version["links"]["job"]).json()
    assert (job["recipe_digest"], job["data_digest"], job["metrics"]) == (
        card["recipe_digest"],
        card["data_digest"],
        card["metrics"],
    )
    assert client.get(version["links"]["boundary_grid"]).status_code == 200


def test_torch_loads_a_downloaded_checkpoint(client: httpx.Client, tmp_path: Path) -> None:
    answer = client.get("/models/plane/versions/1/checkpoint")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert 'filename="plane-v1.pth"' in answer.headers["content-disposition"]
    ranged = client.get("/models/plane/versions/1/checkpoint", headers={"Range": "bytes=nonsense"})
    assert ranged.content == answer.content
    (tmp_path / "net.pth").write_bytes(answer.content)
    assert list(torch.load(tmp_path / "net.pth", weights_only=True)) == ["0.weight", "0.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/models/nobody", "model-not-found"),
        ("/models/nobody/versions/1", "model-not-found"),
        ("/models/plane/versions/9", "version-not-found"),
        ("/models/plane/versions/9/checkpoint", "version-not-found"),
        ("/no-such-path", "no-such-path"),
        ("/models/plane/versions/1/", "no-such-path"),
    ],
)
def test_an_unknown_path_model_or_version_is_not_found(client: httpx.Client, path: str, code: str) -> None:
    assert_problem(client.get(path), 404, code)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/models/NOBODY", "model-not-found"),
        ("/models/%00", "model-not-found"),
        ("/models/plane%0a", "no-such-path"),
        ("/models/..%2f..%2fetc", "no-such-path"),
        ("/models/plane/versions/0", "version-not-found"),
        ("/models/plane/versions/01", "version-not-found"),
        ("/models/plane/versions/1.0", "version-not-found"),
        ("/models/plane/versions/one/checkpoint", "version-not-found"),
        ("/models/plane/versions/2147483648", "version-not-found"),
        ("/models/plane/versions/99999999999999999999", "version-not-found"),
    ],
)
def test_a_malformed_name_or_number_is_not_found(client: httpx.Client, path: str, code: str) -> None:
    assert_problem(client.get(path), 404, code)


def test_another_method_is_rejected_with_the_allowed_ones(client: httpx.Client) -> None:
    answer = client.put("/predict", json={})
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "OPTIONS, POST"


@pytest.mark.slow
def test_after_a_restart_every_version_is_served_and_damaged_ones_are_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request = {"points": [[0.5, -0.25]]}
    with running(tmp_path) as client:
        for name in ("good", "bad", "half"):
            train(client, name)
        train(client, "half", training={"epochs": 7})
        before = client.post("/predict", json=request | {"model": "good"}).json()
        checkpoint_of = {
            name: client.get(f"/models/{name}").json()["latest"]["links"]["self"] for name in ("bad", "half")
        }
        folders = {name: f"{client.get(link).json()['job_id']}-1" for name, link in checkpoint_of.items()}
    (tmp_path / "checkpoints" / folders["bad"] / "network.pth").write_bytes(b"rot")
    (tmp_path / "checkpoints" / folders["half"] / "card.json").unlink()

    with running(tmp_path) as client:
        ready = {"status": "ready", "models": 3, "broken_versions": 2, "missing": []}
        assert client.get("/health/ready").json() == ready
        assert client.post("/predict", json=request | {"model": "good"}).json() == before
        assert_problem(client.post("/predict", json=request | {"model": "bad"}), 503, "version-broken")
        assert_problem(client.post("/predict", json=request | {"model": "half", "version": 2}), 503, "version-broken")
        assert client.post("/predict", json=request | {"model": "half"}).json()["version"] == 1
        assert_problem(client.get("/models/bad/versions/1/checkpoint"), 503, "version-broken")
        broken = client.get("/models/bad/versions/1").json()
        assert broken["status"] == "broken"
        assert broken["reason"].startswith("network.pth: ")
        assert broken["card"] is None
        bad, half = (client.get(f"/models/{name}").json() for name in ("bad", "half"))
        assert (bad["newest_version"], bad["served_version"], bad["latest"]) == (1, None, None)
        assert set(bad["links"]) == {"self", "versions", "aliases"}
        assert (half["newest_version"], half["served_version"], half["latest"]["version"]) == (2, 1, 1)
        newest, oldest = client.get("/models/half/versions").json()["data"]
        assert (newest["status"], newest["metrics"], oldest["status"]) == ("broken", None, "served")
        assert train(client, "bad")["version"] == 2
        assert client.post("/predict", json=request | {"model": "bad"}).json()["version"] == 2
    messages = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len([message for message in messages if "is broken and will not be served" in message]) == 2


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/models/nobody", "No model is named 'nobody'."),
        ("/models/plane/versions/99", "The model 'plane' has no version 99. Its newest version is "),
        ("/models/plane/aliases/best", "The model 'plane' has no alias 'best'. Its aliases: latest."),
        ("/models/plane/versions/1/layers/9", "The network has no layer '9'."),
        ("/jobs/0123456789abcdef01234567", "No job has the id '0123456789abcdef01234567'."),
    ],
)
def test_a_not_found_error_names_what_the_client_asked_for(client: httpx.Client, path: str, told: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith(told)
