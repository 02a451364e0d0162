"""Ensembles: versions with several networks, which answer with the mean of their probabilities, and their spread."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from tests.contract.problems import assert_problem
from tests.serving import train

POINTS = np.random.default_rng(0).normal(0, 2, (6, 2)).round(2).tolist()
TRAINING = {"epochs": 40, "seed": 5}
HIDDEN = {"hidden": [3]}


@pytest.fixture(scope="module")
def ensemble(service: httpx.Client) -> dict[str, Any]:
    """The job of an ensemble of three networks for two classes."""
    job = train(service, "three", network=HIDDEN, training=TRAINING | {"ensemble": 3})
    assert job["status"] == "succeeded"
    return job


@pytest.fixture(scope="module")
def members(service: httpx.Client) -> Any:
    """The probabilities of the same three networks, trained one by one, (M, N, K)."""
    found = []
    for i in range(3):
        train(service, f"one-{i}", network=HIDDEN, training=TRAINING | {"seed": 5 + i})
        found.append(predict(service, f"one-{i}")["probabilities"])
    return np.array(found)


def predict(client: httpx.Client, model: str, **options: Any) -> Any:
    answer = client.post("/predict", json={"model": model, "points": POINTS, **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def grid(client: httpx.Client, **query: Any) -> httpx.Response:
    answer = client.get("/boundary-grid", params={"model": "three", "resolution": 20, **query})
    assert answer.status_code == 200, answer.text
    return answer


def test_predictions_are_the_mean_of_the_networks_of_each_seed(
    service: httpx.Client, ensemble: dict[str, Any], members: Any
) -> None:
    outputs = ["labels", "probabilities", "logits", "margins", "spread"]
    shown = predict(service, "three", outputs=outputs)
    mean_NK = members.mean(axis=0)
    np.testing.assert_allclose(shown["probabilities"], mean_NK, rtol=1e-4)
    np.testing.assert_allclose(shown["spread"], members.std(axis=0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(np.ravel(shown["logits"]), np.log(mean_NK[:, 1] / mean_NK[:, 0]), rtol=1e-3, atol=1e-5)
    assert shown["labels"] == [shown["classes"][k] for k in mean_NK.argmax(axis=1)]
    np.testing.assert_allclose(predict(service, "three")["probabilities"], mean_NK, rtol=1e-4)


def test_the_job_and_the_card_report_every_network_and_the_ensemble(
    service: httpx.Client, ensemble: dict[str, Any]
) -> None:
    assert [one["seed"] for one in ensemble["restart_results"]] == [5, 6, 7]
    assert ensemble["progress"] == {"epoch": 120, "epochs": 120, "fraction": 1.0}
    card = service.get(ensemble["links"]["version"]).json()["card"]
    assert (card["training"]["ensemble"], card["epochs_run"], card["stop_reason"]) == (3, 40, "completed")
    page = service.get("/datasets/flower/points", params={"limit": 1000}).json()
    answer = service.post("/predict", json={"model": "three", "points": page["points"]}).json()
    own = [
        prob_K[answer["classes"].index(label)]
        for prob_K, label in zip(answer["probabilities"], page["labels"], strict=True)
    ]
    assert ensemble["metrics"]["training_loss"] == pytest.approx(-np.log(own).mean(), rel=1e-4)
    assert card["evaluation"]["training"]["log_loss"] == ensemble["metrics"]["training_loss"]
    assert ensemble["metrics"]["training_loss"] < max(
        one["metrics"]["training_loss"] for one in ensemble["restart_results"]
    )


@pytest.mark.slow
def test_a_plain_torch_script_loads_the_checkpoint_and_gives_the_same_answers(
    service: httpx.Client, ensemble: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "three.pth").write_bytes(service.get(ensemble["links"]["version"] + "/checkpoint").content)
    script = f"""
import torch
state = torch.load("three.pth", weights_only=True)
members = []
for i in range(3):
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    prefix = f"members.{{i}}."
    net.load_state_dict({{k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}})
    members.append(net)
points = torch.tensor({POINTS})
print(torch.stack([net(points).sigmoid() for net in members]).mean(0).ravel().tolist())
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    expected = [second for _, second in predict(service, "three")["probabilities"]]
    np.testing.assert_allclose(eval(done.stdout), expected, rtol=1e-4)


@pytest.mark.slow
def test_a_state_dict_of_an_ensemble_is_imported_as_the_same_ensemble(
    service: httpx.Client, ensemble: dict[str, Any]
) -> None:
    content = service.get(ensemble["links"]["version"] + "/checkpoint").content
    headers = {"Content-Type": "application/octet-stream"}
    query = {"activation": "tanh", "classes": "red,blue"}
    imported = service.post("/models/three-again/versions", params=query, content=content, headers=headers)
    assert imported.status_code == 201, imported.text
    card = imported.json()["card"]
    assert card["n_networks"] == service.get(ensemble["links"]["version"]).json()["card"]["n_networks"] == 3
    assert "It is an ensemble of 3 networks, whose probabilities are averaged." in card["imported"]["understood"]
    outputs = ["labels", "probabilities", "spread"]
    again, first = (predict(service, model, outputs=outputs) for model in ("three-again", "three"))
    assert {name: again[name] for name in outputs} == {name: first[name] for name in outputs}


