"""Damaged bodies and queries of requests cause no server error."""

import gzip
import io
import json
import struct
import zlib
from typing import NamedTuple

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.damage import damaged, few

XY = np.array([[0.5, -1.25], [2.0, 3.5], [1e-3, 0.0]])


class Sample(NamedTuple):
    """A request to damage, and the status of its response before."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 200


def as_json(path: str, body: object) -> Sample:
    return Sample(path, {"content-type": "application/json"}, json.dumps(body).encode())


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def binary_inference() -> Sample:
    points = XY.astype("<f4").tobytes()
    tensor = {"name": "points", "shape": [3, 2], "datatype": "FP32", "parameters": {"binary_data_size": len(points)}}
    head = json.dumps({"id": "1", "inputs": [tensor], "outputs": [{"name": "labels"}]}).encode()
    return Sample("/v2/models/plane/infer", {"inference-header-content-length": str(len(head))}, head + points)


def text_inference() -> Sample:
    values = b"".join(struct.pack("<I", len(text)) + text for text in (b"a", b"", b"caf\xc3\xa9"))
    tensor = {"name": "x", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": len(values)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    return Sample("/v2/models/plane/infer", {"inference-header-content-length": str(len(head))}, head + values, 400)


PREDICT = {"model": "plane", "points": XY.tolist()}
FRAME = {"columns": ["x0", "x1"], "data": XY.tolist()}
CSV = b"x0,x1\n0.5,-1.25\n2.0,3.5\n"
COLUMNS = pa.table({"x0": XY[:, 0], "x1": XY[:, 1]})
LISTS = pa.table({"points": XY.tolist()})
TEXTS = pa.table({"x0": XY[:, 0], "x1": ["a", "b", "c"]})
CODES = pa.table({"x": pa.array([0.5, 1.5, 0.5]).dictionary_encode(), "y": pa.array([1.0, 2.0, 3.0])})
COMPRESSED = json.dumps(PREDICT).encode()

SAMPLES = {
    "predict": as_json("/predict", PREDICT),
    "predict-large": as_json("/predict", PREDICT | {"points": [[0.123456789, -0.25]] * 400}),
    "predict-npy": Sample("/predict?model=plane", {"content-type": "application/x-npy"}, npy(XY)),
    "predict-csv": Sample("/predict?model=plane", {"content-type": "text/csv"}, CSV),
    "predict-gzip": Sample(
        "/predict",
        {"content-type": "application/json", "content-encoding": "gzip"},
        gzip.compress(COMPRESSED, mtime=0),
    ),
    "predict-deflate": Sample(
        "/predict", {"content-type": "application/json", "content-encoding": "deflate"}, zlib.compress(COMPRESSED)
    ),
    "invocations": as_json("/invocations?model=plane", {"dataframe_split": FRAME}),
    "invocations-csv": Sample("/invocations?model=plane", {"content-type": "text/csv"}, CSV),
    "infer": as_json(
        "/v2/models/plane/infer",
        {"inputs": [{"name": "points", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 1]}]},
    ),
    "infer-binary": binary_inference(),
    "infer-text": text_inference(),
    "train": as_json(
        "/train?validate_only=true",
        {"model": "fuzzed", "data": {"points": XY.tolist(), "labels": ["a", "b", "a"]}, "training": {"epochs": 3}},
    ),
} | {
    f"predict-arrow-{name}": Sample(
        "/predict?model=plane",
        {"content-type": "application/vnd.apache.arrow.stream"},
        arrow(table),
        422 if name == "texts" else 200,
    )
    for name, table in {"columns": COLUMNS, "lists": LISTS, "texts": TEXTS, "codes": CODES}.items()
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_damaged_body_causes_no_server_error(client: httpx.Client, name: str) -> None:
    path, headers, sample, status = SAMPLES[name]
    assert client.post(path, content=sample, headers=headers).status_code == status

    @few
    @given(damaged(sample))
    def check(body: bytes) -> None:
        answer = client.post(path, content=body, headers=headers)
        assert answer.status_code < 500, answer.text
        assert answer.is_success or answer.json()["error"]

    check()


QUERIES = {
    "/boundary-grid": b"model=plane&resolution=8x8&x_min=0&x_max=1&response=label&format=json",
    "/jobs": b"model=plane&limit=2&status=succeeded",
    "/comparison": b"a=plane:1&b=plane:1&resolution=8x8&x_min=0&x_max=1&format=json",
    "/models": b"limit=2&after=line",
    "/datasets": b"limit=2&after=a",
    "/predict": b"model=plane&version=1",
}
"""A valid query of each path."""


@pytest.mark.slow
@pytest.mark.parametrize("path", QUERIES)
def test_a_damaged_query_causes_no_server_error(client: httpx.Client, path: str) -> None:
    valid = QUERIES[path]
    assert client.get(f"{path}?{valid.decode()}").status_code == (405 if path == "/predict" else 200)

    @few
    @given(damaged(valid).map(lambda query: query.decode("latin-1")), st.sampled_from(["GET", "POST"]))
    def check(query: str, method: str) -> None:
        answer = client.request(method, path, params=httpx.QueryParams(query))
        assert answer.status_code < 500, answer.text

    check()
