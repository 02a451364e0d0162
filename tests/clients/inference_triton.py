"""A program that uses the service with tritonclient, blocking and asyncio, unchanged: `inference_triton.py ADDRESS`.

The service has the models `plane`, of two versions with the labels `red` and `blue`, and `line`, with the labels -1
and 7.
"""

import asyncio
import json
import sys
import urllib.request

import numpy as np
import tritonclient.http as blocking
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException

ADDRESS = sys.argv[1]
URL = ADDRESS.removeprefix("http://").rstrip("/")
MANY = np.random.default_rng(0).uniform(-4, 4, (2_000, 2)).astype(np.float32)


def predicted(points, **more):
    """The answer of `POST /predict`."""
    body = json.dumps({"model": "plane", "points": points.tolist(), **more}).encode()
    request = urllib.request.Request(f"{ADDRESS}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def tensor(http, points, *, is_binary=True, name="points", datatype="FP32"):
    found = http.InferInput(name, list(points.shape), datatype)
    found.set_data_from_numpy(points, binary_data=is_binary)
    return found


def labels(result):
    """The labels, which are bytes in binary and texts in JSON."""
    return [one.decode() if isinstance(one, bytes) else one for one in result.as_numpy("labels").tolist()]


def assert_same(result, points, **more):
    """The result is that of `POST /predict`, to the last bit."""
    expected = predicted(points, **more)
    found = result.as_numpy("probabilities")
    assert found.dtype == np.float32
    assert found.tobytes() == np.float32(expected["probabilities"]).tobytes()
    assert labels(result) == expected["labels"]


def options(http):
    """Ways to ask, and to be answered."""
    yield {}
    yield {"request_compression_algorithm": "gzip"}
    yield {"request_compression_algorithm": "deflate", "response_compression_algorithm": "gzip"}
    yield {"request_id": "mine", "priority": 2, "timeout": 5_000_000, "parameters": {"mine": "x"}}
    for is_binary in (True, False):
        outputs = [http.InferRequestedOutput(name, binary_data=is_binary) for name in ("labels", "probabilities")]
        yield {"outputs": outputs}


def failures(http):
    """Requests that fail: model, version, inputs, status and a part of the message."""
    one = tensor(http, MANY[:1])
    yield "nobody", "", [one], "404", "Model not found"
    yield "plane", "9", [one], "404", "Version not found"
    yield "plane", "", [tensor(http, np.zeros((1, 3), np.float32))], "400", "2 coordinates each"
    yield "plane", "", [tensor(http, MANY[:1], name="x")], "400", "must be one tensor named points"
    yield "plane", "", [tensor(http, np.full((1, 2), np.nan, np.float32))], "400", "must be a number"
    yield "plane", "", [tensor(http, np.array([[b"a", b"b"]], object), datatype="BYTES")], "400", "must have numbers"


def assert_refused(error, status, text):
    assert error.status() == status, error
    assert text in error.message(), error


def assert_classified(result):
    first = result.as_numpy("probabilities")[0].tolist()
    values = [float(text.decode().split(":")[0]) for text in first]
    assert values == sorted(values, reverse=True)
    assert {text.decode().split(":")[2] for text in first} == {"red", "blue"}


def use_blocking():
    with blocking.InferenceServerClient(URL) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("plane")
        assert client.is_model_ready("plane", "2")
        assert not client.is_model_ready("nobody")
        assert client.get_server_metadata()["name"] == "separatrix"
        metadata = client.get_model_metadata("plane", "1")
        assert metadata["versions"] == ["1", "2"]
        assert metadata["inputs"] == [{"name": "points", "datatype": "FP32", "shape": [-1, 2]}]
        assert client.get_model_config("plane")["name"] == "plane"
        for count in (1, 2, 2_000):
            points = MANY[:count]
            for is_binary in (True, False):
                inputs = [tensor(blocking, points, is_binary=is_binary)]
                for more in options(blocking):
                    result = client.infer("plane", inputs, **more)
                    assert_same(result, points)
                    assert result.get_response().get("id") == more.get("request_id")
                for version in ("1", "2"):
                    assert_same(client.infer("plane", inputs, model_version=version), points, version=int(version))
            wide = tensor(blocking, points.astype(np.float64), datatype="FP64")
            assert_same(client.async_infer("plane", [wide]).get_result(), points)
        numbers = client.infer("line", [tensor(blocking, np.array([[0.0], [3.0]], np.float32))]).as_numpy("labels")
        assert (numbers.dtype, numbers.tolist()) == (np.int64, [7, -1])
        wanted = [blocking.InferRequestedOutput("probabilities", class_count=2)]
        assert_classified(client.infer("plane", [tensor(blocking, MANY[:3])], outputs=wanted))
        for model, version, inputs, status, text in failures(blocking):
            try:
                client.infer(model, inputs, model_version=version)
            except InferenceServerException as error:
                assert_refused(error, status, text)
            else:
                raise AssertionError(f"it must fail: {text}")
        assert {"name": "plane", "version": "2", "state": "READY", "reason": ""} in client.get_model_repository_index()
        client.load_model("plane")
        try:
            client.unload_model("plane")
        except InferenceServerException as error:
            assert_refused(error, "501", "Not supported")
        else:
            raise AssertionError("unloading must fail")
        (found,) = client.get_inference_statistics("plane", "1")["model_stats"]
        assert found["execution_count"] == found["inference_stats"]["success"]["count"] > 0


async def use_asyncio():
    async with aio.InferenceServerClient(URL) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("plane", "1")
        assert not await client.is_model_ready("nobody")
        assert (await client.get_model_metadata("plane"))["name"] == "plane"
        for count in (1, 2_000):
            for is_binary in (True, False):
                inputs = [tensor(aio, MANY[:count], is_binary=is_binary)]
                for more in options(aio):
                    assert_same(await client.infer("plane", inputs, **more), MANY[:count])
                assert_same(await client.infer("plane", inputs, model_version="1"), MANY[:count], version=1)
        wanted = [aio.InferRequestedOutput("probabilities", class_count=2)]
        assert_classified(await client.infer("plane", [tensor(aio, MANY[:3])], outputs=wanted))
        for model, version, inputs, status, text in failures(aio):
            try:
                await client.infer(model, inputs, model_version=version)
            except InferenceServerException as error:
                assert_refused(error, status, text)
            else:
                raise AssertionError(f"it must fail: {text}")
        await client.load_model("plane")
        assert len(await client.get_model_repository_index()) == 3


use_blocking()
asyncio.run(use_asyncio())
