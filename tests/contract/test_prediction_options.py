"""Options and formats of `POST /predict`: parts, thresholds, margins, gzip bodies, Arrow; request ids and metrics."""

import gzip
import io
import math
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pytest

from tests.contract.problems import assert_problem
from tests.serving import running, train

ARROW = "application/vnd.apache.arrow.stream"
NPY = "application/x-npy"
JSON = {"Content-Type": "application/json"}
POINTS = np.random.default_rng(5).uniform(-4, 4, (300, 2))


def predict(client: httpx.Client, *, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return client.post("/predict", json={"model": "plane", "points": POINTS.tolist()} | body, headers=headers)


def test_only_the_requested_parts_are_returned(client: httpx.Client) -> None:
    everything = predict(client, outputs=["labels", "probabilities", "logits"]).json()
    for part in ("labels", "probabilities", "logits"):
        alone = predict(client, outputs=[part]).json()
        assert set(alone) == {"model", "version", "classes", part}
        assert alone[part] == everything[part]
    by_default = predict(client).json()
    assert set(by_default) == {"model", "version", "classes", "labels", "probabilities"}


def test_the_sigmoid_of_the_logit_is_the_probability_of_the_second_class(client: httpx.Client) -> None:
    body = predict(client, outputs=["probabilities", "logits"]).json()
    logits = np.array(body["logits"])
    assert logits.shape == (300, 1)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 0])), np.array(body["probabilities"])[:, 1], atol=1e-6)


def test_the_softmax_of_the_logits_is_the_probabilities_of_three_classes(client: httpx.Client) -> None:
    body = predict(client, model="trio", outputs=["probabilities", "logits"]).json()
    exponentials = np.exp(np.array(body["logits"]))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(body["probabilities"], expected, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.001, 0.25, 0.5, 0.9])
def test_a_point_gets_the_second_label_if_its_probability_is_above_the_threshold(
    client: httpx.Client, threshold: float
) -> None:
    body = predict(client, threshold=threshold).json()
    expected = [body["classes"][p > threshold] for _, p in body["probabilities"]]
    assert body["labels"] == expected
    one = predict(client, threshold=threshold, points=POINTS[:1].tolist()).json()
    assert one["labels"] == expected[:1]


def test_a_margin_is_the_lead_of_the_label_over_the_likeliest_other_class(client: httpx.Client) -> None:
    for model in ("plane", "trio"):
        body = predict(client, model=model, outputs=["labels", "probabilities", "margins"]).json()
        likeliest = np.sort(np.array(body["probabilities"]), axis=1)
        np.testing.assert_allclose(body["margins"], likeliest[:, -1] - likeliest[:, -2], atol=1e-6)
    overruled = predict(client, outputs=["probabilities", "margins"], threshold=0.999999).json()
    red, blue = np.array(overruled["probabilities"]).T
    np.testing.assert_allclose(overruled["margins"], np.where(blue > 0.999999, blue - red, red - blue), atol=1e-6)
    assert min(overruled["margins"]) < 0


@pytest.mark.parametrize(
    "options", [{}, {"threshold": 0.8}, {"threshold": 0.97}, {"threshold": 0.03}, {"model": "trio"}], ids=str
)
def test_the_nearest_change_has_another_label_and_no_nearer_point_has(
    client: httpx.Client, options: dict[str, Any]
) -> None:
    points = POINTS[:40]
    body = predict(client, points=points.tolist(), outputs=["labels", "nearest"], **options).json()
    found = body["nearest"]
    assert len(found) == 40
    for point, label, change in zip(points, body["labels"], found, strict=True):
        assert change["point"] is not None
        away = np.array(change["point"]) - point
        assert change["distance"] == pytest.approx(np.hypot(*away), abs=1e-5)
        assert change["at_least"] <= change["distance"] * (1 + 1e-6)
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        near = point + 0.999 * change["at_least"] * np.column_stack([np.cos(angles), np.sin(angles)])
        # slightly beyond the point found, where the difference is representable in float32
        there = predict(client, points=[*near.tolist(), (point + 1.001 * away).tolist()], **options).json()["labels"]
        assert set(there[:-1]) == {label}
        assert there[-1] != label
    assert np.median([1 - change["at_least"] / change["distance"] for change in found]) < 1e-3


