"""Rules that hold for all endpoints: query parameters, repeated headers, slow bodies, HEAD, refused methods."""

import codecs
import http.client
import io
import json
import socket
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from tests.contract.job_requests import QUICK, UNKNOWN_ID, endless
from tests.contract.problems import assert_problem
from tests.serving import DEADLINE_S, running, train
from tests.streams import events_of


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/jobs?modle=quick", "modle"),
        ("/jobs?model=quick&model=slow", "model"),
        (f"/events?job={UNKNOWN_ID}&job={UNKNOWN_ID}", "job"),
        (f"/jobs/{UNKNOWN_ID}?verbose", "verbose"),
        ("/health/ready?deep=1", "deep"),
        ("/models?limit=1&limit=1", "limit"),
        ("/boundary-grid?model=quick&model=quick", "model"),
        ("/boundary-grid?model=quick&colour=red", "colour"),
        ("/datasets/flower/points?n=10&n=20", "n"),
    ],
)
def test_unknown_and_repeated_query_parameters_are_refused(client: httpx.Client, path: str, name: str) -> None:
    assert_problem(client.get(path), 422, "invalid-input", field=name)


@pytest.mark.slow
def test_a_list_is_one_parameter_with_commas_or_one_parameter_for_each_item(client: httpx.Client) -> None:
    grid = "/boundary-grid?model=plane&resolution=8"
    for commas, repeated in [
        (f"{grid}&axes=1,0", f"{grid}&axes=1&axes=0"),
        (f"{grid}&format=geojson&levels=0.25,0.5,0.75", f"{grid}&format=geojson&levels=0.25,0.5&levels=0.75"),
        (f"{grid}&format=png&overlay=points,line", f"{grid}&format=png&overlay=points&overlay=line"),
    ]:
        one, other = client.get(commas), client.get(repeated)
        assert (one.status_code, one.content) == (200, other.content)
    jobs = [train(client, "in-one-stream", training={"epochs": 1})["id"] for _ in range(2)]
    one, other = (client.get(f"/events?job={jobs[0]}{by}{jobs[1]}") for by in (",", "&job="))
    assert [event.number for event in events_of(one.text.splitlines())] == [
        event.number for event in events_of(other.text.splitlines())
    ]


def test_a_list_of_outputs_for_an_array_may_be_repeated_parameters(client: httpx.Client) -> None:
    array = io.BytesIO()
    np.save(array, np.zeros((2, 2), np.float32))
    headers = {"Content-Type": "application/x-npy", "Accept": "application/json"}
    one, other = (
        client.post(f"/predict?model=plane&outputs=labels{by}logits", content=array.getvalue(), headers=headers)
        for by in (",", "&outputs=")
    )
    assert one.json() == other.json()
    assert "logits" in one.json()


def test_repeated_query_parameters_of_a_binary_request_are_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/x-npy"}
    answer = client.post("/predict?model=quick&model=slow", content=b"", headers=headers)
    assert_problem(answer, 422, "invalid-input", field="model", place="query")


