"""`.npy` bodies, content negotiation, and entity tags of grids."""

import io
import struct
from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.problems import assert_problem

NPY = "application/x-npy"


def saved(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=True)
    return file.getvalue()


def loaded(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == NPY
    array: np.ndarray = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return array


def post(client: httpx.Client, content: bytes, accept: str = NPY, **params: Any) -> httpx.Response:
    headers = {"Content-Type": NPY, "Accept": accept}
    return client.post("/predict", content=content, params={"model": "plane"} | params, headers=headers)


POINTS = np.random.default_rng(3).uniform(-5, 5, (1_000, 2))


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_an_npy_body_gets_the_same_answer_as_the_same_points_in_json(
    client: httpx.Client, dtype: str, order: Any, version: tuple[int, int]
) -> None:
    array = np.asarray(POINTS, dtype=dtype, order=order)
    answer = post(client, saved(array, version))
    prob_NK = loaded(answer)
    assert (prob_NK.dtype, prob_NK.shape) == (np.float32, (1_000, 2))
    assert answer.headers["separatrix-model"] == "plane"
    assert answer.headers["separatrix-version"] == "1"
    as_json = client.post("/predict", json={"model": "plane", "points": array.astype(float).tolist()}).json()
    np.testing.assert_array_equal(prob_NK, np.array(as_json["probabilities"], np.float32))


def test_request_and_response_may_have_different_formats(client: httpx.Client) -> None:
    as_json = post(client, saved(POINTS), accept="application/json").json()
    assert as_json["model"] == "plane"
    assert len(as_json["labels"]) == 1_000
    body = {"model": "plane", "points": POINTS.tolist()}
    answer = client.post("/predict", json=body, headers={"Accept": NPY})
    np.testing.assert_array_equal(loaded(answer), np.array(as_json["probabilities"], np.float32))


@pytest.mark.slow
def test_the_kernel_answers_a_hundred_thousand_points_like_few(client: httpx.Client) -> None:
    many = np.random.default_rng(4).uniform(-5, 5, (100_000, 2)).astype(np.float32)
    np.testing.assert_allclose(
        loaded(post(client, saved(many[:500]))),
        loaded(post(client, saved(np.repeat(many, 1, axis=0))))[:500],
        atol=1e-6,
    )


def header(text: str, magic: bytes = b"\x93NUMPY\x01\x00") -> bytes:
    return magic + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "body"),
        (b"\x93NUMPY", "body"),
        (b"PK\x03\x04 a zip", "body"),
        (saved(POINTS)[:-1], "body"),
        (saved(POINTS) + b"\x00", "body"),
        (saved(POINTS)[:40], "body"),
        (saved(POINTS[:, 0]), "points"),
        (saved(POINTS.reshape(10, 100, 2)), "body"),
        (saved(np.float64(1.0)), "body"),
        (saved(POINTS.astype(complex)), "body"),
        (saved(np.array([[{}, []]], dtype=object)), "body"),
        (saved(np.array([["a", "b"]])), "body"),
        (saved(np.zeros((3, 1), dtype=[("x", "f4"), ("y", "f4")])), "body"),
        (saved(POINTS[:0]), "points"),
        (saved(np.zeros((3, 0))), "body"),
        (saved(np.zeros((3, 3))), "points"),
        (saved(np.zeros((100_001, 2), np.float32)), "points"),
        (saved(np.array([[0, 0], [0, np.nan]])), "points.1.1"),
        (saved(np.array([[0, 0], [-np.inf, 0]])), "points.1.0"),
        (saved(np.array([[0, 1e39], [0, 0]])), "points.0.1"),
        (saved(POINTS).replace(b"NUMPY\x01", b"NUMPY\x04"), "body"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 2)}\n"), "points"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (10, 2)}\n"), "body"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}\n"), "body"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2)}\n"), "body"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (1, 2)}\n"), "body"),
        (header("{'descr': (), 'fortran_order': False, 'shape': (1, 2)}\n"), "body"),
        (header("{'descr': ('<f4',), 'fortran_order': False, 'shape': (1, 2)}\n"), "body"),
        (header("{'descr': 3, 'fortran_order': False, 'shape': (1, 2)}\n"), "body"),
        (header("{'descr': [('a', 'b', 'c', 'd')], 'fortran_order': False, 'shape': (1, 2)}\n"), "body"),
        (header("__import__('os').abort()\n"), "body"),
        (header("{" * 900), "body"),
        (header("(" * 60_000), "body"),
        (header("9" * 900 + "\n"), "body"),
        (header("\x00\xff"), "body"),
    ],
)
def test_an_invalid_npy_body_is_rejected_with_the_field(client: httpx.Client, content: bytes, field: str) -> None:
    assert_problem(post(client, content), 422, "invalid-input", field=field)