def test_a_network_with_one_label_everywhere_has_no_nearest_change(client: httpx.Client) -> None:
    data = {"points": [[0, 0], [1, 1], [0, 1]], "labels": ["a", "a", "b"]}
    train(client, "settled", data=data, network={"kind": "logistic"}, training={"epochs": 1, "learning_rate": 1e-9})
    body = predict(client, model="settled", points=[[0, 0]], outputs=["nearest"], threshold=0.999999).json()
    assert body["nearest"][0]["point"] is None
    assert body["nearest"][0]["distance"] is None
    assert body["nearest"][0]["at_least"] > 0
    request = {"model": "settled", "points": [[0, 0]], "outputs": ["nearest"], "threshold": 0.999999}
    table = pa.ipc.open_stream(predict(client, headers={"Accept": ARROW}, **request).content).read_all()
    assert table["nearest"].to_pylist() == body["nearest"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"outputs": ["nearest"], "model": "line", "points": [[0]]}, "outputs"),
        ({"outputs": ["nearest"], "points": [[0, 0]] * 1_001}, "outputs"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": 1}, "threshold"),
        ({"threshold": "0.5"}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"threshold": 0.5, "model": "trio"}, "threshold"),
        ({"outputs": []}, "outputs"),
        ({"outputs": ["labels"] * 2}, "outputs"),
        ({"outputs": ["labels"] * 6}, "outputs"),
        ({"outputs": ["colours"]}, "outputs.0"),
        ({"outputs": "labels"}, "outputs"),
        ({"margin": True}, "margin"),
        ({"return": ["labels"]}, "return"),
    ],
)
@pytest.mark.parametrize("count", [1, 300])
def test_an_invalid_option_is_rejected_with_its_name(
    client: httpx.Client, change: dict[str, Any], field: str, count: int
) -> None:
    points = POINTS[:count].tolist()
    request = {"points": points} | change
    assert_problem(predict(client, **request), 422, "invalid-input", field=field)


def test_a_single_point_gets_the_same_answer_as_among_many(client: httpx.Client) -> None:
    many = predict(client, outputs=["labels", "probabilities", "margins"]).json()
    for i in range(20):
        alone = predict(client, points=POINTS[i : i + 1].tolist()).json()
        assert alone["labels"] == many["labels"][i : i + 1]
        np.testing.assert_allclose(alone["probabilities"][0], many["probabilities"][i], atol=1e-6)


@pytest.mark.parametrize("part", ["labels", "probabilities", "logits", "margins"])
def test_an_npy_response_holds_the_requested_part(client: httpx.Client, part: str) -> None:
    as_json = predict(client, outputs=[part]).json()
    array = np.load(io.BytesIO(predict(client, headers={"Accept": NPY}, outputs=[part]).content))
    if part == "labels":
        assert array.dtype == np.uint8
        assert [as_json["classes"][k] for k in array] == as_json["labels"]
    else:
        np.testing.assert_array_equal(array, np.array(as_json[part], np.float32))


def test_an_npy_response_cannot_hold_more_than_one_part(client: httpx.Client) -> None:
    two = predict(client, headers={"Accept": NPY}, outputs=["labels", "logits"])
    assert_problem(two, 422, "invalid-input", field="outputs")
    nearest = predict(client, headers={"Accept": NPY}, outputs=["nearest"])
    assert_problem(nearest, 422, "invalid-input", field="outputs")


def test_options_of_an_array_body_are_query_parameters(client: httpx.Client) -> None:
    file = io.BytesIO()
    np.save(file, POINTS)

    def post(**query: Any) -> httpx.Response:
        headers = {"Content-Type": NPY, "Accept": "application/json"}
        return client.post("/predict", content=file.getvalue(), params={"model": "plane"} | query, headers=headers)

    options = {"outputs": "labels,logits,margins", "threshold": 0.9}
    as_json = predict(client, outputs=["labels", "logits", "margins"], threshold=0.9)
    assert post(**options).json() == as_json.json()
    for value, field in (("labels;logits", "outputs.0"), ("labels,labels", "outputs"), ("", "outputs.0")):
        assert_problem(post(outputs=value), 422, "invalid-input", field=field, place="query")
    for name, value in {"threshold": "much", "version": "x", "margin": "true"}.items():
        assert_problem(post(**{name: value}), 422, "invalid-input", field=name, place="query")


