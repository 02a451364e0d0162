"""Points that are far from all training points: `outside_training_range`."""

import io
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from models.datasets import generate
from models.specs import DatasetSpec
from models.training_range import TrainingRange
from tests.contract.problems import assert_problem
from tests.serving import running, train

OUTSIDE = "outside_training_range"
POINTS = [[0.0, 0.5], [0.0, 50.0], [1e30, -1e30]]


@pytest.fixture(scope="module", autouse=True)
def _models(service: httpx.Client) -> None:
    train(service, "flower", training={"epochs": 5})


def predict(client: httpx.Client, accept: str = "application/json", **body: Any) -> httpx.Response:
    request = {"model": "flower", "points": POINTS[:2], "outputs": [OUTSIDE]} | body
    return client.post("/predict", json=request, headers={"Accept": accept})


def test_predictions_mark_points_far_from_the_training_points(service: httpx.Client) -> None:
    page = service.get("/datasets/flower/points", params={"limit": 400}).json()["points"]
    asked = np.random.default_rng(0).normal(0, 4, (200, 2)).tolist()
    expected = TrainingRange.of(generate(DatasetSpec())).outside(np.array([*page, *asked]))
    shown = predict(service, points=[*page, *asked], outputs=["labels", OUTSIDE]).json()
    assert shown[OUTSIDE] == expected.tolist()
    assert not any(shown[OUTSIDE][:400])
    assert 20 < sum(shown[OUTSIDE][400:]) < 180
    assert len(shown["labels"]) == 600
    assert OUTSIDE not in predict(service, outputs=["labels"]).json()


def test_every_format_of_predictions_has_the_marks(service: httpx.Client) -> None:
    assert predict(service).json()[OUTSIDE] == [False, True]
    array = np.load(io.BytesIO(predict(service, "application/x-npy").content))
    assert (array.dtype, array.tolist()) == (np.dtype(bool), [False, True])
    table = pa.ipc.open_stream(predict(service, "application/vnd.apache.arrow.stream").content).read_all()
    assert table[OUTSIDE].to_pylist() == [False, True]
    lines = predict(service, "text/csv").text.splitlines()
    assert [line.split(",")[-1] for line in lines] == [OUTSIDE, "false", "true"]


def test_every_format_of_grids_shows_cells_outside_the_training_range(service: httpx.Client) -> None:
    query = {"model": "flower", "response": OUTSIDE, "resolution": 30, "margin": 1}
    shown = service.get("/boundary-grid", params=query).json()
    x, y = np.meshgrid(shown["x"], shown["y"])
    cells = np.column_stack([x.ravel(), y.ravel()])
    values = np.array(shown["values"])
    expected = predict(service, points=cells.tolist()).json()[OUTSIDE]
    assert values.ravel().tolist() == [int(one) for one in expected]
    assert (shown["response"], shown["class"]) == (OUTSIDE, None)
    assert values.min() == 0 < values.max() == 1
    array = np.load(io.BytesIO(service.get("/boundary-grid", params=query | {"format": "npy"}).content))
    np.testing.assert_array_equal(array, values)
    text = service.get("/boundary-grid", params=query | {"format": "csv"}).text.splitlines()
    assert [float(line.split(",")[2]) for line in text[1:]] == values.ravel().tolist()
    picture = service.get("/boundary-grid", params=query | {"format": "png"})
    pixels = np.array(Image.open(io.BytesIO(picture.content)).convert("L"))[::-1]
    assert len(np.unique(pixels)) == 2
    assert (pixels[values == 1] < pixels[values == 0].min()).all()
    drawn = service.get("/boundary-grid", params=query | {"format": "png", "overlay": "points,line"})
    assert drawn.status_code == 200
    transparent = service.get("/boundary-grid", params=query | {"format": "png", "transparent": "true"})
    assert transparent.status_code == 200


def test_slices_and_curves_mark_what_predictions_of_whole_points_mark(service: httpx.Client) -> None:
    rng = np.random.default_rng(1)
    points = rng.normal((0, 100, -3), (1, 20, 0.1), (80, 3))
    data = {"points": points.tolist(), "labels": [int(x > 0) for x in points[:, 0]]}
    train(service, "solid", data=data, training={"epochs": 5})
    query = {"model": "solid", "response": OUTSIDE, "resolution": 12, "axes": "2,0", "at": "110"}
    shown = service.get("/boundary-grid", params=query).json()
    z, x = np.meshgrid(shown["x"], shown["y"])
    whole = np.column_stack([x.ravel(), np.full(144, 110), z.ravel()])
    expected = predict(service, model="solid", points=whole.tolist()).json()[OUTSIDE]
    assert np.ravel(shown["values"]).tolist() == [int(one) for one in expected]
    assert 0 < sum(expected) < 144
    curve = service.get("/boundary-grid", params=query | {"axes": "1", "at": "0,-3"}).json()
    line = np.column_stack([np.zeros(12), curve["x"], np.full(12, -3)])
    expected = predict(service, model="solid", points=line.tolist()).json()[OUTSIDE]
    assert curve["values"] == [int(one) for one in expected]


def test_the_response_outside_training_range_takes_no_class_and_no_lines(service: httpx.Client) -> None:
    query = {"model": "flower", "response": OUTSIDE}
    for change, field in (
        ({"class": "0"}, "class"),
        ({"format": "geojson"}, "response"),
        ({"adaptive": True}, "adaptive"),
    ):
        answer = service.get("/boundary-grid", params=query | change)
        assert_problem(answer, 422, "invalid-input", field=field, place="query")


@pytest.mark.slow
def test_the_range_stays_known_without_the_points_but_not_without_its_file(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        train(client, "own", data={"points": [[0], [1], [2], [9]], "labels": [0, 0, 1, 1]}, training={"epochs": 2})
        train(client, "other", data={"points": [[0], [1], [2]], "labels": [0, 0, 1]}, training={"epochs": 2})
        for file in (tmp_path / "datasets").iterdir():
            file.unlink()
        assert predict(client, model="own", points=[[1.5], [40]]).json()[OUTSIDE] == [False, True]
        for file in (tmp_path / "checkpoints").glob("*/training_range.safetensors"):
            file.unlink()
        assert client.post("/predict", json={"model": "other", "points": [[1.5]]}).status_code == 200
        assert_problem(predict(client, model="other", points=[[1.5]]), 503, "version-broken")


@pytest.mark.slow
def test_a_version_without_a_range_is_refused(tmp_path: Path) -> None:
    """Old releases have stored none: their cards name no such file."""
    with zipfile.ZipFile("tests/service/store/data_folder_0_1_0.zip") as archive:
        archive.extractall(tmp_path)
    folder = next(path.parent for path in tmp_path.rglob("separatrix.db"))
    with running(folder) as client:
        model = client.get("/models").json()["data"][0]["name"]
        features = client.get(f"/models/{model}/versions/1").json()["card"]["n_features"]
        answer = predict(client, model=model, points=[[0.0] * features])
        assert_problem(answer, 422, "invalid-input", field="outputs")
        assert "training range is known" in answer.json()["detail"]
