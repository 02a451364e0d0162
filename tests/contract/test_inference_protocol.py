"""The Open Inference Protocol v2 under `/v2`, as bytes on the wire. Its clients are tried in `tests/clients`."""

import gzip
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from service.settings import Settings
from tests.serving import running, train

POINTS = np.array([[0.5, -1], [2, 3]], np.float32)
MANY = np.random.default_rng(0).uniform(-4, 4, (3_000, 2)).astype(np.float32)
GOLDEN = (
    b'{"inputs":[{"name":"points","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],'
    b'"parameters":{"binary_data_output":true}}' + bytes.fromhex("0000003f000080bf0000004000004040")
)
"""What tritonclient sends for `POINTS`."""


def tensor(values: Any, name: str = "points", datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    array = np.asarray(values)
    return {"name": name, "shape": [*array.shape], "datatype": datatype, "data": array.ravel().tolist()} | more


def infer(client: httpx.Client, *inputs: Any, model: str = "plane", **more: Any) -> httpx.Response:
    return client.post(f"/v2/models/{model}/infer", json={"inputs": inputs} | more)


def binary(head: dict[str, Any], *parts: bytes) -> dict[str, Any]:
    """The body and the headers of a request of JSON and binary tensors."""
    text = json.dumps(head).encode()
    return {"content": text + b"".join(parts), "headers": {"Inference-Header-Content-Length": str(len(text))}}


def outputs(answer: httpx.Response) -> dict[str, Any]:
    """The values of each output of a response, JSON or binary, by name."""
    assert answer.status_code == 200, answer.text
    length = answer.headers.get("inference-header-content-length")
    assert answer.headers["content-type"] == ("application/octet-stream" if length else "application/json")
    head = json.loads(answer.content[: int(length)] if length else answer.content)
    rest, found = answer.content[int(length) :] if length else b"", {}
    for one in head["outputs"]:
        if "data" in one:
            values = one["data"]
        else:
            size = one["parameters"]["binary_data_size"]
            part, rest = rest[:size], rest[size:]
            values = (
                texts(part) if one["datatype"] == "BYTES" else np.frombuffer(part, DTYPES[one["datatype"]]).tolist()
            )
        found[one["name"]] = np.array(values).reshape(one["shape"]).tolist()
    assert rest == b""
    return found


DTYPES = {"FP32": "<f4", "INT64": "<i8"}


def texts(part: bytes) -> list[str]:
    found = []
    while part:
        (length,) = struct.unpack_from("<I", part)
        found.append(part[4 : 4 + length].decode())
        part = part[4 + length :]
    return found


def assert_error(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    for word in words:
        assert word in answer.json()["error"]


def predicted(client: httpx.Client, points: Any, model: str = "plane", **more: Any) -> dict[str, Any]:
    answer = client.post("/predict", json={"model": model, "points": points} | more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# ---- what the server and its models are


def test_the_server_says_that_it_is_live_and_ready(client: httpx.Client) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert client.get(path).json() == {"live": True, "ready": True}


def test_the_metadata_of_the_server_name_extensions_that_it_has(client: httpx.Client) -> None:
    found = client.get("/v2").json()
    assert found["name"] == "separatrix"
    assert found["version"] == client.get("/openapi.json").json()["info"]["version"]
    assert set(found["extensions"]) == {
        *("binary_tensor_data", "classification", "model_configuration"),
        *("model_repository", "parameters", "statistics"),
    }


@pytest.mark.parametrize(
    ("model", "classes", "features", "labels"),
    [("plane", 2, 2, "BYTES"), ("trio", 3, 2, "INT64"), ("line", 2, 1, "INT64")],
)
def test_the_metadata_of_a_model_have_the_types_and_shapes_of_its_tensors(
    client: httpx.Client, model: str, classes: int, features: int, labels: str
) -> None:
    found = client.get(f"/v2/models/{model}").json()
    assert found["name"] == model
    assert found["platform"] == "separatrix_safetensors"
    assert found["inputs"] == [{"name": "points", "datatype": "FP32", "shape": [-1, features]}]
    assert found["outputs"] == [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
        {"name": "labels", "datatype": labels, "shape": [-1]},
    ]
    assert "1" in found["versions"]
    assert client.get(f"/v2/models/{model}/versions/1").json() == found
    assert [one["datatype"] for one in infer(client, tensor([[0] * features]), model=model).json()["outputs"]] == [
        one["datatype"] for one in found["outputs"]
    ]


def test_the_configuration_of_a_model_has_its_dimensions_and_labels(client: httpx.Client) -> None:
    found = client.get("/v2/models/trio/config").json()
    assert found == client.get("/v2/models/trio/versions/1/config").json()
    assert (found["name"], found["max_batch_size"]) == ("trio", 0)
    assert found["input"] == [{"name": "points", "data_type": "TYPE_FP32", "dims": [-1, 2]}]
    assert [one["data_type"] for one in found["output"]] == ["TYPE_FP32", "TYPE_INT64"]
    classes = json.loads(found["parameters"]["classes"]["string_value"])
    assert classes == predicted(client, [[0, 0]], model="trio")["classes"]


def test_a_model_is_ready_if_it_answers(client: httpx.Client) -> None:
    for path in ("/v2/models/plane/ready", "/v2/models/plane/versions/1/ready"):
        assert client.get(path).json() == {"name": "plane", "ready": True}
    assert_error(client.get("/v2/models/nothing/ready"), 404)


@pytest.mark.slow
def test_a_service_that_stops_is_live_but_not_ready(tmp_path_factory: pytest.TempPathFactory) -> None:
    import threading

    stopping = threading.Event()
    with running(tmp_path_factory.mktemp("stopping"), stopping=stopping, training_processes=0) as client:
        stopping.set()
        assert client.get("/v2/health/live").json() == {"live": True, "ready": False}
        answer = client.get("/v2/health/ready")
        assert_error(answer, 503, "stopping")
        assert answer.headers["retry-after"] == "1"


# ---- inference


def test_the_request_of_the_protocols_clients_gets_the_answer_of_predict(client: httpx.Client) -> None:
    answer = client.post("/v2/models/plane/infer", content=GOLDEN, headers={"Inference-Header-Content-Length": "140"})
    assert len(GOLDEN) == 156
    head = json.loads(answer.content[: int(answer.headers["inference-header-content-length"])])
    expected = predicted(client, POINTS.tolist())
    assert head == {
        "model_name": "plane",
        "model_version": "1",
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}},
            {
                "name": "labels",
                "datatype": "BYTES",
                "shape": [2],
                "parameters": {"binary_data_size": sum(4 + len(one) for one in expected["labels"])},
            },
        ],
    }
    assert outputs(answer) == {
        "probabilities": np.float32(expected["probabilities"]).tolist(),
        "labels": expected["labels"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("model", ["plane", "trio", "line"])
@pytest.mark.parametrize("count", [1, 8, 9, 3_000])
def test_json_has_the_numbers_of_predict_to_the_last_digit(client: httpx.Client, model: str, count: int) -> None:
    points = MANY[:count, : 1 if model == "line" else 2]
    expected = predicted(client, points.tolist(), model=model)
    flat, nested = tensor(points), tensor(points, data=points.tolist())
    for answer in (infer(client, flat, model=model), infer(client, nested, model=model, id="", parameters={})):
        assert outputs(answer) == {name: expected[name] for name in ("probabilities", "labels")}


@pytest.mark.parametrize("count", [9, 3_000])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_binary_tensors_have_the_bits_of_npy(client: httpx.Client, count: int, datatype: str) -> None:
    points = MANY[:count].astype({"FP32": "<f4", "FP64": "<f8"}[datatype])
    file = io.BytesIO()
    np.save(file, points)
    npy = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}
    array = client.post("/predict?model=plane", content=file.getvalue(), headers=npy).content
    expected = np.load(io.BytesIO(array))
    head = {
        "inputs": [
            {
                "name": "points",
                "shape": [count, 2],
                "datatype": datatype,
                "parameters": {"binary_data_size": points.nbytes},
            }
        ],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    answer = client.post("/v2/models/plane/infer", **binary(head, points.tobytes()))
    assert answer.content.endswith(expected.tobytes())
    assert outputs(answer)["probabilities"] == expected.tolist()


def test_a_tensor_may_have_any_type_of_numbers(client: httpx.Client) -> None:
    points = np.array([[0, 1], [1, 1], [1, 0]] * 4)
    expected = predicted(client, points.tolist())["labels"]
    types = {"BOOL": "?", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
    types |= {
        f"{sign}INT{bits}": f"<{kind}{bits // 8}" for bits in (8, 16, 32, 64) for sign, kind in (("", "i"), ("U", "u"))
    }
    for datatype, dtype in types.items():
        array = points.astype(dtype)
        head = {"name": "points", "shape": [12, 2], "datatype": datatype}
        head["parameters"] = {"binary_data_size": array.nbytes}
        sent = client.post("/v2/models/plane/infer", **binary({"inputs": [head]}, array.tobytes()))
        assert outputs(sent)["labels"] == expected, datatype
        assert outputs(infer(client, tensor(array, datatype=datatype)))["labels"] == expected, datatype
    upper = points.astype("<f4").view("<u2").reshape(12, 2, 2)[:, :, 1].tobytes()
    head = {"name": "points", "shape": [12, 2], "datatype": "BF16", "parameters": {"binary_data_size": len(upper)}}
    assert outputs(client.post("/v2/models/plane/infer", **binary({"inputs": [head]}, upper)))["labels"] == expected


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_counts_the_json_before_compression(client: httpx.Client, encoding: str) -> None:
    compressed = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding](GOLDEN)
    headers = {"Inference-Header-Content-Length": "140", "Content-Encoding": encoding}
    plain = client.post("/v2/models/plane/infer", content=GOLDEN, headers={"Inference-Header-Content-Length": "140"})
    packed = client.post("/v2/models/plane/infer", content=compressed, headers=headers)
    assert outputs(packed) == outputs(plain)


@pytest.mark.parametrize("count", [1, 2, 500])
def test_a_body_of_points_alone_gets_all_outputs_in_binary(client: httpx.Client, count: int) -> None:
    points = MANY[:count]
    answer = client.post(
        "/v2/models/plane/infer", content=points.tobytes(), headers={"Inference-Header-Content-Length": "0"}
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    expected = predicted(client, points.tolist())
    assert outputs(answer)["labels"] == expected["labels"]
    assert outputs(answer)["probabilities"] == np.float32(expected["probabilities"]).tolist()


def test_a_request_chooses_outputs_and_how_each_is_sent(client: httpx.Client) -> None:
    both = infer(
        client,
        tensor(POINTS),
        outputs=[{"name": "labels"}, {"name": "probabilities", "parameters": {"binary_data": True}}],
    )
    assert [*outputs(both)] == ["labels", "probabilities"]
    assert [*outputs(infer(client, tensor(POINTS), outputs=[{"name": "labels"}]))] == ["labels"]
    kinds = infer(
        client,
        tensor(POINTS),
        parameters={"binary_data_output": True},
        outputs=[{"name": "labels", "parameters": {"binary_data": False}}, {"name": "probabilities"}],
    )
    head = json.loads(kinds.content[: int(kinds.headers["inference-header-content-length"])])
    assert ["data" in one for one in head["outputs"]] == [True, False]


def test_the_id_is_returned_if_there_is_one(client: httpx.Client) -> None:
    for name in ("abc", "", "Grüße \U0001f600"):
        for count in (1, 20):
            assert infer(client, tensor(MANY[:count]), id=name).json()["id"] == name
    assert "id" not in infer(client, tensor(POINTS)).json()
    assert "id" not in infer(client, tensor(POINTS), id=None).json()


def test_what_the_protocol_does_not_know_is_ignored(client: httpx.Client) -> None:
    expected = outputs(infer(client, tensor(POINTS)))
    more = {"model_name": "m", "parameters": {"priority": 3, "timeout": 1_000, "mine": "x"}, "extra": {"a": [1]}}
    assert outputs(infer(client, tensor(POINTS, extra=1), **more)) == expected
    answer = client.post(
        "/v2/models/plane/infer?verbose=1", json={"inputs": [tensor(POINTS)]}, headers={"Content-Type": "text/html"}
    )
    assert outputs(answer) == expected
    assert client.get("/v2/models/plane?verbose=1").status_code == 200


def test_a_threshold_is_that_of_predict(client: httpx.Client) -> None:
    for threshold in (0.05, 0.95):
        expected = predicted(client, MANY[:50].tolist(), threshold=threshold)["labels"]
        answer = infer(client, tensor(MANY[:50]), parameters={"threshold": threshold})
        assert outputs(answer)["labels"] == expected
    assert_error(infer(client, tensor(POINTS), parameters={"threshold": 2}), 400, "threshold")
    assert_error(infer(client, tensor(POINTS), model="trio", parameters={"threshold": 0.4}), 400, "two classes")


@pytest.mark.parametrize("is_binary", [True, False])
def test_a_classification_names_the_likeliest_classes(client: httpx.Client, is_binary: bool) -> None:
    expected = predicted(client, MANY[:20].tolist(), model="trio")
    wanted = [{"name": "probabilities", "parameters": {"classification": 2, "binary_data": is_binary}}]
    found = outputs(infer(client, tensor(MANY[:20]), model="trio", outputs=wanted))["probabilities"]
    for row, prob_K, label in zip(found, expected["probabilities"], expected["labels"], strict=True):
        parts = [one.split(":") for one in row]
        assert [int(index) for _, index, _ in parts] == np.argsort(-np.array(prob_K), kind="stable")[:2].tolist()
        assert parts[0][2] == str(label)
        assert [float(value) for value, _, _ in parts] == pytest.approx(sorted(prob_K, reverse=True)[:2], rel=1e-6)
    wanted[0]["parameters"] |= {"classification": 99}
    assert np.shape(outputs(infer(client, tensor(MANY[:20]), model="trio", outputs=wanted))["probabilities"]) == (20, 3)


@pytest.mark.slow
def test_a_version_in_the_path_answers(service: httpx.Client) -> None:
    for epochs in (5, 200):
        train(service, "two-versions", training={"epochs": epochs})
    answers = []
    for count in (1, 20):
        for path, version in (("/versions/1", 1), ("/versions/2", 2), ("", 2)):
            answer = service.post(f"/v2/models/two-versions{path}/infer", json={"inputs": [tensor(MANY[:count])]})
            assert answer.json()["model_version"] == str(version)
            expected = predicted(service, MANY[:count].tolist(), model="two-versions", version=version)
            assert outputs(answer)["probabilities"] == expected["probabilities"]
            answers.append(answer.content)
    assert len(set(answers)) == 4
    assert service.get("/v2/models/two-versions").json()["versions"] == ["1", "2"]


@pytest.mark.slow
def test_an_alias_in_the_path_answers(service: httpx.Client) -> None:
    for epochs in (5, 200):
        train(service, "aliased", training={"epochs": epochs})
    assert service.put("/models/aliased/aliases/stable", json={"version": 1}).is_success
    for count in (1, 20):
        answer = service.post("/v2/models/aliased/versions/stable/infer", json={"inputs": [tensor(MANY[:count])]})
        assert answer.json()["model_version"] == "1"
        expected = predicted(service, MANY[:count].tolist(), model="aliased", alias="stable")
        assert outputs(answer)["probabilities"] == expected["probabilities"]
    for path in ("", "/ready", "/config", "/stats"):
        assert service.get(f"/v2/models/aliased/versions/stable{path}").status_code == 200
        assert_error(service.get(f"/v2/models/aliased/versions/unstable{path}"), 404, "stable")


# ---- tensors by feature


@pytest.fixture(scope="module")
def named(service: httpx.Client) -> httpx.Client:
    """A service with a model of named features, one of which is text: `towns`."""
    lines = [
        f"{x},{y},{town},{'near' if x + y < 0 else 'far'}"
        for (x, y), town in zip(MANY[:60], ["a", "b", "c"] * 20, strict=True)
    ]
    csv = "\n".join(["width,length,town,kind", *lines])
    answer = service.post(
        "/datasets/towns?label=kind&categorical=one-hot", content=csv, headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 201, answer.text
    train(service, "towns", data={"dataset": "towns"}, training={"epochs": 20}, preset="tutorial")
    return service


def test_each_feature_may_be_a_tensor_by_name(named: httpx.Client) -> None:
    columns = {"length": [0.5, 1.5, -2.0], "width": [1.0, -1.0, 0.25], "town": ["b", "a", "c"]}
    expected = predicted(named, columns, model="towns")
    inputs = [
        tensor(columns["length"]),
        tensor(columns["town"], datatype="BYTES") | {"shape": [3, 1]},
        tensor(columns["width"]) | {"shape": [3, 1], "data": [[x] for x in columns["width"]]},
    ]
    for one, name in zip(inputs, ("length", "town", "width"), strict=True):
        one["name"] = name
    answer = infer(named, *inputs, model="towns")
    assert outputs(answer)["labels"] == expected["labels"]
    assert np.float32(outputs(answer)["probabilities"]) == pytest.approx(
        np.float32(expected["probabilities"]), rel=1e-6
    )
    parts = [
        np.array(columns["length"], "<f8").tobytes(),
        b"".join(struct.pack("<I", len(town)) + town.encode() for town in columns["town"]),
        np.array(columns["width"], "<f4").tobytes(),
    ]
    heads = [
        {"name": name, "shape": [3], "datatype": datatype, "parameters": {"binary_data_size": len(part)}}
        for name, datatype, part in zip(("length", "town", "width"), ("FP64", "BYTES", "FP32"), parts, strict=True)
    ]
    sent = named.post("/v2/models/towns/infer", **binary({"inputs": heads}, *parts))
    assert outputs(sent) == outputs(answer)
    names = json.loads(named.get("/v2/models/towns/config").json()["parameters"]["feature_names"]["string_value"])
    assert names == ["width", "length", "town=a", "town=b", "town=c"]
    by_position = infer(named, tensor([[1.0, 0.5, 0, 1, 0]]), model="towns")
    assert outputs(by_position)["labels"] == expected["labels"][:1]


def test_tensors_by_feature_that_do_not_fit_are_refused_with_what_is_wrong(named: httpx.Client) -> None:
    width, length = tensor([1.0, 2.0], "width"), tensor([1.0, 2.0], "length")
    town = tensor(["a", "b"], "town", "BYTES")
    for inputs, words in [
        ([width, length], ("must have 'town'",)),
        ([width, length, town, tensor([1.0, 2.0], "height")], ("must not have 'height'",)),
        ([width, length, tensor(["a", "d"], "town", "BYTES")], ("'town'", "not 'd'")),
        ([width, length, town, town], ("only once",)),
        ([width, length, tensor([1.0, 2.0], "town")], ("must have text in 'town'",)),
        ([tensor(["x", "y"], "width", "BYTES"), length, town], ("must have numbers in 'width'",)),
        ([width, tensor([1.0], "length"), town], ("inputs.length", "[N]")),
        ([width, tensor([[1.0, 2.0]], "length"), town], ("inputs.length",)),
        ([tensor([[0] * 5]), width], ("either one tensor named points or",)),
        ([tensor(["a", "b"], "town", "BYTES", shape=[3])], ("inputs.town", "3 strings")),
        ([tensor([1.0, 2.0], "town", "BYTES")], ("inputs.town", "strings")),
    ]:
        assert_error(infer(named, *inputs, model="towns"), 400, *words)


def test_a_model_without_names_takes_the_points_in_one_tensor(client: httpx.Client) -> None:
    said = "must be one tensor named points"
    assert_error(infer(client, tensor([[0, 1]], "x")), 400, said)
    assert_error(infer(client, tensor([0], "x"), tensor([0], "y")), 400, said)


def test_whole_numbers_may_be_written_with_a_decimal_point(client: httpx.Client) -> None:
    expected = outputs(infer(client, tensor(POINTS)))
    assert outputs(infer(client, tensor(POINTS, shape=[2.0, 2]))) == expected
    head = json.loads(GOLDEN[:140])
    head["inputs"][0] |= {"shape": [2.0, 2.0], "parameters": {"binary_data_size": 16.0}}
    answer = client.post("/v2/models/plane/infer", **binary(head, GOLDEN[140:]))
    assert outputs(answer)["labels"] == expected["labels"]
    one, same = (
        infer(client, tensor(POINTS), outputs=[{"name": "probabilities", "parameters": {"classification": count}}])
        for count in (2, 2.0)
    )
    assert outputs(one) == outputs(same)


# ---- what is refused


def sized(size: Any, **more: Any) -> dict[str, Any]:
    return {"name": "points", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": size}} | more


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([tensor([[1, 2, 3]])], ("2 coordinates each, but these have 3",)),
        ([tensor(np.zeros((2, 3)), shape=[3, 2, 1])], ("1 or 2 dimensions",)),
        ([tensor([[1, 2]], shape=[])], ("1 or 2 dimensions",)),
        ([tensor([[1, 2]], shape=[0, 2])], ("at least one value",)),
        ([tensor([[1, 2]], shape=[-1, 2])], ("at least one value",)),
        ([tensor([[1, 2]], shape=[10**12, 2])], ("at most 100,000 points",)),
        ([tensor([[1, 2]], shape=[1, 10**12])], ("as its shape says",)),
        ([tensor([[1, 2]], shape=[2, 2])], ("4 numbers", "as its shape says")),
        ([tensor([[1, 2], [3, 4]], data=[[1], [2, 3, 4]])], ("as its shape says",)),
        ([tensor([[1, 2], [3, 4]], data=[[[1, 2], [3, 4]]])], ("as its shape says",)),
        ([tensor([[1, 2]], data=["1", "2"])], ("as its shape says",)),
        ([tensor([[1, 2]], data=[1, None])], ("must have numbers",)),
        ([tensor([[1, 2]], data=[True, 1])], ("must have numbers",)),
        ([tensor([[1, 2]], data=[1, -(10**4_000)])], ("must have numbers within float64",)),
        ([tensor([[1, 2]], data=5)], ("as its shape says",)),
        ([tensor([[1, 2]], data={"a": 1})], ("as its shape says",)),
        ([tensor([[1.5, 2]], datatype="INT32")], ("whole numbers within INT32",)),
        ([tensor([[300, 2]], datatype="INT8")], ("whole numbers within INT8",)),
        ([tensor([[-1, 2]], datatype="UINT8")], ("whole numbers within UINT8",)),
        ([tensor([[0, 2]], datatype="BOOL")], ("true and false",)),
        ([tensor([[1, 2]], datatype="FP8")], ("must have one of the datatypes",)),
        ([tensor([["a", "b"]], datatype="BYTES")], ("must have numbers, not datatype BYTES",)),
        ([tensor([[1e31, 2]])], ("points.0.0", "must be a number between")),
        ([{"name": "points", "shape": [1, 2], "datatype": "FP32"}], ("must have data",)),
        ([sized(16)], ("bytes after the JSON",)),
        ([sized(-1)], ("binary_data_size",)),
        ([sized("16")], ("binary_data_size",)),
        ([sized(0, data=[1, 2, 3, 4])], ("not both",)),
        ([{"name": "points", "shape": [1.5, 2], "datatype": "FP32", "data": []}], ("inputs.0.shape",)),
        ([tensor([[1, 2]], shape=["1", 2])], ("inputs.0.shape",)),
        ([tensor([[1, 2]], shape=[True, 2])], ("inputs.0.shape",)),
        ([tensor([[1, 2]], shape=[1e300, 2])], ("at most 100,000 points",)),
        ([sized(16.5)], ("binary_data_size",)),
        ([{"shape": [1, 2], "datatype": "FP32", "data": [1, 2]}], ("`name`",)),
        ([], ("1 to 1,000 tensors",)),
        ([tensor([[1, 2]])] * 1_001, ("1 to 1,000 tensors",)),
        ("points", ("inputs",)),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_what_is_wrong(
    client: httpx.Client, inputs: Any, words: tuple[str, ...]
) -> None:
    assert_error(client.post("/v2/models/plane/infer", json={"inputs": inputs}), 400, *words)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"outputs": [{"name": "logits"}]}, ("outputs", "probabilities and labels")),
        ({"outputs": [{"name": "labels"}, {"name": "labels"}]}, ("only once",)),
        ({"outputs": [{"name": "labels", "parameters": {"classification": 1}}]}, ("classification",)),
        ({"outputs": [{"name": "probabilities", "parameters": {"classification": 0}}]}, ("classification",)),
        ({"outputs": [{"name": "probabilities", "parameters": {"binary_data": 1}}]}, ("true or false",)),
        ({"parameters": {"binary_data_output": "yes"}}, ("true or false",)),
        ({"parameters": {"mine": {}}}, ("parameters",)),
        ({"id": 5}, ("id",)),
    ],
)
def test_options_that_do_not_fit_are_refused_with_what_is_wrong(
    client: httpx.Client, more: dict[str, Any], words: tuple[str, ...]
) -> None:
    assert_error(infer(client, tensor(POINTS), **more), 400, *words)


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"\xff", None),
        (b'{"inputs":[' + b"[" * 50_000, None),
        (b'{"inputs":[{"name":"points","shape":[1,2],"datatype":"FP32","data":[1,NaN]}]}', None),
        (b'{"inputs":[{"name":"points","shape":[1,2],"datatype":"FP32","data":[1,1e999]}]}', None),
        (GOLDEN, None),
        (GOLDEN, "139"),
        (GOLDEN, "141"),
        (GOLDEN, "157"),
        (GOLDEN, "-1"),
        (GOLDEN, "x"),
        (GOLDEN, "1_4"),
        (GOLDEN, "9" * 5_000),
        (GOLDEN[:-1], "140"),
        (GOLDEN + b"\0", "140"),
        (GOLDEN.replace(b"16", b"12"), "140"),
        (b"", "0"),
        (b"1234567", "0"),
        (np.array([np.nan, 0], "<f4").tobytes(), "0"),
        (np.array([np.inf, 0], "<f4").tobytes(), "0"),
        (b"1", "0"),
    ],
)
def test_a_body_that_is_not_a_request_is_refused(client: httpx.Client, body: bytes, length: str | None) -> None:
    headers = {} if length is None else {"Inference-Header-Content-Length": length}
    assert_error(client.post("/v2/models/plane/infer", content=body, headers=headers), 400)


