"""Grids as PNG, decoded by Pillow and compared with the JSON of the same grid."""

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.render import palette
from service.render.palette import opaque_scale
from tests.contract.problems import assert_problem
from tests.serving import running, train

SIZE = {"resolution": "64x48"}


def picture(client: httpx.Client, **params: Any) -> np.ndarray:
    answer = client.get("/boundary-grid", params=SIZE | {"format": "png"} | params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (64, 48)
        return np.asarray(image.convert("RGB"))


def colors(body: dict[str, Any]) -> np.ndarray:
    return np.array([list(bytes.fromhex(color[1:])) for color in body["colors"]])


@pytest.mark.parametrize("model", ["plane", "trio"])
def test_a_picture_of_labels_shows_each_cell_in_the_color_of_its_class(client: httpx.Client, model: str) -> None:
    params = {"model": model, "response": "label"}
    body = client.get("/boundary-grid", params=SIZE | params).json()
    upside_up = colors(body)[np.array(body["values"])][::-1]
    np.testing.assert_array_equal(picture(client, **params), upside_up)
    assert len(np.unique(upside_up.reshape(-1, 3), axis=0)) > 1


def test_the_scale_of_a_probability_runs_from_the_other_class_over_a_pale_gray_to_its_own(
    client: httpx.Client,
) -> None:
    body = client.get("/boundary-grid", params=SIZE | {"model": "plane"}).json()
    rgb_HW3 = picture(client, model="plane")[::-1].astype(int)
    values_HW = np.array(body["values"])
    red, blue = colors(body).astype(np.uint8)
    expected = opaque_scale(red, blue, steps=128)[np.round(values_HW * 127).astype(int)]
    assert np.abs(rgb_HW3 - expected).max() <= 4, "at most one step of the scale, by rounding"
    unsure = np.abs(values_HW - 0.5) < 0.02
    assert unsure.any()
    assert rgb_HW3[unsure].min() > 215


def test_the_scale_of_one_of_three_classes_starts_at_the_pale_gray(client: httpx.Client) -> None:
    params = {"model": "trio", "response": "probability", "class": "1"}
    body = client.get("/boundary-grid", params=SIZE | params).json()
    rgb_HW3 = picture(client, **params)[::-1].astype(int)
    values_HW = np.array(body["values"])
    k = [str(label) for label in body["classes"]].index("1")
    expected = opaque_scale(None, colors(body)[k].astype(np.uint8), steps=128)[np.round(values_HW * 127).astype(int)]
    assert np.abs(rgb_HW3 - expected).max() <= 4
    assert values_HW.max() - values_HW.min() > 0.5


def test_a_browser_that_asks_for_an_image_gets_png(client: httpx.Client) -> None:
    accept = {"Accept": "image/avif,image/webp,image/apng,image/*,*/*;q=0.8"}
    answer = client.get("/boundary-grid", params=SIZE | {"model": "plane"}, headers=accept)
    assert answer.headers["content-type"] == "image/png"
    tag = answer.headers["etag"]
    again = client.get("/boundary-grid", params=SIZE | {"model": "plane"}, headers=accept | {"If-None-Match": tag})
    assert again.status_code == 304


def range_of(client: httpx.Client, **params: Any) -> tuple[float, float]:
    answer = client.get("/boundary-grid", params=SIZE | {"format": "png"} | params)
    low, high = map(float, answer.headers["separatrix-range"].split(","))
    return low, high


@pytest.mark.parametrize(
    ("params", "ends"),
    [
        ({"model": "plane", "response": "logit"}, ("#c8372d", "#2f6fb3")),
        ({"model": "plane", "response": "logit", "class": "red"}, ("#2f6fb3", "#c8372d")),
        ({"model": "trio", "response": "logit", "class": "0"}, ("#5e5e5e", "#c8372d")),
        ({"model": "trio", "response": "activation", "layer": "0", "unit": "2"}, ("#c8372d", "#2f6fb3")),
    ],
    ids=str,
)
def test_logits_and_units_have_a_scale_symmetric_about_0_whose_range_is_in_a_header(
    client: httpx.Client, params: dict[str, str], ends: tuple[str, str]
) -> None:
    values_HW = np.array(client.get("/boundary-grid", params=SIZE | params).json()["values"])
    low, high = range_of(client, **params)
    assert high == -low == pytest.approx(np.abs(values_HW).max(), rel=1e-6)
    red, blue = colors({"colors": ends}).astype(np.uint8)
    expected = opaque_scale(red, blue, steps=128)[np.round((values_HW - low) / (high - low) * 127).astype(int)]
    assert np.abs(picture(client, **params)[::-1].astype(int) - expected).max() <= 4


def test_the_scale_of_entropy_runs_to_its_greatest_possible_value(client: httpx.Client) -> None:
    params = {"model": "trio", "response": "entropy"}
    assert range_of(client, **params) == (0.0, np.log2(3))
    values_HW = np.array(client.get("/boundary-grid", params=SIZE | params).json()["values"])
    violet = colors({"colors": ["#5b2e8c"]})[0].astype(np.uint8)
    expected = opaque_scale(None, violet, steps=128)[np.round(values_HW / np.log2(3) * 127).astype(int)]
    assert np.abs(picture(client, **params)[::-1].astype(int) - expected).max() <= 4


def with_opacity(client: httpx.Client, **params: Any) -> np.ndarray:
    """RGB and opacity, row 0 at y_min."""
    answer = client.get("/boundary-grid", params=SIZE | {"format": "png", "transparent": "true"} | params)
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.mode, image.size) == ("P", (64, 48))
        return np.asarray(image.convert("RGBA"))[::-1].astype(int)