def test_the_model_is_in_the_query_for_an_array_and_in_the_body_for_json(client: httpx.Client) -> None:
    headers = {"Content-Type": NPY}
    unnamed = client.post("/predict", content=saved(POINTS), headers=headers)
    assert_problem(unnamed, 422, "invalid-input", field="model", place="query")
    assert_problem(post(client, saved(POINTS), model="no-such"), 404, "model-not-found")
    assert_problem(post(client, saved(POINTS), version=9), 404, "version-not-found")
    assert_problem(post(client, saved(POINTS), colour="red"), 422, "invalid-input", field="colour", place="query")
    body = {"model": "plane", "points": [[0, 0]]}
    twice = client.post("/predict", json=body, params={"model": "plane"})
    assert_problem(twice, 422, "invalid-input", field="model", place="query")


def grid(client: httpx.Client, accept: str | None = None, **params: Any) -> httpx.Response:
    headers = {"Accept": accept} if accept else {}
    return client.get("/boundary-grid", params={"model": "plane", "resolution": "60x40"} | params, headers=headers)


@pytest.mark.parametrize(("model", "response", "dtype"), [("plane", "probability", "f4"), ("trio", "label", "u1")])
def test_a_grid_as_npy_has_the_values_of_its_json(client: httpx.Client, model: str, response: str, dtype: str) -> None:
    as_json = grid(client, model=model, response=response).json()
    for answer in (
        grid(client, model=model, response=response, format="npy"),
        grid(client, NPY, model=model, response=response),
    ):
        values_HW = loaded(answer)
        assert (values_HW.shape, values_HW.dtype) == ((40, 60), np.dtype(dtype))
        np.testing.assert_array_equal(values_HW, np.array(as_json["values"], dtype))
        window = [float(edge) for edge in answer.headers["separatrix-window"].split(",")]
        assert window == [as_json["x"][0], as_json["x"][-1], as_json["y"][0], as_json["y"][-1]]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json"),
        (f"*;q=.1, {NPY};q=.2", NPY),
        (f"application/json;q=., {NPY};q=.5", NPY),
        (f"{NPY}", NPY),
        (f"application/json;q=0.5, {NPY}", NPY),
        (f"{NPY};q=0.2, application/json;q=0.9", "application/json"),
        (f"*/*, {NPY};q=0", "application/json"),
        ("application/json;q=0, */*;q=0.1", NPY),
        ("APPLICATION/X-NPY", NPY),
        (f"application/json;q=0.00001, {NPY};q=0.5", NPY),
        (f"application/json;q=much, {NPY};q=0.5", NPY),
    ],
)
def test_the_response_has_the_format_that_the_client_prefers(
    client: httpx.Client, accept: str | None, expected: str
) -> None:
    answer = grid(client, accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == expected


@pytest.mark.parametrize("accept", ["text/html", f"{NPY};q=0, application/json;q=0, image/png;q=0", "image/bmp"])
def test_an_unknown_format_is_rejected(client: httpx.Client, accept: str) -> None:
    assert_problem(grid(client, accept), 406, "not-acceptable")
    answer = client.post("/predict", json={"model": "plane", "points": [[0, 0]]}, headers={"Accept": accept})
    assert_problem(answer, 406, "not-acceptable")
    assert_problem(grid(client, format="bmp"), 422, "invalid-input", field="format")


def test_a_grid_that_the_client_has_is_answered_with_304(client: httpx.Client) -> None:
    first = grid(client)
    tag = first.headers["etag"]
    assert tag == grid(client).headers["etag"]
    strong = tag.removeprefix("W/")
    for known in (tag, f'"other", {tag}', strong, f"W/{strong}"):
        again = client.get(first.url, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"].removeprefix("W/") == strong
        assert again.headers["cache-control"] == first.headers["cache-control"]
    assert client.get(first.url, headers={"If-None-Match": '"other"'}).status_code == 200
    others = [
        grid(client, **change)
        for change in ({"format": "npy"}, {"x_min": -1}, {"resolution": "40x60"}, {"response": "logit"})
    ]
    assert len({tag, *(other.headers["etag"] for other in others)}) == 5


def test_every_parameter_changes_the_entity_tag(client: httpx.Client) -> None:
    queries: list[dict[str, Any]] = [
        *({"axes": axes} for axes in ("0,1", "1,0")),
        *({"response": response} for response in ("probability", "label", "logit", "entropy")),
        *({"response": "activation", "layer": 0, "unit": unit} for unit in (0, 1)),
        *({"response": "embedding", "layer": 0, "coordinates": coordinates} for coordinates in ("first", "principal")),
        *({"axes": "0", "at": at, "resolution": "9"} for at in ("0", "1")),
        *({"format": "png", "overlay": overlay} for overlay in ("points", "line", "points,line")),
        {"format": "png", "transparent": "true"},
        *({"format": "geojson", "levels": levels} for levels in ("0.5", "0.5,0.6")),
        {"response": "activation", "layer": 0},
        {"class": "red"},
    ]
    answers = [grid(client, **query) for query in queries]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == len(queries)


def test_a_grid_of_a_numbered_version_is_immutable_and_one_of_the_latest_is_revalidated(client: httpx.Client) -> None:
    assert grid(client, version=1).headers["cache-control"] == "max-age=31536000, immutable"
    assert grid(client).headers["cache-control"] == "no-cache"
    assert grid(client).headers["vary"] == "Accept, Accept-Encoding"
