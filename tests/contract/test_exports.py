"""Versions as files, each run by the programs that it is for, against the answers of the service."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch

from models.exports.formats import FORMATS, ExportFormat
from service.api.models.network_document import EnsembleDocument, NetworkDocument
from tests.contract.problems import assert_problem
from tests.serving import train

PLANE = "/models/plane/versions/1/checkpoint"
START = 1_700_000_000
"""A Unix time: near it, float32 numbers are 128 seconds apart."""


@pytest.fixture(scope="module")
def models(client: httpx.Client) -> dict[str, np.ndarray]:
    """Points of each model, in its units."""
    rng = np.random.default_rng(1)
    time_N, value_N = rng.uniform(START, START + 60, 60), rng.uniform(-1, 1, 60)
    labels = ["late" if late else "early" for late in (time_N - START) / 30 - 1 + value_N > 0]
    data = {"points": np.column_stack([time_N, value_N]).tolist(), "labels": labels, "feature_names": ["time", "value"]}
    curved = {"kind": "residual", "inputs": ["time", "value", "squares"]}
    for name, network, networks in (("clock", {}, 1), ("curved-clock", curved, 1), ("committee", curved, 3)):
        train(client, name, data=data, network=network, training={"epochs": 30, "ensemble": networks})
    of_clock = np.column_stack([rng.uniform(START, START + 60, 300), rng.uniform(-1, 1, 300)])
    of_plane = rng.normal(0, 2, (300, 2))
    return {
        "plane": of_plane,
        "trio": of_plane,
        "line": rng.normal(1, 3, (300, 1)),
        "clock": of_clock,
        "curved-clock": of_clock,
        "committee": of_clock,
    }


MODELS = ("plane", "trio", "line", "clock", "curved-clock", "committee")
"""`committee` is an ensemble of three networks, the others are single ones."""


def export(client: httpx.Client, model: str, format_name: str) -> bytes:
    answer = client.get(f"/models/{model}/versions/1/checkpoint", params={"format": format_name})
    assert answer.status_code == 200, answer.text
    return answer.content


def predict(client: httpx.Client, model: str, points_ND: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """The labels and probabilities that the service answers with, float32."""
    body = {"model": model, "version": 1, "points": points_ND.tolist()}
    answer = client.post("/predict", json=body).json()
    return answer["labels"], np.array(answer["probabilities"], np.float32)


@pytest.mark.parametrize("model", MODELS)
def test_an_onnx_graph_answers_as_predict_does(client: httpx.Client, models: dict[str, np.ndarray], model: str) -> None:
    session = onnxruntime.InferenceSession(export(client, model, "onnx"), providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["labels", "probabilities"], {"points": models[model]})
    expected_labels, expected = predict(client, model, models[model])
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=2e-6)
    assert labels.tolist() == expected_labels


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_python_file_answers_as_predict_does_to_the_bit(
    client: httpx.Client, models: dict[str, np.ndarray], model: str, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_bytes(export(client, model, "py"))
    text = "".join(",".join(map(repr, point)) + "\n" for point in models[model].tolist())
    command = [sys.executable, "-I", "net.py"]
    done = subprocess.run(command, input=text, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines()[1:]]
    labels, probabilities = predict(client, model, models[model])
    assert [row[0] for row in rows] == [str(label) for label in labels]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], np.float32), probabilities)


@pytest.mark.slow
def test_a_pickled_network_answers_as_predict_does(client: httpx.Client, models: dict[str, np.ndarray]) -> None:
    for model in ("plane", "curved-clock", "committee"):
        net = torch.load(io.BytesIO(export(client, model, "module")), weights_only=False)
        points = torch.tensor(models[model], dtype=torch.float32 if model == "plane" else torch.float64)
        found = torch.sigmoid(net(points)).detach().numpy()[:, 0]
        np.testing.assert_allclose(found, predict(client, model, models[model])[1][:, 1], rtol=0, atol=2e-6)
    plane = torch.load(io.BytesIO(export(client, "plane", "module")), weights_only=False)
    state = torch.load(io.BytesIO(export(client, "plane", "pth")), weights_only=True)
    assert torch.equal(plane[0].weight, state["0.weight"])


@pytest.mark.slow
def test_a_program_of_torch_export_answers_as_predict_does(client: httpx.Client, models: dict[str, np.ndarray]) -> None:
    program = torch.export.load(io.BytesIO(export(client, "committee", "torch-export"))).module()
    found = program(torch.tensor(models["committee"])).detach().numpy()
    expected = predict(client, "committee", models["committee"])[1]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_safetensors_and_json_hold_the_weights_of_the_state_dict(client: httpx.Client) -> None:
    state = torch.load(io.BytesIO(export(client, "plane", "pth")), weights_only=True)
    arrays = safetensors.torch.load(export(client, "plane", "safetensors"))
    assert arrays.keys() == state.keys()
    layers = {layer["name"]: layer for layer in json.loads(export(client, "plane", "json"))["layers"]}
    for key, value in state.items():
        name, _, part = key.partition(".")
        assert torch.equal(arrays[key], value)
        assert torch.equal(torch.tensor(layers[name][part]), value)


@pytest.mark.slow
@pytest.mark.parametrize("format_name", ["json", "onnx", "safetensors"])
@pytest.mark.parametrize("model", MODELS)
def test_a_file_that_describes_itself_is_imported_as_the_same_network(
    client: httpx.Client, models: dict[str, np.ndarray], model: str, format_name: str
) -> None:
    content = export(client, model, format_name)
    headers = {"Content-Type": "application/octet-stream"}
    name = f"{model}-from-{format_name}"
    imported = client.post(f"/models/{name}/versions", content=content, headers=headers)
    assert imported.status_code == 201, imported.text
    labels, probabilities = predict(client, name, models[model])
    expected_labels, expected = predict(client, model, models[model])
    assert labels == expected_labels
    np.testing.assert_array_equal(probabilities, expected)
    own, first = (json.loads(export(client, one, "json")) for one in (name, model))
    assert own | {"model": model} == first


@pytest.mark.parametrize("model", MODELS)
def test_a_json_file_has_the_documented_form(client: httpx.Client, models: dict[str, np.ndarray], model: str) -> None:
    content = export(client, model, "json")
    kind = EnsembleDocument if model == "committee" else NetworkDocument
    read = kind.model_validate_json(content, strict=True, extra="forbid")
    document = read.model_dump(mode="json")
    assert document["network"].pop("feature_weights") is None  # a file has it only if features are weighted
    assert document == json.loads(content)
    networks = read.members if isinstance(read, EnsembleDocument) else [read]
    assert len(networks) == read.n_networks == (3 if model == "committee" else 1)
    for network in networks:
        inputs = len(read.transform.terms) if read.transform.terms else read.n_features
        assert np.array(network.layers[0].weight).shape[1] == inputs


QUICK = [one for one in FORMATS if one.name != "torch-export"]  # which takes seconds, on the same route as module


@pytest.mark.parametrize("one", QUICK, ids=[one.name for one in QUICK])
def test_a_file_has_a_name_a_type_and_an_etag(client: httpx.Client, one: ExportFormat) -> None:
    answer = client.get(PLANE, params={"format": one.name})
    assert answer.headers["content-type"].partition(";")[0] == one.media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="plane-v1{one.suffix}"'
    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("no-cache", "Accept")
    tag = answer.headers["etag"]
    again = client.get(PLANE, params={"format": one.name}, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(PLANE, params={"format": one.name}).content == answer.content


def test_accept_chooses_the_format_and_the_query_takes_precedence(client: httpx.Client) -> None:
    def format_of(accept: str, **query: str) -> str:
        name = client.get(PLANE, params=query, headers={"Accept": accept}).headers["content-disposition"]
        return name.partition('filename="plane-v1')[2].rstrip('"')

    assert format_of("*/*") == format_of("application/octet-stream") == format_of("text/html,*/*;q=0.8") == ".pth"
    assert format_of("application/json") == ".json"
    assert format_of("application/x-onnx") == ".onnx"
    assert format_of("text/x-python, application/x-safetensors;q=0.9") == ".py"
    assert format_of("application/json", format="safetensors") == ".safetensors"
    assert_problem(client.get(PLANE, headers={"Accept": "image/png"}), 406, "not-acceptable")


def test_an_unknown_format_is_refused_with_the_known_ones(client: httpx.Client) -> None:
    answer = client.get(PLANE, params={"format": "torchscript"})
    assert_problem(answer, 422, "invalid-input", field="format")
    assert "pth, module, torch-export, safetensors, onnx, json or py" in answer.json()["detail"]


def test_without_the_package_onnx_only_that_format_is_refused(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    answer = client.get(PLANE, params={"format": "onnx"})
    assert_problem(answer, 422, "invalid-input", field="format")
    assert "pip install 'separatrix[onnx]'" in answer.json()["detail"]
    assert client.get(PLANE, params={"format": "json"}).status_code == 200
