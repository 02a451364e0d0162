"""Axes and the values of the other features, by the names of the features."""

from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest

from tests.contract.problems import assert_problem
from tests.serving import train

NAMES = ["sepal length", "width, cm", "a=b", 'the "fourth"']
POINTS = np.random.default_rng(3).normal(0, 1, (40, 4)).round(2)
LABELS = (POINTS @ [1.0, -1.0, 0.5, 2.0] > 0).astype(int)


@pytest.fixture(scope="module")
def named(client: httpx.Client) -> httpx.Client:
    """The client, with `named` whose features have awkward names, and `counted` whose names are numbers."""
    data = {"points": POINTS.tolist(), "labels": LABELS.tolist()}
    train(client, "named", data=data | {"feature_names": NAMES}, training={"epochs": 50})
    train(client, "counted", data=data | {"feature_names": ["1", "0", "2", "10"]}, training={"epochs": 50})
    return client


def grid(client: httpx.Client, params: list[tuple[str, str]], model: str = "named") -> httpx.Response:
    return client.get("/boundary-grid", params=[("model", model), ("resolution", "5"), *params])


def axes(*items: str) -> list[tuple[str, str]]:
    return [("axes", item) for item in items]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (axes("sepal length,a=b"), [0, 2]),
        (axes("a=b, sepal length"), [2, 0]),
        (axes("a=b,1"), [2, 1]),
        (axes("a=b"), [2]),
        (axes("width, cm", "sepal length"), [1, 0]),
        (axes('"width, cm",sepal length'), [1, 0]),
        (axes('"width, cm"'), [1]),
        (axes('the "fourth",0'), [3, 0]),
        (axes('"the ""fourth""",0'), [3, 0]),
        (axes("3,2"), [3, 2]),
    ],
    ids=str,
)
def test_axes_are_found_by_name_and_by_number(
    named: httpx.Client, given: list[tuple[str, str]], expected: list[int]
) -> None:
    answer = grid(named, given)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["axes"] == expected
    assert body["axis_names"] == [NAMES[d] for d in expected]
    by_number = grid(named, axes(",".join(map(str, expected)))).json()
    assert body == by_number


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a=b=1.5", [1.5, None]),
        ('the "fourth"=-2,a=b=1.5', [1.5, -2.0]),
        ('2=1e-3, "the ""fourth"""= 4', [0.001, 4.0]),
        ("0.5,-1", [0.5, -1.0]),
    ],
)
def test_some_of_the_other_features_can_be_fixed_by_name(
    named: httpx.Client, given: str, expected: list[float | None]
) -> None:
    answer = grid(named, [("at", given)])
    assert answer.status_code == 200, answer.text
    medians = np.median(POINTS[:, 2:], axis=0)
    own = [median if value is None else value for median, value in zip(medians, expected, strict=True)]
    np.testing.assert_allclose(answer.json()["at"], own, rtol=1e-6)
    numbers = ",".join(map(repr, answer.json()["at"]))
    assert grid(named, [("at", numbers)]).json() == answer.json()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (axes("petal length,0"), 'sepal length, width, cm, a=b, the "fourth"; or by number, 0 to 3'),
        (axes("Sepal length,0"), "must name one of the model's features"),
        (axes("width, cm"), "must name one of the model's features"),
        (axes("4,0"), "must name one of the model's features"),
        (axes('"0",1'), "must name one of the model's features"),
        (axes("sepal length,0"), "must be two different features"),
        (axes("0,1,2"), "must be one or two features"),
        (axes(""), "must name one of the model's features"),
    ],
    ids=str,
)
def test_unknown_axes_are_refused_with_the_names_that_exist(
    named: httpx.Client, given: list[tuple[str, str]], said: str
) -> None:
    answer = grid(named, given)
    assert_problem(answer, 422, "invalid-input", field="axes")
    assert said in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a=b=1,2", "must be all numbers, such as 1.5,0.2, or all name=number"),
        ("a=b", "must be all numbers, such as 1.5,0.2, or all name=number"),
        ("a=b=one", "must be all numbers, such as 1.5,0.2, or all name=number"),
        ("petal=1", "must name one of the model's features"),
        ("sepal length=1", "must not contain a feature that is on an axis"),
        ("2=1,a=b=2", "must name each feature only once"),
        ("a=b=1e31", "each must be between"),
        ("1", "must have 2 values"),
    ],
)
def test_values_that_do_not_fit_the_other_features_are_refused(named: httpx.Client, given: str, said: str) -> None:
    answer = grid(named, [("at", given)])
    assert_problem(answer, 422, "invalid-input", field="at")
    assert said in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(("given", "expected"), [('"1","0"', [0, 1]), ("2,10", [2, 3]), ("3,2", [3, 2])])
def test_a_name_that_is_a_number_is_used_where_it_is_clear(
    named: httpx.Client, given: str, expected: list[int]
) -> None:
    assert grid(named, axes(given), model="counted").json()["axes"] == expected


def test_a_number_that_names_another_feature_is_refused_with_the_way_out(named: httpx.Client) -> None:
    answer = grid(named, axes("1,2"), model="counted")
    assert_problem(answer, 422, "invalid-input", field="axes")
    assert "in double quotes" in answer.json()["errors"][0]["detail"]
    assert_problem(grid(named, [("axes", "2,10"), ("at", "1=5")], model="counted"), 422, "invalid-input", field="at")


def test_geojson_and_svg_name_the_axes(named: httpx.Client) -> None:
    given: list[Any] = axes("a=b,sepal length")
    geojson = grid(named, [*given, ("format", "geojson")]).json()
    assert (geojson["axes"], geojson["axis_names"]) == ([2, 0], ["a=b", "sepal length"])
    svg = ElementTree.fromstring(grid(named, [*given, ("format", "svg")]).content)
    at = ", ".join(f"{NAMES[d]} = {value!r}" for d, value in zip((1, 3), geojson["at"], strict=True))
    assert svg.findtext("{http://www.w3.org/2000/svg}desc") == f"Axes: a=b, sepal length. At: {at}. Classes: 0, 1."


def test_a_model_without_names_has_null_and_lists_its_numbers(client: httpx.Client) -> None:
    answer = grid(client, [], model="plane")
    assert answer.json()["axis_names"] is None
    answer = grid(client, axes("x,y"), model="plane")
    assert answer.json()["errors"][0]["detail"] == "must name one of the model's features: 0 to 1"


def test_features_that_are_constant_in_the_data_are_not_axes_by_default(client: httpx.Client) -> None:
    points = np.insert(POINTS, 1, 7.0, axis=1)
    train(client, "constant", data={"points": points.tolist(), "labels": LABELS.tolist()}, training={"epochs": 5})
    assert grid(client, [], "constant").json()["axes"] == [0, 2]