def test_the_layers_of_each_network_are_shown(service: httpx.Client, ensemble: dict[str, Any]) -> None:
    path = ensemble["links"]["version"]
    state = torch.load(io.BytesIO(service.get(f"{path}/checkpoint").content), weights_only=True)
    shown = [service.get(f"{path}/layers", params={"member": member}).json() for member in range(3)]
    assert service.get(f"{path}/layers").json() == shown[0]
    arrays = {}
    for member, network in enumerate(shown):
        assert (network["n_networks"], network["member"], network["n_parameters"]) == (3, member, 13)
        assert network["text"].startswith("Sequential(\n")
        for layer in network["layers"]:
            one = service.get(f"{path}/layers/{layer['name']}", params={"member": member})
            assert one.json() == layer
            arrays |= {array["key"]: array["values"] for array in (layer["weight"], layer["bias"]) if array}
    assert arrays.keys() == state.keys()
    for key, values in arrays.items():
        np.testing.assert_array_equal(np.array(values, np.float32), state[key].numpy())
    assert len({service.get(f"{path}/layers", params={"member": member}).headers["etag"] for member in range(3)}) == 3


@pytest.mark.parametrize("layers", ["layers", "layers/0"])
def test_layers_of_a_network_that_the_version_does_not_have_are_refused(
    service: httpx.Client, ensemble: dict[str, Any], layers: str
) -> None:
    for member in (3, 16, -1, "first"):
        answer = service.get(f"{ensemble['links']['version']}/{layers}", params={"member": member})
        assert_problem(answer, 422, "invalid-input", field="member", place="query")
    answer = service.get(f"{ensemble['links']['version']}/{layers}", params={"member": 3})
    assert "must be less than 3, the number of networks of this version" in answer.json()["detail"]


def test_every_format_of_predictions_has_the_spread(service: httpx.Client, ensemble: dict[str, Any]) -> None:
    expected = np.array(predict(service, "three", outputs=["spread"])["spread"])
    body = {"model": "three", "points": POINTS, "outputs": ["spread"]}

    def content(media_type: str) -> bytes:
        answer = service.post("/predict", json=body, headers={"Accept": media_type})
        assert answer.status_code == 200, answer.text
        return answer.content

    np.testing.assert_allclose(np.load(io.BytesIO(content("application/x-npy"))), expected)
    table = pa.ipc.open_stream(content("application/vnd.apache.arrow.stream")).read_all()
    np.testing.assert_allclose(table["spread"].to_pylist(), expected)
    lines = content("text/csv").decode().splitlines()
    classes = predict(service, "three")["classes"]
    assert lines[0].split(",")[-2:] == [f"spread({name})" for name in classes]
    np.testing.assert_allclose([[float(cell) for cell in line.split(",")[-2:]] for line in lines[1:]], expected)


def test_every_format_of_grids_shows_the_spread(service: httpx.Client, ensemble: dict[str, Any]) -> None:
    shown = grid(service, response="spread").json()
    values = np.array(shown["values"])
    assert (shown["response"], shown["class"]) == ("spread", shown["classes"][1])
    assert 0 <= values.min() < values.max() <= 0.5
    x, y = np.meshgrid(shown["x"], shown["y"])
    points = np.column_stack([x.ravel(), y.ravel()]).tolist()
    answer = service.post("/predict", json={"model": "three", "points": points, "outputs": ["spread"]}).json()
    np.testing.assert_allclose(values.ravel(), np.array(answer["spread"])[:, 1], atol=1e-6)
    array = np.load(io.BytesIO(grid(service, response="spread", format="npy").content))
    np.testing.assert_allclose(array, values, atol=1e-7)
    last = grid(service, response="spread", format="csv").text.splitlines()[-1]
    assert float(last.split(",")[2]) == pytest.approx(values[-1, -1])
    picture = grid(service, response="spread", format="png", overlay="points,line")
    assert picture.headers["separatrix-range"] == "0.0,0.5"
    plain = Image.open(io.BytesIO(grid(service, response="spread", format="png").content)).convert("L")
    most = np.unravel_index(values.argmax(), values.shape)
    least = np.unravel_index(values.argmin(), values.shape)
    dark, light = (plain.getpixel((int(at[1]), 19 - int(at[0]))) for at in (most, least))
    assert dark < light  # type: ignore[operator]


