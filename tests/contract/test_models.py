from pathlib import Path

import httpx
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


def test_a_model_lists_its_versions_oldest_first(client: httpx.Client) -> None:
    for seed in (1, 2):
        train(client, "twice", training={"epochs": 5, "seed": seed})
    model = client.get("/models/twice").json()
    assert (model["name"], model["object"], model["latest"]) == ("twice", "model", 2)
    assert [version["version"] for version in model["versions"]] == [1, 2]
    assert all(version["status"] == "served" for version in model["versions"])
    assert client.post("/predict", json={"model": "twice", "points": [[0, 0]]}).json()["version"] == 2


def test_a_version_describes_its_training(client: httpx.Client) -> None:
    version = client.get("/models/plane/versions/1").json()
    assert (version["model"], version["version"], version["status"], version["reason"]) == ("plane", 1, "served", None)
    card = version["card"]
    assert card["network"] == {"kind": "sequential", "hidden": [4], "activation": "tanh"}
    assert card["features"] == 2
    assert card["classes"] == ["red", "blue"]
    assert card["data"]["dataset"] == "flower"
    assert card["training"]["epochs"] == 300 == card["epochs"]
    assert card["ending"] == "finished"
    job = client.get(version["links"]["job"]).json()
    assert (job["recipe"], job["data_digest"], job["metrics"]) == (
        card["recipe"],
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
        ("/models/plane%0a", "model-not-found"),
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
    assert answer.headers["allow"] == "POST"


def test_after_a_restart_every_version_is_served_and_damaged_ones_are_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request = {"points": [[0.5, -0.25]]}
    with running(tmp_path) as client:
        for name in ("good", "bad", "half"):
            train(client, name)
        train(client, "half", training={"epochs": 7})
        before = client.post("/predict", json=request | {"model": "good"}).json()
        checkpoint_of = {name: client.get(f"/models/{name}").json()["versions"][-1]["link"] for name in ("bad", "half")}
        folders = {name: f"{client.get(link).json()['job_id']}-1" for name, link in checkpoint_of.items()}
    (tmp_path / "checkpoints" / folders["bad"] / "network.pth").write_bytes(b"rot")
    (tmp_path / "checkpoints" / folders["half"] / "card.json").unlink()

    with running(tmp_path) as client:
        assert client.get("/health/ready").json() == {"status": "ready", "models": 3, "broken_versions": 2}
        assert client.post("/predict", json=request | {"model": "good"}).json() == before
        assert_problem(client.post("/predict", json=request | {"model": "bad"}), 503, "version-broken")
        assert_problem(client.post("/predict", json=request | {"model": "half", "version": 2}), 503, "version-broken")
        assert client.post("/predict", json=request | {"model": "half"}).json()["version"] == 1
        assert_problem(client.get("/models/bad/versions/1/checkpoint"), 503, "version-broken")
        broken = client.get("/models/bad/versions/1").json()
        assert broken["status"] == "broken"
        assert broken["reason"].startswith("network.pth: ")
        assert broken["card"] is None
        assert train(client, "bad")["version"] == 2
        assert client.post("/predict", json=request | {"model": "bad"}).json()["version"] == 2
    messages = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len([message for message in messages if "is broken and will not be served" in message]) == 2