def test_a_repeated_header_counts_as_one_list(client: httpx.Client) -> None:
    twice = [("Idempotency-Key", "one"), ("Idempotency-Key", "other")]
    answer = client.post("/jobs", json=QUICK, headers=twice)
    assert_problem(answer, 422, "invalid-input", field="Idempotency-Key", place="header")
    job = train(client, "quick")
    path = job["links"]["self"]
    preferred = client.get(path, headers=[("Prefer", "respond-async"), ("Prefer", "wait=2")])
    assert preferred.headers["preference-applied"] == "wait=2"
    tags = [("If-None-Match", '"another"'), ("If-None-Match", preferred.headers["etag"])]
    assert client.get(path, headers=tags).status_code == 304


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that waits half a second for the next part of a body."""
    with running(tmp_path_factory.mktemp("impatient"), training_processes=0, body_timeout_s=0.5) as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/train", "/predict"])
def test_a_body_that_stops_arriving_is_refused(impatient: httpx.Client, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    address = (impatient.base_url.host, impatient.base_url.port or 80)
    with socket.create_connection(address, timeout=DEADLINE_S) as connection:
        for part in (head, '{"model": ', '"m"'):
            connection.sendall(part.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 408
        assert b"body-too-slow" in answer.read()
    assert impatient.get("/health/live").is_success


@pytest.mark.parametrize("path", ["/predict", "/v2/models/m/infer", "/invocations", "/train"])
def test_a_body_that_is_announced_as_too_large_is_refused_before_it_arrives(client: httpx.Client, path: str) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), DEADLINE_S) as connection:
        headers = f"Content-Type: application/json\r\nContent-Length: {2**40}\r\nExpect: 100-continue"
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] == b"413"


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    ["/health/live", "/health/ready", "/jobs", "/models", "/metrics", "/boundary-grid?model=plane&resolution=9"],
)
def test_head_returns_the_headers_of_get(client: httpx.Client, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    varying = {"date", "x-request-id", "content-length"}
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in whole.headers.items() if k not in varying
    }
    assert client.get(path).status_code == 200, "the connection can be used again"


@pytest.mark.slow
def test_head_of_a_stream_ends_at_once(client: httpx.Client) -> None:
    with endless(client) as job:
        answer = client.head(job["links"]["events"], headers={"Accept": "text/event-stream"})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


def test_head_is_refused_where_only_post_is_allowed(client: httpx.Client) -> None:
    assert client.head("/train").status_code == 405


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs/{}"),
        ("DELETE", "/jobs/{}"),
        ("POST", "/jobs/{}/cancel"),
        ("POST", "/jobs/{}/pause"),
        ("POST", "/jobs/{}/resume"),
        ("POST", "/jobs/{}/retry"),
        ("GET", "/jobs/{}/checkpoint"),
    ],
)
def test_requests_about_a_job_that_does_not_exist_are_refused(client: httpx.Client, method: str, path: str) -> None:
    assert_problem(client.request(method, path.format(UNKNOWN_ID)), 404, "job-not-found")
    for malformed in ("nonsense", UNKNOWN_ID[1:], UNKNOWN_ID + "0", "F" * 24, "%00", "0" * 10_000):
        answer = client.request(method, path.format(malformed))
        assert_problem(answer, 404, "job-not-found")
        assert malformed not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/train", {"OPTIONS", "POST"}),
        ("PUT", "/jobs", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("DELETE", "/jobs", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", f"/jobs/{UNKNOWN_ID}", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ("PATCH", f"/jobs/{UNKNOWN_ID}", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ("GET", f"/jobs/{UNKNOWN_ID}/cancel", {"OPTIONS", "POST"}),
        ("DELETE", f"/jobs/{UNKNOWN_ID}/checkpoint", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_refused_method_names_the_allowed_ones(
    client: httpx.Client, method: str, path: str, allowed: set[str]
) -> None:
    answer = client.request(method, path)
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert answer.json()["detail"] == f"This path allows {answer.headers['allow']}."


@pytest.mark.parametrize("path", ["/predict", "/train", "/jobs", f"/jobs/{UNKNOWN_ID}", "/boundary-grid", "/docs"])
def test_options_returns_the_methods_of_a_path(client: httpx.Client, path: str) -> None:
    answer = client.options(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == client.patch(path).headers["allow"]
    assert_problem(client.options("/nowhere"), 404, "no-such-path")


def test_a_problem_names_the_part_of_the_request_that_has_the_field(client: httpx.Client) -> None:
    array = {"content": b"", "headers": {"Content-Type": "application/x-npy"}}
    for answer, place, field in (
        (client.post("/train", json=QUICK | {"training": {"epochs": 0}}), "body", "training.epochs"),
        (client.post("/train", json=QUICK | {"data": {"dataset": "flower", "n_classes": 3}}), "body", "data.n_classes"),
        (client.post("/train?validate_only=maybe", json=QUICK), "query", "validate_only"),
        (client.post("/train?verbose=1", json=QUICK), "query", "verbose"),
        (client.post("/train", json=QUICK, headers={"Idempotency-Key": "a b"}), "header", "Idempotency-Key"),
        (client.get("/boundary-grid?model=plane&x_min=3&x_max=2"), "query", "x_max"),
        (client.post("/predict", json={"model": "plane", "points": [[1]]}), "body", "points"),
        (client.post("/predict?model=plane", **array), "body", "body"),
        (client.post("/predict", **array), "query", "model"),
        (client.post("/predict?model=plane&threshold=2", **array), "query", "threshold"),
    ):
        assert_problem(answer, 422, "invalid-input", field=field, place=place)


def test_responses_without_a_body_have_no_content_type(client: httpx.Client) -> None:
    job = train(client, "bodiless")
    path = job["links"]["self"]
    known = client.get(path).headers["etag"]
    events = {"Accept": "text/event-stream", "Last-Event-ID": "999"}
    for answer, status in (
        (client.get(path, headers={"If-None-Match": known}), 304),
        (client.get(job["links"]["events"], headers=events), 204),
        (client.delete(path), 204),
    ):
        assert (answer.status_code, answer.content) == (status, b"")
        assert "content-type" not in answer.headers


def test_integers_may_be_written_as_whole_floats(client: httpx.Client) -> None:
    assert client.post("/predict", json={"model": "plane", "version": 1.0, "points": [[0, 0]]}).json()["version"] == 1
    data = {"points": [[0], [1], [2], [3]], "labels": [7.0, 7, -1, -1.0]}
    settings = {"epochs": 20.0, "batch_size": 2.0, "seed": 3.0, "restarts": 1.0, "patience": 1e3}
    request = {"model": "floats", "data": data, "network": {"hidden": [2.0]}, "training": settings}
    job = train(client, **request)
    assert (job["status"], job["training"]["epochs"], job["network"]["hidden"]) == ("succeeded", 20, [2])
    assert client.get(job["links"]["version"]).json()["card"]["classes"] == [-1, 7]
    for field, body in (
        ("training.epochs", request | {"training": {"epochs": 20.5}}),
        ("training.epochs", request | {"training": {"epochs": "20"}}),
        ("training.epochs", request | {"training": {"epochs": True}}),
        ("data.labels.0", request | {"data": data | {"labels": [7.5, 7, -1, -1]}}),
    ):
        assert_problem(client.post("/train", json=body), 422, "invalid-input", field=field)


RECORDS = ['{"u": 0, "v": 1}'] * 300


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/predict", '{"model": "plane", "points": [[0, 1]], "points": [[2, 3]]}', "points"),
        ("/predict", '{"model": "plane", "model": "line", "points": [[0, 1]]}', "model"),
        ("/predict", '{"model": "plane", "version": 1, "version": null, "points": [[0, 1]]}', "version"),
        ("/predict", '{"model": "plane", "points": [[0, 1]], "po\\u0069nts": [[2, 3]]}', "points"),
        ("/predict", '{"model": "plane", "points": [{"u": 0, "v": 1, "u": 2}]}', "u"),
        (
            "/predict",
            f'{{"model": "plane", "points": [{", ".join([*RECORDS, RECORDS[0][:-1] + """, "v": 2}"""])}]}}',
            "v",
        ),
        (
            "/predict",
            f'{{"model": "plane", "points": [{", ".join([one[:-1] + """, "v": 2}""" for one in RECORDS])}]}}',
            "v",
        ),
        ("/train", '{"model": "m", "data": {"dataset": "flower", "seed": 1, "seed": 2}}', "seed"),
        ("/train", '{"model": "m", "data": {"dataset": "flower"}, "metadata": {"a": "x", "a": "y"}}', "a"),
        ("/invocations?model=plane", '{"inputs": [[0, 1]], "inputs": [[2, 3]]}', "inputs"),
    ],
)
def test_a_key_that_an_object_has_several_times_is_refused(
    client: httpx.Client, path: str, body: str, field: str
) -> None:
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, 422, "invalid-input", field=field, place="body")
    assert "give it once" in answer.json()["detail"]


def test_the_same_key_in_several_objects_is_accepted(client: httpx.Client) -> None:
    body = {"model": "m", "data": {"dataset": "flower"}, "metadata": {"dataset": '"dataset": 1', "model": "{:}"}}
    assert client.post("/train?validate_only=true", json=body).status_code == 200


@pytest.mark.parametrize("points", [1, 1_000])
def test_a_byte_order_mark_before_json_is_ignored(client: httpx.Client, points: int) -> None:
    body = json.dumps({"model": "plane", "points": [[0.25, 0.5]] * points}).encode()
    headers = {"Content-Type": "application/json"}
    plain, marked = (client.post("/predict", content=mark + body, headers=headers) for mark in (b"", codecs.BOM_UTF8))
    assert (marked.status_code, marked.json()["labels"]) == (200, plain.json()["labels"])
    training = codecs.BOM_UTF8 + json.dumps(QUICK).encode()
    assert client.post("/train?validate_only=true", content=training, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["/jobs", "/models?limit=1", "/boundary-grid?model=plane&resolution=9", "/datasets/flower/points?n=10"]
)
def test_the_cache_buster_of_jquery_is_ignored(client: httpx.Client, path: str) -> None:
    plain = client.get(path)
    sign = "&" if "?" in path else "?"
    assert client.get(f"{path}{sign}_=1700000000000").json() == plain.json()
    if sign == "&":
        first = path.replace("?", "?_=17&")
        assert client.get(first).json() == plain.json()
    assert_problem(client.get(f"{path}{sign}__=1"), 422, "invalid-input", field="__")