@pytest.mark.parametrize(
    "query", [{}, {"response": "label"}, {"response": "entropy"}, {"format": "geojson"}, {"format": "svg"}]
)
def test_the_other_grids_are_those_of_the_mean_probability(
    service: httpx.Client, ensemble: dict[str, Any], query: dict[str, Any]
) -> None:
    assert grid(service, **query).content


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"response": "activation", "layer": 0, "unit": 0}, "response"),
        ({"response": "activation", "layer": 0, "format": "npy"}, "response"),
        ({"response": "embedding", "layer": 0}, "response"),
        ({"response": "label", "adaptive": "true"}, "adaptive"),
    ],
)
def test_what_only_a_single_network_has_is_refused(
    service: httpx.Client, ensemble: dict[str, Any], query: dict[str, Any], field: str
) -> None:
    answer = service.get("/boundary-grid", params={"model": "three", "resolution": 20, **query})
    assert_problem(answer, 422, "invalid-input", field=field, place="query")
    assert "needs a single network, but this version is an ensemble of 3 networks" in answer.json()["detail"]


def test_nearest_changes_of_an_ensemble_and_the_spread_of_one_network_are_refused(
    service: httpx.Client, ensemble: dict[str, Any], members: Any
) -> None:
    body = {"model": "three", "points": POINTS, "outputs": ["nearest"]}
    answer = service.post("/predict", json=body)
    assert_problem(answer, 422, "invalid-input", field="outputs")
    assert "nearest needs a single network" in answer.json()["detail"]
    answer = service.post("/predict", json=body | {"model": "one-0", "outputs": ["spread"]})
    assert_problem(answer, 422, "invalid-input", field="outputs")
    assert "spread needs an ensemble" in answer.json()["detail"]
    answer = service.get("/boundary-grid", params={"model": "one-0", "response": "spread"})
    assert_problem(answer, 422, "invalid-input", field="response", place="query")


def test_more_classes_need_a_class_for_the_spread(service: httpx.Client) -> None:
    data = {"dataset": "gaussians", "n_classes": 3, "n": 60}
    job = train(service, "classes", data=data, training={"epochs": 20, "ensemble": 2, "validation_fraction": 0.2})
    assert job["metrics"]["validation_loss"] is not None
    assert np.shape(predict(service, "classes", outputs=["spread"])["spread"]) == (6, 3)
    query = {"model": "classes", "response": "spread", "resolution": 9}
    assert_problem(service.get("/boundary-grid", params=query), 422, "invalid-input", field="class", place="query")
    assert service.get("/boundary-grid", params=query | {"class": "2"}).json()["class"] == 2
    curve = service.get("/boundary-grid", params=query | {"class": "2", "axes": "1"}).json()
    assert curve["shape"] == [9]


@pytest.mark.slow
def test_chosen_settings_are_trained_with_every_seed(service: httpx.Client) -> None:
    page = service.get("/datasets/moons/points", params={"n": 60, "limit": 60}).json()
    data = {"points": page["points"], "labels": page["labels"]}
    job = train(service, "chosen", data=data, preset="auto", training={"ensemble": 2})
    assert (job["status"], job["training"]["ensemble"], len(job["restart_results"])) == ("succeeded", 2, 2)
    card = service.get(job["links"]["version"]).json()["card"]
    assert len(card["search"]["candidates"]) > 1


@pytest.mark.slow
def test_a_training_from_an_ensemble_goes_on_with_each_network(service: httpx.Client, ensemble: dict[str, Any]) -> None:
    whole = train(service, "whole", network=HIDDEN, training=TRAINING | {"epochs": 50, "ensemble": 3})
    second = train(service, "second", training={"epochs": 10, "from": {"model": "three"}})
    assert second["training"]["ensemble"] == 3
    weights = [service.get(job["links"]["version"]).json()["card"]["files"] for job in (whole, second)]
    assert weights[0]["network.safetensors"] == weights[1]["network.safetensors"]
    body = {"points": POINTS[:1], "labels": predict(service, "three")["labels"][:1], "training": {"epochs": 1}}
    corrected = service.post("/models/three/corrections", json=body, headers={"Prefer": "wait=50"}).json()
    assert corrected["comparison"]["corrections"]["count"] == 1
    refused = {"model": "m", "data": {"dataset": "flower"}, "training": {"from": {"model": "one-0"}, "ensemble": 2}}
    train(service, "one-0", network=HIDDEN, training=TRAINING)
    assert_problem(service.post("/train", json=refused), 422, "invalid-input", field="training.ensemble")


@pytest.mark.parametrize("training", [{"ensemble": 17}, {"ensemble": 0}, {"ensemble": 2, "restarts": 2}])
def test_bad_ensembles_are_refused(service: httpx.Client, training: dict[str, Any]) -> None:
    answer = service.post("/train", json={"model": "m", "data": {"dataset": "flower"}, "training": training})
    assert_problem(answer, 422, "invalid-input", field="training.ensemble")


def test_an_ensemble_with_a_network_that_diverges_fails(service: httpx.Client) -> None:
    wild = {"epochs": 500, "learning_rate": 1000.0, "ensemble": 2}
    job = train(service, "wild", network={"hidden": [4, 4], "activation": "identity"}, training=wild)
    assert (job["status"], job["problem"]["code"]) == ("failed", "diverged")
    assert service.get(job["links"]["checkpoint"]).status_code == 200
