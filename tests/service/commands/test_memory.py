"""The memory of a serving process does not grow with the requests that it refuses."""

import io
import json
from collections.abc import Iterator

import numpy as np
import psutil
import pytest

from tests.processes import Service, service

COUNT = 20
BODY_BYTES = 8_000_000

JSON, NPY, ARROW = "application/json", "application/x-npy", "application/vnd.apache.arrow.stream"


pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("memory")) as started:
        yield started


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.full((BODY_BYTES // 8, 2), np.nan, np.float32))
    return file.getvalue()


SPACE = b" " * BODY_BYTES
UNKNOWN = b'{"a": [' + b"1.5," * 390_000 + b"1]" + SPACE + b"}"
ROWS = json.dumps({"model": "none", "threshold": 7, "points": [[1.5, 2.5]] * 100_000}).encode() + SPACE


@pytest.mark.parametrize(
    ("path", "media_type", "body"),
    [
        ("/predict", JSON, UNKNOWN),
        ("/predict", JSON, ROWS),
        ("/predict?model=none", NPY, npy()),
        ("/predict?model=none", ARROW, bytes(BODY_BYTES)),
        ("/invocations?model=none", JSON, UNKNOWN),
        ("/v2/models/none/infer", JSON, UNKNOWN),
        ("/train", JSON, UNKNOWN),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bodies_of_refused_requests_are_released(running: Service, path: str, media_type: str, body: bytes) -> None:
    """An error must not keep the body until the garbage collector runs, thousands of requests later."""
    process = psutil.Process(running.process.pid)

    def refuse(times: int) -> int:
        for _ in range(times):
            answer = running.client.post(path, content=body, headers={"Content-Type": media_type})
            assert 400 <= answer.status_code < 500, answer.text
        return int(process.memory_info().rss)

    before = refuse(4)
    assert refuse(COUNT) - before < COUNT * BODY_BYTES / 2