def test_a_transparent_picture_is_as_opaque_as_the_model_is_certain(client: httpx.Client) -> None:
    body = client.get("/boundary-grid", params=SIZE | {"model": "plane"}).json()
    values_HW, (red, blue) = np.array(body["values"]), colors(body)
    rgba_HW4 = with_opacity(client, model="plane")
    assert np.abs(rgba_HW4[..., 3] - 255 * np.abs(2 * values_HW - 1)).max() <= 3
    np.testing.assert_array_equal(rgba_HW4[values_HW > 0.51][:, :3], blue[None].repeat((values_HW > 0.51).sum(), 0))
    np.testing.assert_array_equal(rgba_HW4[values_HW < 0.49][:, :3], red[None].repeat((values_HW < 0.49).sum(), 0))

    one = {"model": "trio", "response": "probability", "class": "2"}
    of_one_HW = np.array(client.get("/boundary-grid", params=SIZE | one).json()["values"])
    assert np.abs(with_opacity(client, **one)[..., 3] - 255 * of_one_HW).max() <= 2
    assert (with_opacity(client, model="trio")[..., 3] == 128).all()


FIGURE = {"resolution": "240x160", "format": "png"}
EDGE, LINE = (0xFF, 0xFF, 0xFF), (0x14, 0x14, 0x14)


def figure(client: httpx.Client, **params: Any) -> np.ndarray:
    """RGB, row 0 at y_min."""
    answer = client.get("/boundary-grid", params=FIGURE | params)
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.mode, image.size) == ("P", (240, 160))
        return np.asarray(image.convert("RGBA"))[::-1, :, :3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "params", "data"),
    [
        ("plane", {}, "flower"),
        ("plane", {"response": "entropy"}, "flower"),
        ("plane", {"response": "logit"}, "flower"),
        ("plane", {"response": "activation", "layer": "0", "unit": "0"}, "flower"),
        ("trio", {"response": "label"}, "gaussians?n_classes=3&n=90"),
        ("trio", {"response": "probability", "class": "0"}, "gaussians?n_classes=3&n=90"),
        ("trio", {"axes": "1,0"}, "gaussians?n_classes=3&n=90"),
    ],
    ids=str,
)
def test_training_points_are_discs_in_the_colors_of_their_classes_whose_rim_says_whether_they_are_misclassified(
    client: httpx.Client, model: str, params: dict[str, str], data: str
) -> None:
    window = {"model": model, "x_min": -2, "x_max": 3, "y_min": -2.5, "y_max": 2}
    body = client.get("/boundary-grid", params=window | {"resolution": "240x160"} | params).json()
    shown = figure(client, **window, **params, overlay="points")
    name, _, query = data.partition("?")
    points = client.get(f"/datasets/{name}/points?{query}").json()
    xy_N2 = np.array(points["points"])[:, body["axes"]]
    place_N2 = np.round((xy_N2 - [-2, -2.5]) / [5, 4.5] * [239, 159]).astype(int)
    inside_N = ((xy_N2 >= [-2, -2.5]) & (xy_N2 <= [3, 2])).all(axis=1)
    assert inside_N.any()
    assert not inside_N.all()
    label_N = np.array([body["classes"].index(label) for label in points["labels"]])
    answer = client.post("/predict", json={"model": model, "points": points["points"]}).json()
    wrong_N = np.array(answer["labels"]) != np.array(points["labels"])
    assert (wrong_N & inside_N).any() == (model == "plane"), "`trio` has learned its points"

    near_HW = np.zeros((160, 240), bool)
    for column, row in place_N2[inside_N]:
        near_HW[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4] = True
    alone_N = inside_N.copy()
    for i in np.flatnonzero(inside_N):
        near = (np.abs(place_N2 - place_N2[i]).max(axis=1) < 7) & inside_N
        alone_N[i] = near.sum() == 1 and (place_N2[i] >= 3).all() and (place_N2[i] <= [236, 156]).all()
    assert alone_N.sum() >= 5
    for (column, row), label, is_wrong in zip(place_N2[alone_N], label_N[alone_N], wrong_N[alone_N], strict=True):
        assert tuple(shown[row, column]) == tuple(colors(body)[label])
        assert tuple(shown[row, column + 3]) == (LINE if is_wrong else EDGE)
    drawn = {tuple(rgb) for rgb in shown[near_HW].tolist()} - {tuple(rgb) for rgb in shown[~near_HW].tolist()}
    assert EDGE in drawn
    assert (LINE in drawn) == (wrong_N & inside_N).any()


