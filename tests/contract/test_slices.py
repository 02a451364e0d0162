"""Grids of models with more than two features, or with one: planes and curves through the space of the points."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.contract.problems import assert_problem
from tests.serving import train

RNG = np.random.default_rng(8)
POINTS = RNG.normal(0, 2, (60, 4)).round(3)
LABELS = (POINTS @ [1.0, -1.0, 0.5, 2.0] > 0).astype(int) + (POINTS[:, 1] > 1)


@pytest.fixture(scope="module")
def space(client: httpx.Client) -> httpx.Client:
    """The client, with `space` of four features and three classes, and `beside` of two, with a skip connection."""
    data = {"points": POINTS.tolist(), "labels": LABELS.tolist()}
    train(client, "space", data=data, network={"hidden": [6, 5]}, training={"epochs": 200, "learning_rate": 0.3})
    data = {"points": POINTS.tolist(), "labels": (LABELS > 0).astype(int).tolist()}
    network = {"kind": "residual", "hidden": [5]}
    train(client, "beside", data=data, network=network, training={"epochs": 100, "learning_rate": 0.3})
    return client


def grid(client: httpx.Client, **query: Any) -> httpx.Response:
    answer = client.get("/boundary-grid", params={"model": "space", "resolution": "9x7"} | query)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("model", ["space", "beside"])
@pytest.mark.parametrize(("axes", "at"), [((0, 1), (1.5, -2.0)), ((3, 1), (0.25, 1e3)), ((2, 0), (-0.0, 0.1))])
@pytest.mark.parametrize("response", ["probability", "label", "logit", "entropy"])
def test_a_plane_through_four_features_has_the_predictions_of_its_points(
    space: httpx.Client, model: str, axes: tuple[int, int], at: tuple[float, float], response: str
) -> None:
    query = {"model": model, "axes": ",".join(map(str, axes)), "at": ",".join(map(str, at)), "response": response}
    body = grid(space, **query, **({"class": "1"} if response in ("probability", "logit") else {})).json()
    assert (body["axes"], body["at"]) == (list(axes), list(at))
    x_HW, y_HW = np.meshgrid(body["x"], body["y"])
    points_N4 = np.zeros((63, 4))
    points_N4[:, axes[0]], points_N4[:, axes[1]] = x_HW.ravel(), y_HW.ravel()
    points_N4[:, [d for d in range(4) if d not in axes]] = at
    prob_NK = predicted(space, model, points_N4)
    values_N = np.ravel(body["values"])
    if response == "label":
        assert (values_N == prob_NK.argmax(axis=1)).mean() > 0.98
    elif response == "probability":
        np.testing.assert_allclose(values_N, prob_NK[:, 1], atol=2e-5)
    elif response == "entropy":
        np.testing.assert_allclose(values_N, -(prob_NK * np.log2(np.maximum(prob_NK, 1e-300))).sum(axis=1), atol=1e-4)
    elif model == "beside":
        np.testing.assert_allclose(1 / (1 + np.exp(-values_N)), prob_NK[:, 1], atol=2e-5)


def predicted(client: httpx.Client, model: str, points: np.ndarray) -> np.ndarray:
    answer = client.post("/predict", json={"model": model, "points": points.tolist()})
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["probabilities"])


def test_the_default_plane_is_that_of_the_first_two_features_through_the_medians_of_the_others(
    space: httpx.Client,
) -> None:
    answer = grid(space)
    body = answer.json()
    median_2 = np.median(POINTS[:, 2:], axis=0)
    assert body["axes"] == [0, 1]
    np.testing.assert_allclose(body["at"], median_2, rtol=1e-6)
    low, high = POINTS.min(axis=0), POINTS.max(axis=0)
    margin = (high - low) / 8
    np.testing.assert_allclose([body["x"][0], body["y"][-1]], [low[0] - margin[0], high[1] + margin[1]], rtol=1e-6)
    same = {name: ",".join(map(str, body[name])) for name in ("axes", "at")}
    assert grid(space, **same, **body["window"]).json() == body, "the query takes what the JSON says"
    other = grid(space, axes="3,2").json()
    np.testing.assert_allclose([other["x"][0], other["y"][-1]], [low[3] - margin[3], high[2] + margin[2]], rtol=1e-6)
    card = space.get("/models/space/versions/1").json()["card"]
    np.testing.assert_allclose(card["data_summary"]["median"], np.median(POINTS, axis=0), rtol=1e-6)


@pytest.mark.parametrize("form", ["npy", "png"])
def test_formats_without_fields_have_the_axes_in_headers(space: httpx.Client, form: str) -> None:
    headers = grid(space, axes="1,3", at="0.5,-2", format=form).headers
    assert (headers["separatrix-axes"], headers["separatrix-at"]) == ("1,3", "0.5,-2.0")
    headers = grid(space, model="plane", format=form).headers
    assert headers["separatrix-axes"] == "0,1"
    assert "separatrix-at" not in headers


def test_the_axes_of_a_model_with_two_features_can_be_swapped(client: httpx.Client) -> None:
    window = {"x_min": -1, "x_max": 2, "y_min": -3, "y_max": 1}
    turned = {"x_min": -3, "x_max": 1, "y_min": -1, "y_max": 2}
    straight_HW = np.array(grid(client, model="plane", resolution="9x7", **window).json()["values"])
    swapped_HW = np.array(grid(client, model="plane", resolution="7x9", axes="1,0", **turned).json()["values"])
    np.testing.assert_allclose(swapped_HW.T, straight_HW, atol=1e-6)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"axes": "0,4"}, "axes"),
        ({"axes": "0,1", "at": "1"}, "at"),
        ({"axes": "0,1", "at": "1,2,3"}, "at"),
        ({"axes": "0", "at": "1,2"}, "at"),
        ({"at": "1,,2"}, "at"),
    ],
)
def test_a_plane_that_does_not_exist_is_refused(space: httpx.Client, query: dict[str, str], field: str) -> None:
    answer = space.get("/boundary-grid", params={"model": "space"} | query)
    assert_problem(answer, 422, "invalid-input", field=field)


def test_a_single_axis_gives_a_curve(space: httpx.Client) -> None:
    query = {"model": "beside", "axes": "2", "at": "0.5,-1,2", "resolution": "11", "x_min": -3, "x_max": 3}
    body = grid(space, **query).json()
    assert (body["shape"], body["y"], body["axes"], body["at"]) == ([11], None, [2], [0.5, -1.0, 2.0])
    assert body["window"] == {"x_min": -3, "x_max": 3, "y_min": None, "y_max": None}
    np.testing.assert_allclose(body["x"], np.linspace(-3, 3, 11))
    points_N4 = np.tile([0.5, -1.0, 0.0, 2.0], (11, 1))
    points_N4[:, 2] = body["x"]
    np.testing.assert_allclose(body["values"], predicted(space, "beside", points_N4)[:, 1], atol=1e-5)
    array = grid(space, **query, format="npy")
    np.testing.assert_array_equal(np.load(io.BytesIO(array.content)), np.array(body["values"], np.float32))
    assert array.headers["separatrix-window"] == "-3.0,3.0"


def test_a_model_with_one_feature_gives_a_curve_by_default(client: httpx.Client) -> None:
    body = grid(client, model="line", resolution="50").json()
    assert (body["shape"], body["axes"], body["at"]) == ([50], [0], [])
    answer = client.post("/predict", json={"model": "line", "points": [[x] for x in body["x"]]}).json()
    np.testing.assert_allclose(body["values"], np.array(answer["probabilities"])[:, 1], atol=1e-6)
    for response in ("label", "logit", "entropy"):
        assert len(grid(client, model="line", resolution="50", response=response).json()["values"]) == 50
    assert np.load(
        io.BytesIO(grid(client, model="line", resolution="50", response="activation", layer=0).content)
    ).shape == (4, 50)
    assert grid(client, model="line", resolution="50", response="embedding", layer=0).json()["shape"] == [50, 2]


def test_a_curve_may_have_as_many_cells_as_a_grid_has_columns(client: httpx.Client) -> None:
    assert grid(client, model="line", resolution="4096").json()["shape"] == [4096]


@pytest.mark.parametrize(("resolution", "size"), [("160", (160, 20)), ("160x3", (160, 3)), ("5", (5, 1))])
def test_the_picture_of_a_curve_is_a_strip(client: httpx.Client, resolution: str, size: tuple[int, int]) -> None:
    for query in (
        {},
        {"response": "label"},
        {"transparent": "true"},
        {"response": "activation", "layer": 0, "unit": 2},
    ):
        answer = grid(client, model="line", resolution=resolution, format="png", **query)
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.size == size
            rgba_HW4 = np.asarray(image.convert("RGBA"))
        assert (rgba_HW4 == rgba_HW4[:1]).all()
        assert (rgba_HW4[0, 0] != rgba_HW4[0, -1]).any()


def test_values_that_overflow_the_network_are_refused_with_the_parameter_at_fault(client: httpx.Client) -> None:
    data = {"points": [[1e7, 0, 1], [-1e7, 1, 0]], "labels": [0, 1]}
    network = {"kind": "logistic", "scale": "none"}
    train(client, "steep", data=data, network=network, training={"epochs": 2, "learning_rate": 1_000})
    answer = client.get("/boundary-grid", params={"model": "steep", "axes": "1,2", "at": "1e30"})
    assert_problem(answer, 422, "invalid-input", field="at")


def picture(client: httpx.Client, **query: Any) -> tuple[np.ndarray, httpx.Headers]:
    answer = grid(client, resolution="300", format="png", overlay="points", **query)
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.mode == "P"
        return np.asarray(image.convert("RGB"))[::-1].astype(int), answer.headers


def distances(axes: tuple[int, int], at: list[float]) -> np.ndarray:
    """The distance of each point from a plane, computed one by one."""
    others = [d for d in range(4) if d not in axes]
    deviation = POINTS.std(axis=0)
    squares = [
        [((point[d] - value) / deviation[d]) ** 2 for d, value in zip(others, at, strict=True)] for point in POINTS
    ]
    distance_N: np.ndarray = np.sqrt(np.mean(squares, axis=1))
    return distance_N


@pytest.mark.parametrize("query", [{}, {"axes": "3,1"}, {"axes": "0,2", "at": "1.5,-4"}], ids=str)
def test_points_farther_from_the_plane_than_within_are_left_out_and_counted(
    space: httpx.Client, query: dict[str, str]
) -> None:
    body = grid(space, **query).json()
    distance_N = distances(tuple(body["axes"]), body["at"])
    for within in (0, 0.5, 1, 1.5, 1000):
        _, headers = picture(space, **query, within=within)
        shown = int((distance_N <= within).sum())
        assert headers["separatrix-points"] == f"{shown},60"
    _, headers = picture(space, **query)
    assert headers["separatrix-points"] == "60,60"


def test_points_fade_with_their_distance_from_the_plane(space: httpx.Client) -> None:
    body = grid(space, axes="0,1", resolution="300", response="label").json()
    shown, _ = picture(space, axes="0,1")
    distance_N = distances((0, 1), body["at"])
    low, high = np.array([[body["x"][0], body["y"][0]], [body["x"][-1], body["y"][-1]]])
    place_N2 = np.round((POINTS[:, :2] - low) / (high - low) * 299).astype(int)
    own_C3 = np.array([list(bytes.fromhex(code[1:])) for code in body["colors"]])
    vividness = []
    for i, (column, row) in enumerate(place_N2):
        if (np.abs(place_N2 - place_N2[i]).max(axis=1) < 8).sum() == 1:
            vividness.append(
                (distance_N[i], np.abs(shown[row, column] - own_C3[body["classes"].index(LABELS[i])]).sum())
            )
    assert len(vividness) > 20
    for near, near_difference in vividness:
        for far, far_difference in vividness:
            if near < 0.5:
                assert near_difference == 0, "a point near the plane has the color of its class"
            if far > 1:
                assert far_difference > 60


def test_points_in_the_plane_of_all_features_do_not_fade_and_accept_within(client: httpx.Client) -> None:
    _, headers = picture(client, model="plane", within=0.5)
    assert headers["separatrix-points"] == "400,400"


@pytest.mark.parametrize(
    "query",
    [
        {"within": "-1", "overlay": "points", "format": "png"},
        {"within": "1001", "overlay": "points", "format": "png"},
        {"within": "nan", "overlay": "points", "format": "png"},
        {"within": "near", "overlay": "points", "format": "png"},
        {"within": "1", "overlay": "line", "format": "png"},
        {"within": "1", "format": "png"},
        {"within": "1"},
    ],
    ids=str,
)
def test_a_distance_that_is_out_of_bounds_or_has_no_points_is_refused(
    space: httpx.Client, query: dict[str, str]
) -> None:
    assert_problem(space.get("/boundary-grid", params={"model": "space"} | query), 422, "invalid-input", field="within")
