"""Grids of labels at a threshold, and of the probabilities of all classes at once."""

import io
from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.problems import assert_problem
from tests.serving import train

SIZE = {"resolution": "31x23"}


@pytest.fixture(scope="module")
def two(client: httpx.Client) -> dict[str, Any]:
    """A version of two classes."""
    job = train(client, "grids-two", training={"epochs": 200})
    return {"model": "grids-two", "version": job["version"]}


@pytest.fixture(scope="module")
def three(client: httpx.Client) -> dict[str, Any]:
    """A version of three classes."""
    data = {"dataset": "gaussians", "n_classes": 3}
    job = train(client, "grids-three", data=data, training={"epochs": 100})
    return {"model": "grids-three", "version": job["version"]}


def get(client: httpx.Client, **query: Any) -> httpx.Response:
    answer = client.get("/boundary-grid", params=SIZE | query)
    assert answer.status_code == 200, answer.text
    return answer


def array(client: httpx.Client, **query: Any) -> np.ndarray:
    found: np.ndarray = np.load(io.BytesIO(get(client, format="npy", **query).content))
    return found


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_a_cell_gets_the_second_label_above_the_threshold(
    client: httpx.Client, two: dict[str, Any], threshold: float
) -> None:
    expected = array(client, **two, response="probability") > np.float32(threshold)
    found = array(client, **two, threshold=threshold)
    assert found.dtype == np.uint8
    assert found.tolist() == expected.astype(int).tolist()
    assert 0 < expected.mean() < 1
    body = get(client, **two, threshold=threshold, response="label").json()
    assert (body["response"], body["threshold"], body["values"]) == ("label", threshold, found.tolist())
    assert "threshold" not in get(client, **two, response="label").json()
    points = [[body["x"][i], body["y"][j]] for i, j in ((0, 0), (9, 8), (20, 13), (30, 22), (15, 11))]
    labels = client.post("/predict", json=two | {"points": points, "threshold": threshold}).json()["labels"]
    picked = [body["classes"][found[j, i]] for i, j in ((0, 0), (9, 8), (20, 13), (30, 22), (15, 11))]
    assert labels == picked


def test_a_csv_and_a_curve_have_the_labels_of_the_threshold(client: httpx.Client, two: dict[str, Any]) -> None:
    classes = get(client, **two).json()["classes"]
    labels = array(client, **two, threshold=0.7)
    rows = get(client, **two, threshold=0.7, format="csv").text.splitlines()[1:]
    assert [row.split(",")[2] for row in rows] == [classes[k] for k in labels.ravel()]
    query = {"axes": "0", "resolution": "50"}
    probability = array(client, **two | query, response="probability")
    assert array(client, **two | query, threshold=0.3).tolist() == (probability > np.float32(0.3)).astype(int).tolist()


def test_the_overlay_of_a_picture_is_that_of_the_threshold(client: httpx.Client, two: dict[str, Any]) -> None:
    data = client.get("/datasets/flower/points").json()
    for threshold in (0.1, 0.8):
        picture = get(client, **two, threshold=threshold, format="png", overlay="points,line")
        request = two | {"points": data["points"], "threshold": threshold}
        labels = client.post("/predict", json=request).json()["labels"]
        wrong = sum(one != other for one, other in zip(labels, data["labels"], strict=True))
        assert picture.headers["separatrix-misclassified"] == str(wrong)
    other = get(client, **two, threshold=0.8, format="png", overlay="line")
    assert other.content != get(client, **two, threshold=0.8, format="png").content


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"response": "probability"}, "threshold"),
        ({"response": "entropy"}, "threshold"),
        ({"adaptive": "true"}, "threshold"),
        ({"format": "geojson"}, "threshold"),
        ({"class": "red"}, "class"),
    ],
)
def test_a_threshold_is_for_labels(
    client: httpx.Client, two: dict[str, Any], query: dict[str, Any], field: str
) -> None:
    answer = client.get("/boundary-grid", params=SIZE | two | query | {"threshold": 0.3})
    assert_problem(answer, 422, "invalid-input", field=field)


def test_a_threshold_needs_two_classes_and_a_probability(
    client: httpx.Client, two: dict[str, Any], three: dict[str, Any]
) -> None:
    for query in (three | {"threshold": 0.3}, two | {"threshold": 0}, two | {"threshold": 1}):
        answer = client.get("/boundary-grid", params=SIZE | query)
        assert_problem(answer, 422, "invalid-input", field="threshold")


@pytest.mark.parametrize("axes", ["0,1", "0"])
def test_the_probabilities_of_all_classes_are_those_of_each(
    client: httpx.Client, two: dict[str, Any], three: dict[str, Any], axes: str
) -> None:
    place = {"axes": axes, "resolution": "31x23" if axes == "0,1" else "31"}
    for model in (two, three):
        found = array(client, **model | place, response="probabilities")
        body = get(client, **model | place, response="probabilities").json()
        each = [array(client, **model | place, **{"class": name}) for name in body["classes"]]
        assert found.dtype == np.float32
        assert found == pytest.approx(np.stack(each), abs=1e-6)
        assert found.sum(axis=0) == pytest.approx(1, abs=1e-6)
        assert body["shape"] == list(found.shape)
        assert np.array(body["values"]) == pytest.approx(found, abs=1e-6)
        assert len(body["colors"]) == len(body["classes"]) == len(found)


def test_probabilities_of_an_ensemble_are_the_means(client: httpx.Client) -> None:
    job = train(client, "grids-many", training={"epochs": 20, "ensemble": 3})
    model = {"model": "grids-many", "version": job["version"]}
    found = array(client, **model, response="probabilities")
    assert found[1] == pytest.approx(array(client, **model, response="probability"), abs=1e-6)


def test_json_has_fewer_probabilities_than_an_array(client: httpx.Client, three: dict[str, Any]) -> None:
    query = three | {"response": "probabilities", "resolution": "1000x1000"}
    answer = client.get("/boundary-grid", params=query)
    assert_problem(answer, 422, "invalid-input", field="resolution")
    assert "349,525 cells" in answer.json()["detail"]
    for form in ("png", "csv", "geojson"):
        assert client.get("/boundary-grid", params=query | {"format": form}).status_code == 422


def test_lines_have_the_color_that_svg_draws_them_in(client: httpx.Client, three: dict[str, Any]) -> None:
    for query in (three, three | {"levels": "0.3,0.6", "class": "0"}):
        lines = get(client, **query, format="geojson")
        if lines.status_code == 200:
            drawn = get(client, **query, format="svg").text
            colors = [one["properties"]["color"] for one in lines.json()["features"]]
            assert colors == [part.split('"')[0] for part in drawn.split(' stroke="')[1:]]
            assert colors


def test_an_embedding_names_the_colors_of_the_classes(client: httpx.Client, three: dict[str, Any]) -> None:
    embedding = get(client, **three, response="embedding", layer=0).json()
    grid = get(client, **three).json()
    assert (embedding["classes"], embedding["colors"]) == (grid["classes"], grid["colors"])
