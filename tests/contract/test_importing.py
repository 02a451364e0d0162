"""Checkpoints from elsewhere become versions, which are served like any other."""

import gzip
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from torch import nn

from tests.contract.problems import assert_problem
from tests.models.imports.files import points, small, stack, torch_probabilities
from tests.serving import running

CASES = Path(__file__).parents[1] / "models" / "imports" / "cases"
OCTETS = {"Content-Type": "application/octet-stream"}

pytestmark = pytest.mark.processes


def content(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def send(client: httpx.Client, model: str, body: bytes, **query: Any) -> httpx.Response:
    return client.post(f"/models/{model}/versions", content=body, params=query, headers=OCTETS)


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    return small()


@pytest.fixture(scope="module")
def imported(service: httpx.Client, network: nn.Sequential) -> dict[str, Any]:
    """The response to an import with names and classes."""
    body = content({"state_dict": network.half().float().state_dict(), "epoch": 3})
    query = {"activation": "tanh", "classes": "red,blue", "feature_names": "length,width"}
    response = send(service, "imported", body, **query)
    assert response.status_code == 201, response.text
    version = response.json()
    assert response.headers["location"] == version["links"]["self"] == "/models/imported/versions/1"
    return version


def test_an_imported_version_says_what_was_understood_and_what_is_unknown(
    service: httpx.Client, imported: dict[str, Any]
) -> None:
    assert service.get("/models/imported/versions/1").json() == imported
    assert (imported["status"], imported["job_id"], imported["metrics"]) == ("served", None, None)
    assert "job" not in imported["links"]
    card = imported["card"]
    assert card["network"] | {"hidden": [4], "activation": "tanh", "kind": "sequential"} == card["network"]
    assert (card["classes"], card["feature_names"]) == (["red", "blue"], ["length", "width"])
    unknown = ("training", "data", "data_digest", "data_summary", "recipe_digest", "stop_reason", "epochs_run")
    assert all(card[name] is None for name in (*unknown, "metrics", "evaluation", "search", "implementation"))
    assert card["restart_results"] == []
    assert card["imported"]["format"] == "torch"
    assert card["imported"]["understood"][0] == "The weights are those of the entry 'state_dict'. Left out: 'epoch'."
    (warning,) = card["warnings"]
    assert "pictures show -2 to 2" in warning


def test_an_imported_version_answers_as_torch_does(
    service: httpx.Client, imported: dict[str, Any], network: nn.Sequential
) -> None:
    xy_ND = points()
    body = {"model": "imported", "points": xy_ND.tolist()}
    answer = service.post("/predict", json=body).json()
    assert answer["version"] == 1
    np.testing.assert_allclose(answer["probabilities"], torch_probabilities(network, xy_ND), atol=2e-6)
    named = [{"width": float(y), "length": float(x)} for x, y in xy_ND]
    assert service.post("/predict", json=body | {"points": named}).json() == answer


@pytest.mark.usefixtures("imported")
def test_an_imported_version_has_grids_pictures_lines_and_nearest_points(service: httpx.Client) -> None:
    grid = service.get("/boundary-grid", params={"model": "imported", "resolution": 20}).json()
    assert grid["window"] == {"x_min": -2.5, "x_max": 2.5, "y_min": -2.5, "y_max": 2.5}
    for query in (
        {"format": "png", "overlay": "points,line"},
        {"format": "svg"},
        {"format": "geojson"},
        {"format": "png", "adaptive": "true"},
    ):
        response = service.get("/boundary-grid", params={"model": "imported", "resolution": 20} | query)
        assert response.status_code == 200, response.text
    body = {"model": "imported", "points": [[0.5, 0.2]], "outputs": ["nearest"]}
    assert service.post("/predict", json=body).status_code == 200


@pytest.mark.usefixtures("imported")
def test_an_imported_version_is_listed_and_its_state_dict_can_be_downloaded(
    service: httpx.Client, network: nn.Sequential
) -> None:
    (summary,) = service.get("/models/imported/versions").json()["data"]
    assert (summary["version"], summary["metrics"]) == (1, None)
    file = service.get("/models/imported/versions/1/checkpoint").content
    state = torch.load(io.BytesIO(file), weights_only=True)
    for key, value in network.state_dict().items():
        assert torch.equal(state[key], value)
    again = send(service, "round-trip", file, activation="tanh").json()
    assert (
        again["card"]["files"]["network.safetensors"]
        == (service.get("/models/imported/versions/1").json()["card"]["files"]["network.safetensors"])
    )


def test_the_same_file_may_be_imported_again_as_the_next_version(service: httpx.Client) -> None:
    body = (CASES / "two_logits.pth").read_bytes()
    first, second = (send(service, "twice", body, activation="tanh").json() for _ in range(2))
    assert (first["version"], second["version"]) == (1, 2)
    assert first["card"]["imported"]["digest"] == second["card"]["imported"]["digest"]
    assert service.post("/predict", json={"model": "twice", "points": [[0, 0]]}).json()["version"] == 2


def test_a_version_is_served_as_soon_as_its_import_is_answered(service: httpx.Client) -> None:
    for number in range(1, 4):
        body = content(small(seed=number).state_dict())
        assert send(service, "prompt", body, activation="tanh").json()["version"] == number
        answer = service.post("/predict", json={"model": "prompt", "points": [[0.5, 0.5]]}).json()
        assert answer["version"] == number
        expected = torch_probabilities(small(seed=number), np.array([[0.5, 0.5]], np.float32))
        np.testing.assert_allclose(answer["probabilities"], expected, atol=2e-6)


def test_the_scale_and_the_range_of_the_data_are_parameters(service: httpx.Client) -> None:
    network = stack(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    query = {"offset": "100,-5", "divisor": "10,0.5", "data_min": "70,-6", "data_max": "130,-4", "activation": "relu"}
    version = send(service, "scaled", content(network.state_dict()), **query).json()
    assert version["card"]["data_summary"] == {"min": [70, -6], "max": [130, -4], "median": None}
    assert version["card"]["warnings"] == []
    data_ND = points() * [10, 0.5] + [100, -5]
    answer = service.post("/predict", json={"model": "scaled", "points": data_ND.tolist()}).json()
    np.testing.assert_allclose(answer["probabilities"], torch_probabilities(network, points()), atol=2e-6)
    window = service.get("/boundary-grid", params={"model": "scaled", "resolution": 20}).json()["window"]
    assert (window["x_min"], window["x_max"]) == (62.5, 137.5)


def test_a_compressed_body_is_unpacked(service: httpx.Client) -> None:
    body = gzip.compress((CASES / "whole_module.pth").read_bytes())
    response = service.post("/models/packed/versions", content=body, headers=OCTETS | {"Content-Encoding": "gzip"})
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "activation"),
        ({"activation": "sine"}, "activation"),
        ({"activation": "tanh", "classes": "a,b,c"}, "classes"),
        ({"activation": "tanh", "offset": "1,x"}, "offset"),
        ({"activation": "tanh", "divisor": "1,0"}, "divisor"),
        ({"activation": "tanh", "kind": "logistic"}, "kind"),
        ({"activation": "tanh", "entry": "ema"}, "entry"),
        ({"activation": "tanh", "activations": "tanh"}, "activations"),
    ],
)
def test_a_missing_or_wrong_parameter_is_named(service: httpx.Client, query: dict[str, Any], field: str) -> None:
    response = send(service, "refused", (CASES / "half.pth").read_bytes(), **query)
    assert_problem(response, 422, "invalid-input", field=field, place="query")