def headers_of(client: httpx.Client, **params: Any) -> httpx.Headers:
    answer = client.get("/boundary-grid", params={"format": "png", "resolution": "40"} | params)
    assert answer.status_code == 200, answer.text
    return answer.headers


def test_headers_count_the_points_in_the_window_and_those_that_are_misclassified(client: httpx.Client) -> None:
    points = client.get("/datasets/flower/points").json()
    xy_N2 = np.array(points["points"])
    labels = client.post("/predict", json={"model": "plane", "points": points["points"]}).json()["labels"]
    wrong_N = np.array(labels) != np.array(points["labels"])
    headers = headers_of(client, model="plane", overlay="points")
    assert headers["separatrix-points"] == "400,400"
    assert headers["separatrix-misclassified"] == str(wrong_N.sum())
    inside_N = ((xy_N2 >= [-1, -2]) & (xy_N2 <= [1, 1])).all(axis=1)
    window = {"x_min": -1, "x_max": 1, "y_min": -2, "y_max": 1}
    headers = headers_of(client, model="plane", overlay="line,points", **window)
    assert headers["separatrix-points"] == f"{inside_N.sum()},400"
    assert headers["separatrix-misclassified"] == str((wrong_N & inside_N).sum())
    assert "separatrix-points" not in headers_of(client, model="plane", overlay="line")
    on_the_edge = headers_of(client, model="plane", overlay="points", margin=0)
    assert on_the_edge["separatrix-points"] == "400,400"


@pytest.mark.parametrize(("model", "classes"), [("plane", 2), ("trio", 3)])
def test_regions_below_points_have_the_hues_of_their_classes_but_are_calm(
    client: httpx.Client, model: str, classes: int
) -> None:
    params = {"model": model, "response": "label"}
    body = client.get("/boundary-grid", params=params | {"resolution": "240x160"}).json()
    shown = figure(client, **params, overlay="points")
    calm_C3 = palette.calm(palette.class_palette(classes))
    is_region = (shown == calm_C3[np.array(body["values"])]).all(axis=-1)
    assert is_region.mean() > 0.6
    plain = figure(client, **params)
    np.testing.assert_array_equal(plain, colors(body)[np.array(body["values"])])


@pytest.mark.slow
@pytest.mark.parametrize("params", [{"response": "label"}, {"response": "probability", "class": "99"}], ids=str)
def test_the_points_of_a_hundred_classes_have_their_colors(client: httpx.Client, params: dict[str, str]) -> None:
    if "hundred" not in [model["name"] for model in client.get("/models?limit=100").json()["data"]]:
        train(client, "hundred", data={"dataset": "gaussians", "n_classes": 100, "n": 100}, training={"epochs": 1})
    shown = figure(client, model="hundred", **params, overlay="points,line")
    body = client.get("/boundary-grid", params={"model": "hundred", "resolution": "2"}).json()
    drawn = {tuple(rgb) for rgb in shown.reshape(-1, 3).tolist()}
    assert sum(tuple(color) in drawn for color in colors(body).tolist()) > 80, "some points cover others"


@pytest.mark.slow
def test_a_picture_whose_training_points_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, response_cache_bytes=0) as client:
        train(client, "own", data={"points": [[0, 0], [1, 1], [2, 0]], "labels": [0, 1, 1]})
        query = {"model": "own"} | FIGURE
        with_points = query | {"overlay": "points"}
        assert client.get("/boundary-grid", params=with_points).status_code == 200
        for kept in (tmp_path / "datasets").iterdir():
            kept.unlink()
        assert_problem(client.get("/boundary-grid", params=with_points), 503, "version-broken")
        assert client.get("/boundary-grid", params=query).status_code == 200


@pytest.mark.parametrize("model", ["plane", "trio"])
@pytest.mark.parametrize(
    "params",
    [{}, {"response": "label"}, {"response": "entropy"}, {"response": "activation", "layer": "0", "unit": "1"}],
    ids=str,
)
def test_the_boundary_line_runs_exactly_where_neighboring_labels_differ(
    client: httpx.Client, model: str, params: dict[str, str]
) -> None:
    body = client.get("/boundary-grid", params={"model": model, "resolution": "240x160", "response": "label"}).json()
    label_HW = np.array(body["values"])
    line_HW = (figure(client, model=model, overlay="line", **params) == LINE).all(axis=-1)
    parts_HW = np.zeros_like(line_HW)
    parts_HW[:, 1:] |= label_HW[:, 1:] != label_HW[:, :-1]
    parts_HW[1:] |= label_HW[1:] != label_HW[:-1]
    assert line_HW.any()
    assert not (line_HW & ~widened(parts_HW)).any()
    assert not (parts_HW & ~widened(line_HW)).any()


def widened(mask_HW: np.ndarray) -> np.ndarray:
    """The mask, extended by one pixel in every direction."""
    padded = np.pad(mask_HW, 1)
    height, width = mask_HW.shape
    return np.any([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0)
