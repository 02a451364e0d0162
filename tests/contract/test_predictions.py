import json
import socket
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from tests.contract.problems import assert_problem
from tests.serving import train

JSON = {"Content-Type": "application/json"}


def predict(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/predict", json={"model": "plane", "points": [[0.5, -0.25]]} | body)


def test_a_prediction_has_the_label_and_all_class_probabilities_of_each_point(client: httpx.Client) -> None:
    answer = predict(client, points=[[0.5, -0.25], [2, 1], [-3, 0.5]])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"model", "version", "classes", "labels", "probabilities"}
    assert (body["model"], body["version"], body["classes"]) == ("plane", 1, ["red", "blue"])
    probabilities = np.array(body["probabilities"])
    assert probabilities.shape == (3, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
    assert body["labels"] == [body["classes"][k] for k in probabilities.argmax(axis=1)]


def test_probabilities_equal_those_of_the_downloaded_checkpoint_in_torch(client: httpx.Client, tmp_path: Any) -> None:
    (tmp_path / "net.pth").write_bytes(client.get("/models/plane/versions/1/checkpoint").content)
    network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    network.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    points = np.random.default_rng(0).uniform(-5, 5, (500, 2))

    got = np.array(predict(client, points=points.tolist()).json()["probabilities"])

    with torch.no_grad():
        expected = torch.sigmoid(network(torch.from_numpy(points.astype(np.float32))))[:, 0].numpy()
    np.testing.assert_allclose(got[:, 1], expected, atol=1e-6)


def test_integer_labels_stay_integers(client: httpx.Client) -> None:
    body = predict(client, model="line", points=[[-5], [8]]).json()
    assert body["classes"] == [-1, 7]
    assert body["labels"] == [7, -1]


def test_a_model_of_three_classes_returns_three_probabilities(client: httpx.Client) -> None:
    body = predict(client, model="trio", points=[[2, 0]]).json()
    assert len(body["probabilities"][0]) == 3
    assert sum(body["probabilities"][0]) == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_many_points_get_the_same_answers_as_few(client: httpx.Client) -> None:
    points = np.random.default_rng(1).uniform(-5, 5, (50_000, 2)).round(3).tolist()
    many = predict(client, points=points).json()
    few = predict(client, points=points[:10]).json()
    assert len(many["labels"]) == 50_000
    assert many["labels"][:10] == few["labels"]
    np.testing.assert_allclose(many["probabilities"][:10], few["probabilities"], atol=1e-6)


def test_a_request_can_choose_the_version(client: httpx.Client) -> None:
    assert predict(client, version=1).json() == predict(client).json()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"points": []}, "points"),
        ({"points": [[]]}, "points.0"),
        ({"points": [[0.5, -0.25], [1]]}, "points.1"),
        ({"points": [[0.5]]}, "points"),
        ({"points": [[0.5, 1, 2]]}, "points"),
        ({"points": [0.5, 1, 2]}, "points"),
        ({"points": ["0.5", 1]}, "points.0"),
        ({"points": "0.5,1"}, "points"),
        ({"points": None}, "points"),
        ({"points": [["0.5", 1]]}, "points.0.0"),
        ({"points": [[0.5, None]]}, "points.0.1"),
        ({"points": [[0, 0], [0, 1e39]]}, "points.1.1"),
        ({"points": [[0, 10**400]]}, "points.0.1"),
        ({"points": [[0] * 1_001]}, "points.0"),
        ({"points": [[0.5, 1]] * 100_001}, "points"),
        ({"model": "No Such"}, "model"),
        ({"model": 3}, "model"),
        ({"version": 0}, "version"),
        ({"version": "1"}, "version"),
        ({"version": 2**63}, "version"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_invalid_request_is_rejected_with_the_field_and_the_reason(
    client: httpx.Client, change: dict[str, Any], field: str
) -> None:
    answer = predict(client, **change)
    assert_problem(answer, 422, "invalid-input", field=field)
    assert "Input should" not in answer.text, "an error message speaks the language of the API, not of pydantic"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_rejected(client: httpx.Client, number: str) -> None:
    body = f'{{"model": "plane", "points": [[0, {number}]]}}'
    assert_problem(client.post("/predict", content=body, headers=JSON), 422, "invalid-input", field="points.0.1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model": "plane", "points": [[0, 1]]',
        b"\xff\xfe",
        b'{"model": "\xff", "points": [[0, 1]]}',
        b'{"model": "\\ud800", "points": [[0, 1]]}',
        b"[" * 100_000,
        b'{"model": ' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b"}",
        b'{"model": "plane", "points": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
def test_a_body_that_is_not_json_is_rejected(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/predict", content=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    assert_problem(answer, answer.status_code, "malformed-json" if answer.status_code == 400 else "invalid-input")


@pytest.mark.parametrize(
    ("points", "told"), [(b"[" * 500 + b"]" * 500, "200 deep"), (b"[[0, " + b"7" * 5_000 + b"]]", "4,300 digits")]
)
def test_json_beyond_a_limit_of_the_parser_is_refused_with_the_limit(
    client: httpx.Client, points: bytes, told: str
) -> None:
    answer = client.post("/predict", content=b'{"model": "plane", "points": ' + points + b"}", headers=JSON)
    assert_problem(answer, 422, "invalid-input", field="body")
    assert f"more than {told} at line 1, column " in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"null", b"[]", b"3", b'"plane"'])
def test_json_that_is_not_an_object_is_rejected(client: httpx.Client, body: bytes) -> None:
    assert_problem(client.post("/predict", content=body, headers=JSON), 422, "invalid-input", field="body")


def test_model_and_points_are_required(client: httpx.Client) -> None:
    assert_problem(client.post("/predict", json={"points": [[0, 0]]}), 422, "invalid-input", field="model")
    assert_problem(client.post("/predict", json={"model": "plane"}), 422, "invalid-input", field="points")


def test_an_unknown_model_or_version_is_not_found(client: httpx.Client) -> None:
    assert_problem(predict(client, model="nobody"), 404, "model-not-found")
    assert_problem(predict(client, version=2), 404, "version-not-found")


def test_a_long_parameter_name_is_not_repeated_in_the_response(client: httpx.Client) -> None:
    answer = client.post("/predict?" + "very." * 5_000 + "long=1", json={"model": "plane", "points": [[0, 0]]})
    assert_problem(answer, 422, "invalid-input")
    assert len(answer.content) < 1_000


def test_errors_repeat_nothing_that_the_client_sent_except_short_names(client: httpx.Client) -> None:
    answers = [
        predict(client, model="SECRET name"),
        predict(client, points=[["secret"]]),
        client.post("/predict", content=b'{"secret<script>": 1}', headers=JSON),
        client.post("/predict?secret<script>=1", json={"model": "plane", "points": [[0, 0]]}),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert "secret" not in answer.text.lower().replace("secret-script", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "plane", "points": [' + b"[0]," * 300_000 + b"[0]]}",
        b"{" + b",".join(b'"k%d": 0' % i for i in range(150_000)) + b"}",
        b'{"model": "plane", "points": [[' + b"0," * 2_500_000 + b"0]]}",
        b'{"model": "plane", "points": [' + b"{}," * 110_000 + b"{}]}",
        b'{"model": "plane", "points": {' + b",".join(b'"k%d": ""' % i for i in range(200_000)) + b"}}",
        b'{"model": "plane", "points": [' + b",".join([b'{"a": 0, "b": 0, "c": 0, "d": 0}'] * 130_000) + b"]}",
        b'{"model": "plane", "points": [' + b",".join(b'{"k%d": ""}' % i for i in range(101_000)) + b"]}",
    ],
    ids=["lists", "fields", "values", "objects", "record", "records", "names"],
)
def test_a_body_with_too_many_values_is_rejected_before_it_is_parsed(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/predict", content=body, headers=JSON)
    assert_problem(answer, 422, "invalid-input")
    assert answer.json()["errors"][0]["field"] in ("body", "points")


@pytest.mark.slow
def test_a_prediction_that_would_take_too_long_is_rejected(client: httpx.Client) -> None:
    train(client, "wide", network={"hidden": [1_000, 1_000, 1_000]}, data={"dataset": "xor", "n": 10})
    assert predict(client, model="wide", points=[[0, 0]] * 1_000).status_code == 200
    assert_problem(predict(client, model="wide", points=[[0, 0]] * 50_000), 422, "invalid-input", field="points")
    grid = client.get("/boundary-grid", params={"model": "wide", "resolution": "1000"})
    assert_problem(grid, 422, "invalid-input", field="resolution")


def test_a_client_that_disconnects_during_its_request_does_not_affect_others(client: httpx.Client) -> None:
    for _ in range(3):
        with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b'Content-Length: 1000\r\n\r\n{"model": "plane"'
            )
    assert predict(client).status_code == 200


def test_a_body_of_an_unsupported_media_type_is_rejected(client: httpx.Client) -> None:
    answer = client.post("/predict", data={"model": "plane"})
    assert_problem(answer, 415, "unsupported-media-type")
    body = json.dumps({"model": "plane", "points": [[0, 1]]})
    assert client.post("/predict", content=body, headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.post("/predict", content=body, headers={"Content-Type": "Application/JSON; charset=utf-8"}).is_success


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_rejected(client: httpx.Client, declared: bool) -> None:
    size = 17 * 2**20
    chunks = (b" " * 2**20 for _ in range(17))
    headers = JSON | ({"Content-Length": str(size)} if declared else {})
    answer = client.post("/predict", content=b" " * size if declared else chunks, headers=headers)
    assert_problem(answer, 413, "body-too-large")
