"""Grids of labels that are mostly certified, and grids in the response cache."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.api.grids.formats import FORMATS
from tests.contract.problems import assert_problem
from tests.serving import running, train


def grid(client: httpx.Client, **query: Any) -> httpx.Response:
    return client.get("/boundary-grid", params={"model": "plane", "resolution": "300x200"} | query)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["plane", "trio"])
def test_adaptive_labels_equal_the_labels_computed_at_every_cell(client: httpx.Client, model: str) -> None:
    computed = grid(client, model=model, response="label", resolution="1000x900")
    proven = grid(client, model=model, adaptive=True, resolution="1000x900")
    as_computed, as_proven = computed.json(), proven.json()
    assert as_computed["evaluated"] == 900_000
    assert as_proven["evaluated"] < 100_000
    assert {**as_proven, "evaluated": 0} == {**as_computed, "evaluated": 0}
    array = np.load(io.BytesIO(grid(client, model=model, adaptive=True, resolution="1000x900", format="npy").content))
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, as_computed["values"])


@pytest.mark.slow
def test_a_picture_of_67_million_cells_needs_few_evaluations(client: httpx.Client) -> None:
    small, large = (grid(client, adaptive=True, resolution=n, format="png") for n in (1_024, 8_192))
    assert large.status_code == 200
    pixels = np.asarray(Image.open(io.BytesIO(large.content)))
    assert pixels.shape == (8_192, 8_192)
    evaluated = [int(answer.headers["separatrix-evaluated"]) for answer in (small, large)]
    assert evaluated[1] < 10 * evaluated[0], (
        "grows with the length of the boundary, 8 times, not with the area, 64 times"
    )
    corners = np.array(grid(client, response="label", resolution=2).json()["values"])
    np.testing.assert_array_equal(pixels[[-1, 0]][:, [0, -1]], corners)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"adaptive": "perhaps"}, "adaptive"),
        ({"adaptive": True, "response": "probability"}, "adaptive"),
        ({"adaptive": True, "response": "activation", "layer": 0, "unit": 0}, "adaptive"),
        ({"adaptive": True, "class": "red"}, "class"),
        ({"response": "label", "class": "red"}, "class"),
        ({"response": "entropy", "class": "red"}, "class"),
        ({"x_min": 1, "x_max": 1.0000000000000004}, "x_max"),
        ({"adaptive": True, "response": "activation", "layer": 0, "format": "png"}, "adaptive"),
        ({"adaptive": True, "format": "geojson"}, "adaptive"),
        ({"adaptive": True, "model": "line", "resolution": "100"}, "adaptive"),
        ({"adaptive": True, "format": "png", "resolution": "8193x10"}, "resolution"),
        ({"adaptive": True, "resolution": "2000"}, "resolution"),
        ({"adaptive": True, "resolution": "8192", "format": "png", "overlay": "line"}, "resolution"),
        ({"adaptive": True, "format": "png", "resolution": "1"}, "resolution"),
    ],
)
def test_an_invalid_adaptive_grid_is_refused_with_the_parameter_at_fault(
    client: httpx.Client, query: dict[str, Any], field: str
) -> None:
    assert_problem(grid(client, **query), 422, "invalid-input", field=field)


@pytest.mark.slow
def test_a_cached_grid_is_sent_again_unchanged(client: httpx.Client) -> None:
    for form in FORMATS:
        first, second = (grid(client, format=form.name, x_min=-2.5) for _ in range(2))
        assert second.status_code == 200
        assert second.content == first.content
        kept, made = (dict(answer.headers) for answer in (second, first))
        for changing in ("date", "x-request-id"):
            assert kept.pop(changing)
            made.pop(changing)
        assert kept == made
        tag = {"If-None-Match": first.headers["etag"]}
        assert client.get(first.url, headers=tag).status_code == 304
        assert client.get(first.url, headers={"If-None-Match": '"other"'}).content == first.content


def test_a_cached_grid_in_another_format_is_not_sent(client: httpx.Client) -> None:
    query = {"model": "plane", "resolution": "20", "x_min": -2.25}
    types = [one.media_type for one in FORMATS]
    for _ in range(2):
        for media_type in types:
            answer = client.get("/boundary-grid", params=query, headers={"Accept": media_type})
            assert answer.headers["content-type"].partition(";")[0] == media_type


def test_accept_in_several_lines_is_one_list_and_a_separate_cache_key(client: httpx.Client) -> None:
    query = {"model": "plane", "resolution": "20", "x_min": -2.125}
    png, json = ("Accept", "image/png;q=0.9"), ("Accept", "application/json;q=0.5")
    for lines in ([png, json], [json, png]):
        answer = client.get("/boundary-grid", params=query, headers=[*lines])
        assert answer.headers["content-type"] == "image/png"
    alone = client.get("/boundary-grid", params=query, headers=[json])
    assert alone.headers["content-type"] == "application/json"
    tag = alone.headers["etag"]
    for lines in ([tag, '"other"'], ['"other"', tag]):
        known = [("If-None-Match", line) for line in lines]
        assert client.get("/boundary-grid", params=query, headers=[json, *known]).status_code == 304


@pytest.mark.slow
def test_the_grid_of_the_latest_version_changes_as_soon_as_there_is_a_new_one(client: httpx.Client) -> None:
    train(client, "moving")
    first = grid(client, model="moving")
    tag = {"If-None-Match": first.headers["etag"]}
    assert grid(client, model="moving").content == first.content
    assert client.get(first.url, headers=tag).status_code == 304
    train(client, "moving", training={"epochs": 60})
    second = client.get(first.url, headers=tag)
    assert second.status_code == 200
    assert second.json()["version"] == 2
    assert client.get(first.url).json()["version"] == 2
    assert grid(client, model="moving", version=1).json()["version"] == 1


@pytest.mark.slow
def test_a_tag_alone_is_enough_for_a_304_from_a_service_that_has_not_computed_the_grid(tmp_path: Any) -> None:
    with running(tmp_path) as client:
        train(client, "plane")
        first = grid(client)
    with running(tmp_path) as client:  # this service has not computed any grid
        tag = {"If-None-Match": first.headers["etag"]}
        path = str(first.url.raw_path, "ascii")
        for _ in range(2):
            assert client.get(path, headers=tag).status_code == 304
        assert client.get(path).content == first.content


@pytest.mark.slow
def test_a_service_without_a_response_cache_sends_the_same_grid(tmp_path: Any) -> None:
    with running(tmp_path, response_cache_bytes=0) as client:
        train(client, "plane")
        assert grid(client).content == grid(client).content