@pytest.mark.parametrize("more", ["", '"id":"a:b",', '"unknown":1,'])
@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("inputs", '{"inputs":[],MORE"inputs":[TENSOR]}'),
        ("id", '{"id":"1",MORE"id":"2","inputs":[TENSOR]}'),
        ("parameters", '{"parameters":{},MORE"parameters":{"binary_data_output":true},"inputs":[TENSOR]}'),
        ("threshold", '{MORE"parameters":{"threshold":0.5,"threshold":0.9},"inputs":[TENSOR]}'),
        ("data", '{MORE"inputs":[{"data":[0,1],TENSOR_WITHOUT_BRACE]}'),
        ("name", '{MORE"inputs":[TENSOR],"outputs":[{"name":"labels","name":"probabilities"}]}'),
        ("shape", '{MORE"inputs":[{"shape":[1,2],TENSOR_WITHOUT_BRACE]}'),
    ],
)
def test_a_repeated_key_is_refused_by_name(client: httpx.Client, key: str, text: str, more: str) -> None:
    sent = json.dumps(tensor([[1, 2]]), separators=(",", ":"))
    text = text.replace("TENSOR_WITHOUT_BRACE", sent[1:]).replace("TENSOR", sent).replace("MORE", more)
    assert_error(client.post("/v2/models/plane/infer", content=text), 400, key, "several values in one object")