@pytest.mark.slow
def test_rejected_points_are_not_counted(client: httpx.Client) -> None:
    before = metrics(client)["separatrix_points_total"]
    assert predict(client, points=[[0, 0, 0]] * 300).status_code == 422
    assert metrics(client)["separatrix_points_total"] == before


@pytest.mark.parametrize(
    "body",
    [
        *({"model": model, "points": POINTS[:count].tolist()} for model in ("plane", "trio") for count in (1, 3, 8, 9)),
        {"model": "plane", "version": 1, "points": [[1, -2]]},
        {"model": "line", "points": [[2], [-1e5]]},
        {"model": "plane", "points": [[1e7, 0]]},
        {"model": "plane", "points": [[0, 1e31]]},
        {"model": "plane", "points": [[0, 0], [1]]},
        {"model": "plane", "points": [[]]},
        {"model": "plane", "points": []},
        {"model": "plane", "version": 7, "points": [[0, 0]]},
        {"model": "nobody", "points": [[0, 0]]},
        {"model": "plane", "version": True, "points": [[0, 0]]},
        {"model": "plane", "points": [[0, True]]},
        {"model": "plane", "points": [0.5, 1]},
        {"model": "plane", "points": [{"x": 0.5, "y": 1}]},
        {"model": "plane", "instances": [[0.5, 1]]},
        {"model": "plane", "points": [[0, 0]], "colour": 1},
    ],
    ids=str,
)
def test_the_fast_path_gives_the_same_response_as_the_endpoint(client: httpx.Client, body: dict[str, Any]) -> None:
    fast = client.post("/predict", json=body)
    ordinary = client.post("/predict", json=body, headers={"Accept": "application/json;q=0.9"})  # not on the fast path
    assert fast.status_code == ordinary.status_code
    one, other = fast.json(), ordinary.json()
    if fast.status_code == 200:
        np.testing.assert_allclose(one.pop("probabilities"), other.pop("probabilities"), atol=1e-6)
    assert one == other


def test_long_labels_are_returned_like_short_ones(client: httpx.Client) -> None:
    data = {"points": [[0], [1], [2], [3]], "labels": ["b", "b", "a, \\" + "\u00e9" * 40, "a, \\" + "\u00e9" * 40]}
    train(client, "wordy", data=data, network={"kind": "logistic"}, training={"epochs": 500})
    body = predict(client, model="wordy", points=[[0], [3]] * 200).json()
    assert set(body["labels"]) == set(data["labels"])
    assert body["labels"][:2] == predict(client, model="wordy", points=[[0], [3]]).json()["labels"]


LONG = b" " * 3_000


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "plane", "points": null, "threshold": [[0.5, 1], [2, 3]]}',
        b'{"model": "plane", "points": null, "outputs": [[0.5, 1], [2, 3]]}',
        b'{"model": "plane", "points": [[1, 2]], "points": null}',
        b'{"model": "plane", "model": "\\"points\\": [[1, 2]]", "points": [[1], [2]]}',
        b'{"model": "plane", "points": [[1, 2], [3]]}',
        b'{"model": "plane", "points": [[1, 2], [3, null]]}',
        b'{"model": "plane", "points": [[1, 2], [3, [4]]]}',
        b'{"model": "plane", "points": [[1, 2],, [3, 4]]}',
        b'{"model": "plane", "points": [[1, 2], [3, 4],]}',
        b'{"model": "plane", "points": [[1, 2] [3, 4]]}',
        b'{"model": "plane", "points": [[1, 2], [3, 4]], "colour": "red"}',
    ],
)
def test_a_long_body_is_rejected_with_the_same_errors_as_a_short_one(client: httpx.Client, body: bytes) -> None:
    short = client.post("/predict", content=body, headers=JSON)
    long = client.post("/predict", content=body[:-1] + LONG + b"}", headers=JSON)
    assert short.status_code in (400, 422)
    assert long.status_code == short.status_code
    assert long.json()["errors"] == short.json()["errors"]


