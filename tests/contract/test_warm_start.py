"""Trainings that begin at the weights of a version: `training.from`."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.job_requests import act, cancelled, endless
from tests.contract.problems import assert_problem
from tests.serving import ended, running, train

DATA = {"points": [[0, 10], [1, 30], [2, 50], [3, 20], [4, 90], [5, 40]], "labels": list("aababb")}
NETWORK = {"kind": "two_layer", "hidden": [3], "scale": "none"}


@pytest.fixture(scope="module")
def first(service: httpx.Client) -> dict[str, Any]:
    """The job of the version to start from."""
    job = train(service, "first", network={"hidden": [3]}, training={"epochs": 10, "learning_rate": 0.5})
    assert job["status"] == "succeeded"
    return job


def card_of(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    card: dict[str, Any] = client.get(job["links"]["version"]).json()["card"]
    return card


def weights_of(client: httpx.Client, job: dict[str, Any]) -> str:
    """The digest of the weights that a job has published."""
    digest: str = card_of(client, job)["files"]["network.safetensors"]
    return digest


@pytest.mark.slow
def test_a_training_from_a_version_goes_on_where_that_stopped(service: httpx.Client, first: dict[str, Any]) -> None:
    whole = train(service, "whole", network={"hidden": [3]}, training={"epochs": 25, "learning_rate": 0.5})
    second = train(service, "second", training={"epochs": 15, "from": {"model": "first", "version": 1}})
    assert second["status"] == "succeeded"
    assert weights_of(service, second) == weights_of(service, whole)
    assert second["metrics"] == whole["metrics"]
    assert (second["preset"], second["network"]["hidden"], second["training"]["learning_rate"]) == ("version", [3], 0.5)


@pytest.mark.slow
def test_jobs_and_cards_say_where_a_training_began(service: httpx.Client, first: dict[str, Any]) -> None:
    second = train(service, "told", training={"epochs": 1, "from": {"model": "first"}})
    expected = {"model": "first", "version": 1, "digest": weights_of(service, first), "corrections": None}
    assert second["started_from"] == card_of(service, second)["started_from"] == expected
    assert first["started_from"] is None
    assert card_of(service, first)["started_from"] is None
    assert second["recipe_digest"] == card_of(service, second)["recipe_digest"] != first["recipe_digest"]
    again = train(service, "told", training={"epochs": 1, "from": {"model": "first"}})
    assert again["recipe_digest"] == second["recipe_digest"]
    assert weights_of(service, again) == weights_of(service, second)
    third = train(service, "told", training={"epochs": 1, "from": {"model": "told"}})
    assert third["started_from"]["version"] == 2
    assert third["recipe_digest"] != second["recipe_digest"]


def test_settings_that_are_not_given_are_those_of_the_version_or_of_the_tutorial(service: httpx.Client) -> None:
    settings = {"epochs": 7, "optimizer": "adam", "learning_rate": 0.02, "batch_size": 30, "weight_decay": 0.01}
    given = settings | {"seed": 3, "restarts": 2, "validation_fraction": 0.2, "class_weight": "balanced"}
    train(service, "own", network=NETWORK, training=given)
    start = {"from": {"model": "own"}}
    body = {"model": "m", "data": {"dataset": "flower"}, "training": start}
    dry = {"validate_only": "true"}
    kept = service.post("/train", json=body, params=dry).json()
    assert kept["training"] == kept["training"] | settings | {"seed": 3, "class_weight": "balanced"}
    assert (kept["training"]["restarts"], kept["training"]["validation_fraction"]) == (1, 0)
    assert kept["network"] == NETWORK | {"activation": "tanh", "inputs": None, "feature_weights": None}
    other = service.post("/train", json=body | {"training": start | {"optimizer": "lbfgs"}}, params=dry).json()
    assert (other["training"]["epochs"], other["training"]["weight_decay"]) == (500, 0.01)
    tutorial = service.post("/train", json=body | {"preset": "tutorial"}, params=dry).json()
    assert tutorial["training"]["epochs"] == 10_000
    assert tutorial["network"] == kept["network"]


@pytest.mark.slow
def test_the_calibration_of_a_version_is_kept(service: httpx.Client) -> None:
    labels = [str(label) for label in DATA["labels"]]
    auto = train(service, "calibrated", data={"points": DATA["points"] * 5, "labels": labels * 5}, training={})
    assert auto["preset"] == "auto"
    assert auto["training"]["temperature"] != 1
    body = {"data": {"points": DATA["points"] * 5, "labels": labels * 5}}
    again = train(service, "again", **body, training={"from": {"model": "calibrated"}})
    assert again["training"]["temperature"] == auto["training"]["temperature"]
    # L-BFGS had converged, so that it stays where it is, and so do the probabilities
    assert again["metrics"]["training_loss"] == pytest.approx(auto["metrics"]["training_loss"], abs=1e-3)


@pytest.mark.slow
def test_a_warm_start_keeps_the_feature_weights_of_the_version_unless_others_are_given(service: httpx.Client) -> None:
    train(service, "weighted", data=DATA, network={"hidden": [3], "feature_weights": [2, 0.5]}, training={"epochs": 3})
    body = {"data": DATA, "training": {"epochs": 3, "from": {"model": "weighted"}}}
    kept, other = (train(service, "from-it", **body, network=one) for one in ({}, {"feature_weights": [1, 3]}))
    assert [job["network"]["feature_weights"] for job in (kept, other)] == [[2, 0.5], [1, 3]]
    assert weights_of(service, kept) != weights_of(service, other)
    for job in (kept, other):
        assert job["comparison"]["training"]["before"] == kept["comparison"]["training"]["before"]


@pytest.mark.slow
def test_an_accepted_job_survives_the_files_of_the_version_and_a_retry(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        train(client, "first", network={"hidden": [3]}, training={"epochs": 3})
        with endless(client):
            body = {
                "model": "second",
                "data": {"dataset": "flower"},
                "training": {"epochs": 2, "from": {"model": "first"}},
            }
            job = client.post("/train", json=body).json()
            for file in (tmp_path / "checkpoints").glob("*/network.safetensors"):
                file.unlink()
            cancelled(client, job)
        retried = act(client, job, "retry").json()
        assert client.delete(job["links"]["self"]).status_code == 204
        done = ended(client, retried["links"]["self"])
        assert (done["status"], done["retry_of"]) == ("succeeded", job["id"])
        assert done["started_from"] == job["started_from"]
        assert len(list((tmp_path / "starts").iterdir())) == 1
        refused = client.post("/train", json=body)
        assert_problem(refused, 503, "version-broken")
        starts = list((tmp_path / "starts").iterdir())
        assert len(starts) == 1


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"network": {"hidden": [4]}}, "network.hidden", "as in the version in training.from: 3"),
        ({"network": {"kind": "module"}}, "network.kind", "sequential"),
        ({"network": {"activation": "relu"}}, "network.activation", "tanh"),
        ({"network": {"inputs": ["x"]}}, "network.inputs", "none"),
        ({"preset": "auto"}, "preset", "must be version or tutorial"),
        ({"training": {"restarts": 2}}, "training.restarts", "must be 1 with training.from"),
        ({"training": {"validation_folds": 2}}, "training.validation_folds", "must be left out with training.from"),
        ({"data": {"points": [[0], [1]], "labels": [0, 1]}}, "training.from", "the version has 2, the data have 1"),
        (
            {"data": {"points": [[0, 1], [1, 2]], "labels": [7, 8]}},
            "training.from",
            "the version has 'red', 'blue', the data have 7, 8",
        ),
        ({"training": {"from": {}}}, "training.from.model", "is required"),
        ({"training": {"from": {"model": "first", "version": 1, "alias": "best"}}}, "training.from.alias", "one of"),
        ({"training": {"from": {"model": "first", "version": 0}}}, "training.from.version", "1"),
        ({"training": {"from": {"model": "first", "epoch": 1}}}, "training.from.epoch", "unknown"),
    ],
)
def test_what_does_not_fit_the_version_is_refused(
    service: httpx.Client, first: dict[str, Any], change: dict[str, Any], field: str, told: str
) -> None:
    body = {"model": "m", "data": {"dataset": "flower"}, **change}
    body["training"] = {"from": {"model": "first"}} | body.get("training", {})
    answer = service.post("/train", json=body)
    assert_problem(answer, 422, "invalid-input", field=field)
    assert told in answer.json()["detail"]


def test_the_preset_version_needs_a_version(service: httpx.Client) -> None:
    answer = service.post("/train", json={"model": "m", "data": {"dataset": "flower"}, "preset": "version"})
    assert_problem(answer, 422, "invalid-input", field="preset")


def test_names_of_features_must_be_those_of_the_version(service: httpx.Client) -> None:
    train(service, "named", data=DATA | {"feature_names": ["u", "v"]}, network=NETWORK)
    body = {"model": "m", "training": {"epochs": 1, "from": {"model": "named"}}}
    answer = service.post("/train", json=body | {"data": DATA | {"feature_names": ["v", "u"]}})
    assert_problem(answer, 422, "invalid-input", field="training.from")
    assert "in the order of the data, 'v', 'u', but has the order 'u', 'v'" in answer.json()["detail"]
    answer = service.post("/train", json=body | {"data": DATA | {"feature_names": ["u", "w"]}})
    assert "the data must have 'v', and must not have 'w': the features are 'u', 'v'" in answer.json()["detail"]
    assert service.post("/train", json=body | {"data": DATA}).is_success


def test_the_error_for_a_version_without_hidden_layers_says_none(service: httpx.Client) -> None:
    train(service, "flat", network={"kind": "sequential", "hidden": []})
    body = {"model": "m", "data": {"dataset": "flower"}, "network": {"hidden": [4]}}
    answer = service.post("/train", json=body | {"training": {"from": {"model": "flat"}}})
    assert_problem(answer, 422, "invalid-input", field="network.hidden")
    assert answer.json()["detail"].endswith("as in the version in training.from: none")


@pytest.mark.parametrize(
    ("start", "code"),
    [
        ({"model": "no"}, "model-not-found"),
        ({"model": "first", "version": 99}, "version-not-found"),
        ({"model": "first", "alias": "best"}, "alias-not-found"),
    ],
)
def test_an_unknown_version_is_not_found(
    service: httpx.Client, first: dict[str, Any], start: dict[str, Any], code: str
) -> None:
    answer = service.post("/train", json={"model": "m", "data": {"dataset": "flower"}, "training": {"from": start}})
    assert_problem(answer, 404, code)


def test_an_alias_names_the_version_to_start_from(service: httpx.Client, first: dict[str, Any]) -> None:
    assert service.put("/models/first/aliases/good", json={"version": 1}).is_success
    job = train(service, "by-alias", training={"epochs": 1, "from": {"model": "first", "alias": "good"}})
    assert job["started_from"]["version"] == 1


@pytest.mark.slow
def test_a_training_from_an_imported_version_takes_the_settings_of_the_tutorial(
    service: httpx.Client, first: dict[str, Any]
) -> None:
    content = service.get(first["links"]["version"] + "/checkpoint").content
    query = {"activation": "tanh", "classes": "red,blue"}
    headers = {"Content-Type": "application/octet-stream"}
    imported = service.post("/models/imported/versions", params=query, content=content, headers=headers)
    assert imported.is_success, imported.text
    data = service.get("/datasets/flower/points", params={"limit": 1000}).json()
    body = {"data": {"dataset": "flower"}, "training": {"epochs": 2, "from": {"model": "imported"}}}
    job = train(service, "from-imported", **body)
    assert job["status"] == "succeeded", job
    assert (job["training"]["learning_rate"], job["started_from"]["model"]) == (1.0, "imported")
    corrections = {"points": data["points"][:1], "labels": data["labels"][:1]}
    refused = service.post("/models/imported/corrections", json=corrections)
    assert_problem(refused, 422, "invalid-input", field="version")
    question = {"model": "imported", "points": data["points"][:1], "outputs": ["outside_training_range"]}
    assert_problem(service.post("/predict", json=question), 422, "invalid-input", field="outputs")


@pytest.mark.slow
def test_the_weights_that_a_version_started_from_go_with_it(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        train(client, "first", training={"epochs": 1})
        train(client, "second", training={"epochs": 1, "from": {"model": "first"}})
        assert client.delete("/models/first").is_success
        assert len(list((tmp_path / "starts").iterdir())) == 1
        assert client.get("/models/second/versions/1").json()["card"]["started_from"]["model"] == "first"
        assert client.delete("/models/second").is_success
        assert list((tmp_path / "starts").iterdir()) == []