def test_a_repeated_key_before_binary_tensors_is_refused_by_name(client: httpx.Client) -> None:
    text = GOLDEN[:140].replace(b'"shape"', b'"shape":[4,1],"shape"')
    headers = {"Inference-Header-Content-Length": str(len(text))}
    for _ in range(2):
        answer = client.post("/v2/models/plane/infer", content=text + GOLDEN[140:], headers=headers)
        assert_error(answer, 400, "shape", "several values in one object")


def test_a_repeated_key_in_a_request_to_the_repository_is_refused_by_name(client: httpx.Client) -> None:
    answer = client.post("/v2/repository/index", content='{"ready":true,"ready":false}')
    assert_error(answer, 400, "ready", "several values in one object")


def test_bytes_after_json_that_has_all_numbers_are_refused(client: httpx.Client) -> None:
    for count in (1, 20):
        answer = client.post("/v2/models/plane/infer", **binary({"inputs": [tensor(MANY[:count])]}, b"1234"))
        assert_error(answer, 400, "bytes after the JSON")


def test_the_same_json_with_other_numbers_gets_other_answers(client: httpx.Client) -> None:
    head = {"inputs": [sized(8, shape=[1, 2])]}
    for point in MANY[:5]:
        answer = client.post("/v2/models/plane/infer", **binary(head, point.tobytes()))
        assert outputs(answer)["probabilities"] == predicted(client, [point.tolist()])["probabilities"]
        three = client.post("/v2/models/trio/infer", **binary(head, point.tobytes()))
        assert outputs(three)["probabilities"] == predicted(client, [point.tolist()], model="trio")["probabilities"]
        assert_error(client.post("/v2/models/line/infer", **binary(head, point.tobytes())), 400, "1 coordinate")