@pytest.mark.parametrize("body", [b"", b"<!doctype html>", content({"epoch": 3}), content(small().state_dict())[:-9]])
def test_a_body_that_is_not_a_checkpoint_is_refused_and_leaves_nothing(
    service: httpx.Client, data_dir: Path, body: bytes
) -> None:
    before = {*data_dir.glob("checkpoints/*")}
    assert_problem(send(service, "refused", body), 422, "invalid-input", field="body")
    assert {*data_dir.glob("checkpoints/*")} == before
    assert_problem(service.get("/models/refused"), 404, "model-not-found")


def test_a_name_that_is_not_allowed_is_refused(service: httpx.Client) -> None:
    assert_problem(send(service, "Wrong!", b"x"), 422, "invalid-input", field="name", place="path")


@pytest.mark.parametrize("media_type", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""])
def test_a_form_is_not_accepted_as_a_file(service: httpx.Client, media_type: str) -> None:
    response = service.post("/models/form/versions", content=b"x", headers={"Content-Type": media_type})
    assert_problem(response, 415, "unsupported-media-type")
    assert "application/octet-stream" in response.json()["detail"]


@pytest.mark.slow
def test_the_size_of_a_file_is_bounded_and_imports_survive_a_restart(tmp_path: Path) -> None:
    body = (CASES / "whole_module.pth").read_bytes()
    with running(tmp_path, max_checkpoint_bytes=len(body)) as client:
        assert_problem(send(client, "kept", body + b"\0"), 413, "body-too-large")
        assert send(client, "kept", body).status_code == 201
        before = client.post("/predict", json={"model": "kept", "points": [[0.5, 0.5]]}).json()
    with running(tmp_path) as client:
        assert client.post("/predict", json={"model": "kept", "points": [[0.5, 0.5]]}).json() == before
