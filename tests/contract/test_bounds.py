"""The bounds of requests: each is enforced, and the response names it. docs/limits.md lists them."""

import gzip
import json
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
import pytest

from models import limits
from service.http.bodies import request_body
from service.store import disk
from tests.contract.problems import assert_problem
from tests.serving import DEADLINE_S, running, wait_until

JSON = {"Content-Type": "application/json"}
POINTS = {"model": "plane", "points": [[0.0, 0.0]]}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with low limits and without models."""
    settings: dict[str, Any] = {
        "max_body_bytes": 4 * 2**20,
        "max_bodies_bytes": 2**20,
        "max_dataset_bytes": 10_000,
        "max_checkpoint_bytes": 10_000,
        "max_points_per_request": 50,
        "max_queued_jobs": 1,
    }
    with running(tmp_path_factory.mktemp("small"), training_processes=0, **settings) as client:
        yield client


def training(**body: Any) -> dict[str, Any]:
    return {"model": "m", "data": {"dataset": "flower"}} | body


def nested(depth: int) -> bytes:
    return b'{"model": "plane", "points": ' + b"[" * depth + b"]" * depth + b"}"


def detail(answer: httpx.Response) -> str:
    """The detail of a problem, with commas in all its large numbers, even where the message has none."""
    found: str = answer.json()["detail"]
    return re.sub("[0-9]{5,}", lambda number: f"{int(number[0]):,}", found)


WIDE = [[0.0] * (limits.MAX_FEATURES + 1)] * 2
MANY = [f"c{number}" for number in range(limits.MAX_CLASSES + 1)]


@pytest.mark.parametrize(
    ("path", "body", "bound"),
    [
        ("/predict", POINTS | {"points": [[0, 0]] * (limits.MAX_POINTS + 1)}, "100,000"),
        ("/predict", {"model": "plane", "points": [[]] * (limits.MAX_POINTS + 1_001)}, "101,000"),
        ("/train", training(data={"points": WIDE, "labels": [0, 1]}), "1,000"),
        ("/train", training(data={"points": [[i] for i in range(101)], "labels": MANY}), "100"),
        ("/train", training(data={"points": [[0], [1]], "labels": ["a", "b" * 65]}), "64"),
        ("/train", training(data={"points": [[0], [1e31]], "labels": [0, 1]}), "1e+30"),
        ("/train", training(data={"dataset": "flower", "n": 100_001}), "100,000"),
        ("/train", training(network={"hidden": [1] * 17}), "16"),
        ("/train", training(network={"hidden": [1_025]}), "1,024"),
        ("/train", training(network={"hidden": [1_024] * 16}), "4,000,000"),
        ("/train", training(training={"epochs": 1_000_001}), "1,000,000"),
        ("/train", training(training={"restarts": 1_001}), "1,000"),
        ("/train", training(training={"epochs": 1_000_000, "restarts": 1_000}), "100,000,000"),
        (
            "/train",
            training(training={"epochs": 1_000_000, "restarts": 100}, network={"hidden": [1_000, 1_000]}),
            "10,000,000,000,000",
        ),
        ("/train", training(metadata={f"{number}": "" for number in range(17)}), "16"),
        ("/train", training(metadata={"a": "b" * 513}), "512"),
        ("/train", training(model="m" * 64), "63"),
    ],
)
def test_a_body_beyond_a_bound_is_refused_with_the_bound(
    client: httpx.Client, path: str, body: dict[str, Any], bound: str
) -> None:
    answer = client.post(path, json=body)
    assert_problem(answer, 422, "invalid-input")
    assert bound in detail(answer)


@pytest.mark.parametrize(
    ("query", "bound"),
    [
        ("model=plane&resolution=4097x2", "4,096"),
        ("model=plane&resolution=4096", "1,048,576"),
        ("model=plane&resolution=8193&adaptive=true&format=png", "8,192"),
        ("model=plane&resolution=4&levels=" + ",".join(["0.5"] * 21) + "&format=geojson", "20"),
        ("model=" + "m" * 64, "63"),
    ],
)
def test_a_grid_beyond_a_bound_is_refused_with_the_bound(client: httpx.Client, query: str, bound: str) -> None:
    answer = client.get(f"/boundary-grid?{query}")
    assert_problem(answer, 422, "invalid-input")
    assert bound in detail(answer)


@pytest.mark.parametrize("depth", [300, 5_000, 100_000])
@pytest.mark.parametrize("path", ["/predict", "/train", "/invocations?model=plane", "/v2/models/plane/infer"])
def test_json_of_any_depth_is_refused_without_a_fault(client: httpx.Client, path: str, depth: int) -> None:
    answer = client.post(path, content=nested(depth), headers=JSON)
    assert answer.status_code in (400, 422)
    assert len(answer.content) < 2_000


Send = Callable[[bytes], dict[str, Any]]
WAYS: dict[str, Send] = {
    "plain": lambda body: {"content": body},
    "chunked": lambda body: {"content": iter([body[:100_000], body[100_000:]])},
    "compressed": lambda body: {"content": gzip.compress(body), "headers": JSON | {"Content-Encoding": "gzip"}},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("path", "media_type", "length", "bound"),
    [
        ("/predict", "application/json", 4 * 2**20 + 1, "4,194,304"),
        ("/invocations?model=m", "application/json", 4 * 2**20 + 1, "4,194,304"),
        ("/v2/models/m/infer", "application/json", 4 * 2**20 + 1, "4,194,304"),
        ("/train", "application/json", 4 * 2**20 + 1, "4,194,304"),
        ("/datasets/d", "text/csv", 10_001, "10,000"),
        ("/models/m/versions", "application/octet-stream", 10_001, "10,000"),
    ],
)
def test_a_body_that_is_too_long_is_refused_however_it_is_sent(
    small: httpx.Client, path: str, media_type: str, length: int, bound: str, way: str
) -> None:
    sent = WAYS[way](b" " * length)
    headers = sent.pop("headers", {}) | {"Content-Type": media_type}
    answer = small.post(path, headers=headers, **sent)
    # Bodies above `max_bodies_bytes` may be refused for that first.
    assert (answer.status_code, bound in answer.text) == (413, True) or answer.status_code == 503, answer.text
    if way == "plain":
        assert answer.status_code == 413


def test_the_settings_of_points_and_of_the_queue_are_enforced(small: httpx.Client) -> None:
    answer = small.post("/predict", json=POINTS | {"points": [[0, 0]] * 51})
    assert "50" in answer.json()["detail"]
    assert small.post("/train", json=training()).status_code == 202
    answer = small.post("/train", json=training())
    assert_problem(answer, 429, "queue-full")
    assert "which is 1" in answer.json()["detail"]


def test_large_bodies_in_memory_have_a_common_bound_and_small_ones_do_not(small: httpx.Client) -> None:
    head = (
        "POST /train HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n"
    )
    large = json.dumps(training(data={"points": [[0, 0]] * 50_000, "labels": [0] * 50_000})).encode()
    address = (small.base_url.host, small.base_url.port or 80)

    def held_bytes() -> int:
        line = next(one for one in small.get("/metrics").text.splitlines() if one.startswith("separatrix_request_bod"))
        return int(float(line.split()[1]))

    with socket.create_connection(address, timeout=DEADLINE_S) as slow:
        slow.sendall(head.encode() + b" " * 1_000_000)
        wait_until(lambda: held_bytes() > 800_000)
        answer = small.post("/train", content=large, headers=JSON)
        assert_problem(answer, 503, "too-many-bodies")
        assert "1,048,576" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "1"
        assert small.post("/predict", json=POINTS | {"points": [[0, 0]] * 50}).status_code == 404, "it was not read"
    wait_until(lambda: held_bytes() == 0)
    assert small.post("/train", content=large, headers=JSON).status_code in (422, 429)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/train?validate_only=true", "/predict"])
def test_while_large_bodies_are_parsed_small_requests_are_answered(client: httpx.Client, path: str) -> None:
    points = [[0, False]] * 20_000  # only the schema reads such points
    body = training(data={"points": points, "labels": [0, 1] * 10_000})
    if path == "/predict":
        body = {"model": "plane", "points": points}
    with ThreadPoolExecutor() as threads, httpx.Client(base_url=client.base_url, timeout=60) as sender:
        with request_body.PARSING:  # as while another large body is parsed
            large = [threads.submit(sender.post, path, json=body) for _ in range(6)]
            wait(large, timeout=0.1)
            assert [one.result().text for one in large if one.done()] == []
            assert client.get("/health/live").status_code == 200
            assert client.post("/predict", json=POINTS).status_code == 200
        assert {one.result().status_code for one in large} == {200}


@pytest.mark.slow
def test_with_a_full_data_folder_only_trainings_imports_and_uploads_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x" * 2**20)
    with running(tmp_path, training_processes=0, max_data_bytes=2**20) as client:
        wait_until(lambda: client.post("/train", json=training()).status_code == 507)
        for path, media_type in (
            ("/train", "application/json"),
            ("/datasets/d", "text/csv"),
            ("/models/m/versions", "application/octet-stream"),
        ):
            answer = client.post(path, content=json.dumps(training()), headers={"Content-Type": media_type})
            assert_problem(answer, 507, "data-folder-full")
            assert "1,048,576" in answer.json()["detail"]
        assert client.get("/models").status_code == 200
        assert client.post("/train?validate_only=true", json=training()).status_code == 200
        assert "separatrix_data_bytes " in client.get("/metrics").text


@pytest.mark.slow
def test_an_upload_that_does_not_fit_is_refused_before_it_is_received(tmp_path: Path) -> None:
    with running(tmp_path, training_processes=0, max_data_bytes=8 * 2**20) as client:
        answer = client.post("/datasets/d", content=b" " * 9 * 2**20, headers={"Content-Type": "text/csv"})
        assert_problem(answer, 507, "data-folder-full")


def test_the_use_of_the_disk_counts_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_bytes(b"x" * 100_000)
    before = disk.size_bytes(tmp_path)
    assert 100_000 <= before < 120_000
    (tmp_path / "a" / "b" / "link").hardlink_to(tmp_path / "a" / "file")
    (tmp_path / "outside").symlink_to("/")
    assert disk.size_bytes(tmp_path) < before + 10_000