def test_lone_surrogates_are_refused(client: httpx.Client) -> None:
    body = rb'{"id":"\ud800","inputs":[{"name":"points","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'
    assert_error(client.post("/v2/models/plane/infer", content=body), 400, "JSON")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_is_not_compressed_as_declared_is_refused(client: httpx.Client, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    assert_error(client.post("/v2/models/plane/infer", content=GOLDEN, headers=headers), 400, "gzip or deflate")
    bomb = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding](bytes(20 * 2**20))
    assert_error(client.post("/v2/models/plane/infer", content=bomb, headers=headers), 413, "bytes")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/nothing", 404),
        ("GET", "/v2/models/plane/versions/99", 404),
        ("GET", "/v2/models/plane/versions/0", 404),
        ("GET", "/v2/models/plane/versions/99999999999", 404),
        ("GET", "/v2/models/plane/versions/no-alias", 404),
        ("GET", "/v2/models/plane/versions/99/config", 404),
        ("GET", "/v2/models/nothing/stats", 404),
        ("POST", "/v2/models/nothing/infer", 404),
        ("POST", "/v2/models/plane/versions/99/infer", 404),
        ("POST", "/v2/models/plane/versions/no-alias/infer", 404),
        ("POST", "/v2/repository/models/nothing/load", 404),
        ("POST", "/v2/repository/models/nothing/unload", 404),
        ("POST", "/v2/models/plane/infer/", 404),
        ("GET", "/v2/models/plane/infer", 405),
        ("POST", "/v2/models/plane", 405),
        ("PUT", "/v2", 405),
        ("DELETE", "/v2/models/plane/versions/1/infer", 405),
    ],
)
def test_every_failure_has_one_string_as_plain_json(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path, content=b"" if "repository" in path else GOLDEN)
    assert_error(answer, status)
    assert ("allow" in answer.headers) == (status == 405)


