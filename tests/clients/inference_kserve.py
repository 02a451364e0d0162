"""A program that uses the service with the client of kserve, unchanged: `inference_kserve.py ADDRESS`.

The service is that of `inference_triton.py`.
"""

import asyncio
import json
import sys
import urllib.request

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

ADDRESS = sys.argv[1].rstrip("/")
MANY = np.random.default_rng(0).uniform(-4, 4, (2_000, 2)).astype(np.float32)


def predicted(points):
    """The answer of `POST /predict`."""
    body = json.dumps({"model": "plane", "points": points.tolist()}).encode()
    request = urllib.request.Request(f"{ADDRESS}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def request(points, *, is_binary, binary_output=None, outputs=None):
    found = InferInput("points", list(points.shape), "FP32")
    found.set_data_from_numpy(points, binary_data=is_binary)
    parameters = None if binary_output is None else {"binary_data_output": binary_output}
    return InferRequest("plane", [found], request_id="mine", parameters=parameters, request_outputs=outputs)


async def refused(call):
    """What the client says of a call that must fail."""
    try:
        await call
    except httpx.HTTPStatusError as error:
        return str(error)
    raise AssertionError("it must fail")


async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(ADDRESS) is True
    assert await client.is_server_ready(ADDRESS) is True
    assert await client.is_model_ready(ADDRESS, "plane") is True
    assert await client.is_model_ready(ADDRESS, "nobody") is False
    for count in (1, 2, 2_000):
        points = MANY[:count]
        expected = predicted(points)
        for is_binary in (True, False):
            for binary_output in (None, True, False):
                for outputs in (None, [RequestedOutput("labels"), RequestedOutput("probabilities")]):
                    sent = request(points, is_binary=is_binary, binary_output=binary_output, outputs=outputs)
                    answer = await client.infer(ADDRESS, sent, model_name="plane")
                    assert answer.model_name == "plane"
                    assert answer.id == "mine"
                    found = {one.name: one.as_numpy() for one in answer.outputs}
                    assert found["probabilities"].tobytes() == np.float32(expected["probabilities"]).tobytes()
                    labels = [one.decode() if isinstance(one, bytes) else one for one in found["labels"].tolist()]
                    assert labels == expected["labels"]
    for model, points, text in (
        ("nobody", MANY[:1], "Model not found"),
        ("plane", np.zeros((1, 3), np.float32), "2 coordinates each"),
    ):
        for is_binary in (True, False):
            said = await refused(client.infer(ADDRESS, request(points, is_binary=is_binary), model_name=model))
            assert text in said, said
    await client.close()


asyncio.run(main())