# ---- gzip bodies


@pytest.mark.parametrize("size", [1, 300])
def test_a_gzip_body_gets_the_same_answer_as_an_uncompressed_one(client: httpx.Client, size: int) -> None:
    body = orjson.dumps({"model": "plane", "points": POINTS[:size].tolist()})
    compressed = client.post("/predict", content=gzip.compress(body), headers=JSON | {"Content-Encoding": "gzip"})
    assert compressed.status_code == 200, compressed.text
    uncompressed = client.post("/predict", content=body, headers=JSON).json()
    assert compressed.json()["labels"] == uncompressed["labels"]
    np.testing.assert_allclose(compressed.json()["probabilities"], uncompressed["probabilities"], atol=1e-6)


def bomb() -> bytes:
    """64 MiB, compressed. It is made for its test only: that takes half a second."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([packer.compress(b" " * 2**20) for _ in range(64)] + [packer.flush()])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"not gzip at all", 422, "invalid-input"),
        (b"", 422, "invalid-input"),
        (gzip.compress(b'{"model": "plane", "points": [[0, 0]]}', mtime=0)[:-6], 422, "invalid-input"),
        (gzip.compress(b'{"model": "plane", "points": [[0, 0]]}', mtime=0) + b"more", 422, "invalid-input"),
        (zlib.compress(b'{"model": "plane", "points": [[0, 0]]}'), 422, "invalid-input"),
        (bomb, 413, "body-too-large"),
    ],
    ids=["not gzip", "empty", "truncated", "trailing bytes", "zlib", "bomb"],
)
def test_a_damaged_gzip_body_or_one_that_decompresses_to_too_much_is_rejected(
    client: httpx.Client, content: bytes | Callable[[], bytes], status: int, code: str
) -> None:
    headers = JSON | {"Content-Encoding": "gzip"}
    content = content if isinstance(content, bytes) else content()
    assert_problem(client.post("/predict", content=content, headers=headers), status, code)
    assert_problem(client.post("/train", content=content, headers=headers), status, code)


def test_another_content_encoding_is_rejected(client: httpx.Client) -> None:
    answer = client.post("/predict", content=b"?", headers=JSON | {"Content-Encoding": "br"})
    assert_problem(answer, 415, "unsupported-media-type")


# ---- Arrow


def stream(*batches: pa.RecordBatch, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def columns(xy_ND: np.ndarray, kind: pa.DataType | None = None) -> pa.RecordBatch:
    kind = kind or pa.float64()
    return pa.record_batch({f"x{d}": pa.array(xy_ND[:, d]).cast(kind) for d in range(xy_ND.shape[1])})


def lists(xy_ND: np.ndarray) -> pa.RecordBatch:
    return pa.record_batch({"points": pa.FixedSizeListArray.from_arrays(pa.array(xy_ND.ravel()), xy_ND.shape[1])})


def post_arrow(client: httpx.Client, content: bytes, accept: str = "application/json", **query: Any) -> httpx.Response:
    headers = {"Content-Type": ARROW, "Accept": accept}
    return client.post("/predict", content=content, params={"model": "plane"} | query, headers=headers)


@pytest.mark.parametrize(
    "content",
    [
        stream(columns(POINTS)),
        stream(lists(POINTS)),
        stream(columns(POINTS[:100]), columns(POINTS[100:])),
        stream(lists(POINTS).slice(0, 7), lists(POINTS).slice(7)),
    ],
    ids=["columns", "lists", "two batches", "slices"],
)
def test_an_arrow_stream_gets_the_same_answer_as_the_same_points_in_json(client: httpx.Client, content: bytes) -> None:
    answer = post_arrow(client, content)
    assert answer.status_code == 200, answer.text
    assert answer.json() == predict(client).json()


def test_an_arrow_stream_may_hold_float32(client: httpx.Client) -> None:
    single = post_arrow(client, stream(columns(POINTS.astype(np.float32), pa.float32())))
    np.testing.assert_allclose(single.json()["probabilities"], predict(client).json()["probabilities"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["plane", "trio"])
def test_an_arrow_response_has_the_values_of_the_json_response(client: httpx.Client, model: str) -> None:
    outputs = ["nearest", "labels", "probabilities", "logits", "margins"]
    request = {"model": model, "outputs": outputs}
    as_json = predict(client, **request).json()
    answer = predict(client, headers={"Accept": ARROW}, **request)
    assert answer.headers["content-type"] == ARROW
    assert answer.headers["separatrix-version"] == "1"
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.column_names == outputs == list(as_json)[3:]
    for name in ("labels", "nearest"):
        assert table[name].to_pylist() == as_json[name]
    for name in ("probabilities", "logits", "margins"):
        np.testing.assert_array_equal(np.array(table[name].to_pylist(), np.float32), np.array(as_json[name], "f4"))
    about = orjson.loads(table.schema.metadata[b"separatrix"])
    assert about == {key: as_json[key] for key in ("model", "version", "classes")}


def with_null(xy_ND: np.ndarray) -> pa.RecordBatch:
    return pa.record_batch({"x": pa.array([None, *xy_ND[1:, 0]]), "y": pa.array(xy_ND[:, 1])})


def mutated(at: int, byte: int) -> bytes:
    content = bytearray(stream(columns(POINTS[:8])))
    content[at % len(content)] = byte
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "body"),
        (b"\xff\xff\xff\xff", "body"),
        (b"ARROW1\x00\x00", "body"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f" * 4, "body"),
        (stream(columns(POINTS))[:500], "body"),
        (stream(columns(POINTS), compression="zstd"), "body"),
        (stream(lists(POINTS), compression="lz4"), "body"),
        (stream(pa.record_batch({"x": pa.array(["a", "b"])})), "points"),
        (stream(pa.record_batch({"x": pa.array([[1.0, 2.0], [3.0]])})), "points.1"),
        (stream(pa.record_batch({"x": pa.array(["a", "b"]).dictionary_encode()})), "points"),
        (stream(with_null(POINTS)), "points.0"),
        (stream(pa.record_batch([pa.array([], pa.list_(pa.float32(), 2**30))], ["points"])), "body"),
        (stream(*[columns(POINTS[:1])] * 1_001), "body"),
        (stream(columns(np.zeros((1, 1_001)))), "body"),
        (stream(columns(POINTS[:0])), "points"),
        (stream(columns(np.zeros((100_001, 2)))), "points"),
        (stream(*[columns(np.zeros((60_000, 2)))] * 2), "points"),
        (stream(columns(np.zeros((5, 3)))), "points"),
        (stream(columns(np.array([[0, 0], [math.nan, 0]]))), "points.1.0"),
        (stream(columns(np.array([[0, 1e39], [0, 0]]))), "points.0.1"),
    ],
)
def test_an_invalid_arrow_body_is_rejected_with_the_field(client: httpx.Client, content: bytes, field: str) -> None:
    assert_problem(post_arrow(client, content), 422, "invalid-input", field=field)


@pytest.mark.slow
def test_a_damaged_arrow_stream_is_never_an_internal_error(client: httpx.Client) -> None:
    random = np.random.default_rng(6)
    length = len(stream(columns(POINTS[:8])))
    for at, byte in zip(random.integers(0, length, 300), random.integers(0, 256, 300), strict=True):
        assert post_arrow(client, mutated(int(at), int(byte))).status_code in (200, 422)


def test_without_pyarrow_only_arrow_is_rejected(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    content = stream(columns(POINTS))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert_problem(post_arrow(client, content), 415, "unsupported-media-type")
    assert_problem(predict(client, headers={"Accept": ARROW}), 406, "not-acceptable")
    assert predict(client).status_code == 200


@pytest.mark.slow
def test_configured_limits_also_apply_to_the_smallest_requests(tmp_path: Path) -> None:
    with running(tmp_path, max_points_per_request=2, max_body_bytes=1_024) as client:
        train(client, "plane")
        assert predict(client, points=[[0, 0]] * 2).status_code == 200
        assert_problem(predict(client, points=[[0, 0]] * 3), 422, "invalid-input", field="points")
        padded = b'{"model": "plane", "points": [[0, 0]]' + b" " * 1_000 + b"}"
        assert_problem(client.post("/predict", content=padded, headers=JSON), 413, "body-too-large")


# ---- request ids and metrics


def test_every_response_has_a_request_id_and_keeps_that_of_the_client(client: httpx.Client) -> None:
    requests: list[Callable[..., httpx.Response]] = [
        lambda **options: client.get("/health/live", **options),
        lambda **options: client.get("/no/such/path", **options),
        lambda **options: client.post("/predict", json={"model": "plane", "points": [[0, 0]]}, **options),
        lambda **options: client.post("/predict", json={"model": "nobody", "points": [[0, 0]]}, **options),
    ]
    ids = [request().headers["x-request-id"] for request in requests for _ in range(3)]
    assert len(set(ids)) == len(ids)
    for request in requests:
        assert request(headers={"X-Request-ID": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
        for bad in ("", "x" * 65, "a b", "a\tb", "<script>"):
            assert request(headers={"X-Request-ID": bad}).headers["x-request-id"] not in ("", bad)


def metrics(client: httpx.Client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


@pytest.mark.slow
def test_requests_and_points_are_counted_by_route_and_status(client: httpx.Client) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    before = metrics(client)
    predict(client)
    predict(client, points=[[0, 0]])
    predict(client, model="nobody")
    client.get("/models/plane")
    client.get("/models/nobody")
    client.get("/no/such/path")
    after = metrics(client)

    def gained(name: str) -> float:
        return after[name] - before.get(name, 0)

    count = 'separatrix_request_duration_seconds_count{method="%s",route="%s",status="%d"}'
    assert gained("separatrix_points_total") == 301
    assert gained(count % ("POST", "/predict", 200)) == 2
    assert gained(count % ("POST", "/predict", 404)) == 1
    assert gained(count % ("GET", "/models/{name}", 200)) == 1
    assert gained(count % ("GET", "/models/{name}", 404)) == 1
    assert gained(count % ("GET", "unmatched", 404)) == 1
    whole = count.replace("_count{", "_bucket{").replace("{", '{le="+Inf",') % ("POST", "/predict", 200)
    assert after[whole] == after[count % ("POST", "/predict", 200)]


@pytest.mark.slow
def test_jobs_are_counted_also_after_they_are_deleted(client: httpx.Client) -> None:
    before = metrics(client)
    job = train(client, "counted", training={"epochs": 30})
    network = {"kind": "sequential", "hidden": [4, 4], "activation": "identity"}
    failed = train(client, "counted", network=network, training={"epochs": 500, "learning_rate": 1_000})
    assert (job["status"], failed["status"]) == ("succeeded", "failed")
    for one in (job, failed):
        client.delete(one["links"]["self"]).raise_for_status()
    after = metrics(client)
    for status in ("succeeded", "failed"):
        name = f'separatrix_jobs_ended_total{{status="{status}"}}'
        assert after[name] == before[name] + 1
    assert after["separatrix_training_seconds_total"] > before["separatrix_training_seconds_total"]
    assert after["separatrix_versions"] == before["separatrix_versions"] + 1
    assert after['separatrix_jobs{status="queued"}'] == 0
    assert after["separatrix_database_available"] == 1


@pytest.mark.slow
def test_answers_from_the_response_cache_are_counted(client: httpx.Client) -> None:
    before = metrics(client)
    for _ in range(3):
        client.get("/boundary-grid", params={"model": "plane", "resolution": 17, "margin": 0.123}).raise_for_status()
    after = metrics(client)
    assert after["separatrix_response_cache_misses_total"] == before["separatrix_response_cache_misses_total"] + 1
    assert after["separatrix_response_cache_hits_total"] == before["separatrix_response_cache_hits_total"] + 2
    assert after["separatrix_response_cache_bytes"] > before["separatrix_response_cache_bytes"]