def test_an_unknown_encoding_is_refused(client: httpx.Client) -> None:
    headers = {"Content-Encoding": "br"}
    assert_error(client.post("/v2/models/plane/infer", content=GOLDEN, headers=headers), 415, "gzip or deflate")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that takes ten points and bodies of a kilobyte."""
    with running(tmp_path_factory.mktemp("small"), max_points_per_request=10, max_body_bytes=1_024) as client:
        train(client, "plane", training={"epochs": 5})
        yield client


def test_the_bounds_of_predict_hold(small: httpx.Client) -> None:
    assert_error(infer(small, tensor(MANY[:11])), 400, "at most 10 points")
    raw = {"Inference-Header-Content-Length": "0"}
    assert_error(small.post("/v2/models/plane/infer", content=MANY[:11].tobytes(), headers=raw), 400, "at most 10")
    assert small.post("/v2/models/plane/infer", content=MANY[:10].tobytes(), headers=raw).status_code == 200
    assert_error(small.post("/v2/models/plane/infer", content=bytes(1_025), headers=raw), 413)
    packed = raw | {"Content-Encoding": "deflate"}
    assert_error(small.post("/v2/models/plane/infer", content=zlib.compress(bytes(1_025)), headers=packed), 413)


def test_a_classification_of_too_many_values_is_refused(client: httpx.Client) -> None:
    points = np.resize(MANY, (Settings().max_points_per_request, 2))
    wanted = [{"name": "probabilities", "parameters": {"classification": 3}}]
    head = {"inputs": [sized(points.nbytes, shape=[*points.shape])], "outputs": wanted}
    answer = client.post("/v2/models/trio/infer", **binary(head, points.tobytes()))
    assert_error(answer, 400, "at most 200,000 classification values")


def test_a_network_that_overflows_is_refused_and_never_answers_nan(client: httpx.Client) -> None:
    for datatype, dtype in (("FP32", "<f4"), ("FP64", "<f8")):
        array = np.full((1, 2), 9e29, dtype)
        head = {"inputs": [sized(array.nbytes, shape=[1, 2], datatype=datatype)]}
        answer = client.post("/v2/models/plane/infer", **binary(head, array.tobytes()))
        assert answer.status_code in (200, 400)
        assert b"nan" not in answer.content.lower()


# ---- repository and statistics


def test_the_index_lists_every_version(client: httpx.Client) -> None:
    found = client.post("/v2/repository/index").json()
    assert {"name": "plane", "version": "1", "state": "READY", "reason": ""} in found
    assert client.post("/v2/repository/index", json={"ready": True}).json() == found
    assert_error(client.post("/v2/repository/index", content=b"["), 400)
    assert_error(client.post("/v2/repository/index", json={"ready": 1}), 400)


def test_loading_succeeds_and_unloading_is_not_supported(client: httpx.Client) -> None:
    for body in (b"", b"{}", b'{"parameters":{}}'):
        assert client.post("/v2/repository/models/plane/load", content=body).status_code == 200
    replaced = {"parameters": {"config": "{}"}}
    assert_error(client.post("/v2/repository/models/plane/load", json=replaced), 400, "must be empty")
    unload = client.post("/v2/repository/models/plane/unload", json={"parameters": {"unload_dependents": False}})
    assert_error(unload, 501, "always available")
    assert client.get("/v2/models/plane/ready").status_code == 200


def test_statistics_count_the_requests_of_each_version(service: httpx.Client) -> None:
    train(service, "counted", training={"epochs": 5})
    path = "/v2/models/counted/versions/1/stats"

    def stats() -> dict[str, Any]:
        (found,) = service.get(path).json()["model_stats"]
        return dict(found)

    before = stats()
    assert (before["inference_count"], before["last_inference"]) == (0, 0)
    for count in (1, 20):
        infer(service, tensor(MANY[:count]), model="counted")
    assert_error(infer(service, tensor([[1, 2, 3]]), model="counted"), 400)
    after = stats()
    assert (after["name"], after["version"]) == ("counted", "1")
    assert (after["inference_count"], after["execution_count"]) == (21, 2)
    times = after["inference_stats"]
    assert (times["success"]["count"], times["fail"]["count"]) == (2, 1)
    parts = [times[name]["ns"] for name in ("compute_input", "compute_infer", "compute_output")]
    assert min(*parts, times["fail"]["ns"]) > 0
    assert sum(parts) == times["success"]["ns"]
    assert after in service.get("/v2/models/stats").json()["model_stats"]
    assert service.get("/v2/models/counted/stats").json() == {"model_stats": [after]}


def test_the_metrics_have_the_routes_and_not_the_names_of_models(client: httpx.Client) -> None:
    infer(client, tensor(POINTS))
    infer(client, tensor(POINTS), model="nobody-has-this")
    text = client.get("/metrics").text
    assert 'route="/v2/models/{model}/infer",status="200"' in text
    assert 'route="/v2/models/{model}/infer",status="404"' in text
    assert "nobody-has-this" not in text
