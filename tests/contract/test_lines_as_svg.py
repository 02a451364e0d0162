"""Boundary lines as SVG, parsed by xml.etree and compared with the GeoJSON of the same lines."""

from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest

from service.render import palette
from tests.contract.problems import assert_problem
from tests.serving import train

SVG = "{http://www.w3.org/2000/svg}"


def get(client: httpx.Client, **query: Any) -> httpx.Response:
    answer = client.get("/boundary-grid", params={"model": "plane"} | query)
    assert answer.status_code == 200, answer.text
    return answer


def drawing(client: httpx.Client, **query: Any) -> ElementTree.Element:
    answer = get(client, **query, format="svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    root = ElementTree.fromstring(answer.content)
    assert root.tag == f"{SVG}svg"
    return root


def paths(root: ElementTree.Element) -> list[ElementTree.Element]:
    (group,) = root.findall(f"{SVG}g")
    assert group.get("transform") == "scale(1 -1)"
    assert group.get("fill") == "none"
    return group.findall(f"{SVG}path")


def vertices(path: ElementTree.Element) -> list[list[float]]:
    """The vertices of a path, which for a ring end with the first."""
    data = path.get("d", "")
    assert data[0] == "M"
    found = [[float(number) for number in pair.split(",")] for pair in data.strip("MZ").split(" ")]
    return [*found, found[0]] if data.endswith("Z") else found


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"levels": "0.1,0.5,0.93"},
        {"levels": "0.2", "class": "red"},
        {"model": "trio", "resolution": "300"},
        {"model": "trio", "levels": "0.2,0.8", "class": "1"},
        {"axes": "1,0", "resolution": "50x70", "x_min": -2},
    ],
    ids=str,
)
def test_there_is_one_path_for_each_line_of_the_geojson_with_the_same_vertices(
    client: httpx.Client, query: dict[str, Any]
) -> None:
    features = get(client, **query, format="geojson").json()["features"]
    drawn = paths(drawing(client, **query))
    assert len(drawn) == len(features) > 0
    for path, feature in zip(drawn, features, strict=True):
        assert vertices(path) == feature["geometry"]["coordinates"]
        assert path.get("d", "").endswith("Z") == feature["properties"]["closed"]
        assert path.get("vector-effect") == "non-scaling-stroke"


def test_the_view_box_is_the_window_with_y_up_and_the_size_is_the_resolution(client: httpx.Client) -> None:
    window = {"x_min": -1.5, "x_max": 2.25, "y_min": -3, "y_max": 0.1}
    root = drawing(client, **window, resolution="60x40")
    assert [float(number) for number in root.get("viewBox", "").split()] == [-1.5, -0.1, 3.75, 3.1]
    assert (root.get("width"), root.get("height"), root.get("preserveAspectRatio")) == ("60", "40", "none")
    xy_V2 = np.concatenate([vertices(path) for path in paths(root)])
    assert (xy_V2.min(axis=0) >= [-1.5, -3]).all()
    assert (xy_V2.max(axis=0) <= [2.25, 0.1]).all()


def test_the_title_names_the_model_and_the_version(client: httpx.Client) -> None:
    root = drawing(client, axes="1,0")
    assert root.findtext(f"{SVG}title") == "plane version 1: decision boundary"
    assert root.findtext(f"{SVG}desc") == "Axes: 1, 0. Classes: red, blue."
    headers = get(client, axes="1,0", format="svg").headers
    assert (headers["separatrix-model"], headers["separatrix-version"]) == ("plane", "1")
    assert headers["separatrix-axes"] == "1,0"


def test_a_ring_is_a_closed_path(client: httpx.Client) -> None:
    data = {"dataset": "circles", "n": 300}
    train(client, "svg-ring", data=data, network={"hidden": [8]}, training={"epochs": 3_000, "learning_rate": 0.5})
    root = drawing(client, model="svg-ring", x_min=-1.2, x_max=1.2, y_min=-1.2, y_max=1.2)
    (ring,) = [path for path in paths(root) if path.get("d", "").endswith("Z")]
    assert vertices(ring)[0] == vertices(ring)[-1]


def stroke(path: ElementTree.Element) -> str:
    return path.get("stroke", "")


def mixed(colors: list[str], shares: list[float]) -> str:
    rgb_C3 = np.array([list(bytes.fromhex(color[1:])) for color in colors], np.uint8)
    (code,) = palette.hex_codes(palette.mixture(rgb_C3, shares)[None])
    return code


def test_lines_have_the_colors_of_their_classes_in_the_shares_of_the_probabilities(client: httpx.Client) -> None:
    red, blue = get(client).json()["colors"]
    assert {stroke(path) for path in paths(drawing(client))} == {mixed([red, blue], [0.5, 0.5])}
    for class_name, own, other in (("blue", blue, red), ("red", red, blue)):
        features = get(client, levels="0.2,0.9", **{"class": class_name}, format="geojson").json()["features"]
        drawn = paths(drawing(client, levels="0.2,0.9", **{"class": class_name}))
        assert {feature["properties"]["level"] for feature in features} == {0.2, 0.9}
        for path, feature in zip(drawn, features, strict=True):
            level = feature["properties"]["level"]
            assert stroke(path) == mixed([own, other], [level, 1 - level])
            assert path.findtext(f"{SVG}title") == f"{class_name}: {level}"

    body = get(client, model="trio").json()
    features = get(client, model="trio", format="geojson").json()["features"]
    for path, feature in zip(paths(drawing(client, model="trio")), features, strict=True):
        i, j = (body["classes"].index(label) for label in feature["properties"]["classes"])
        assert stroke(path) == mixed([body["colors"][i], body["colors"][j]], [0.5, 0.5])
        assert path.findtext(f"{SVG}title") == f"{body['classes'][i]} | {body['classes'][j]}"
    of_one = paths(drawing(client, model="trio", levels="0.2,0.8", **{"class": "1"}))
    assert {stroke(path) for path in of_one} == {body["colors"][1]}


def test_labels_are_escaped_and_characters_that_xml_forbids_are_replaced(client: httpx.Client) -> None:
    data = {"points": [[0, 0], [1, 1], [2, 0]], "labels": ["<script>&amp;", "]]>\ufffe\uffff", "]]>\ufffe\uffff"]}
    train(client, "hostile", data=data)
    root = drawing(client, model="hostile")
    assert {element.tag for element in root.iter()} <= {
        f"{SVG}{name}" for name in ("svg", "title", "desc", "g", "path")
    }
    assert "<script>&amp;, ]]>\ufffd\ufffd" in (root.findtext(f"{SVG}desc") or "")


def test_where_one_class_is_everywhere_the_drawing_is_empty(client: httpx.Client) -> None:
    window = {"x_min": 3.5, "x_max": 3.6, "y_min": 0.5, "y_max": 0.6}
    features = get(client, model="trio", **window, format="geojson").json()["features"]
    assert features == []
    assert paths(drawing(client, model="trio", **window)) == []


@pytest.mark.parametrize(
    "accept",
    [
        "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
        "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        "image/webp,image/avif,image/jxl,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        "image/*",
    ],
)
def test_an_image_element_of_a_browser_gets_png_as_before(client: httpx.Client, accept: str) -> None:
    query = {"model": "plane", "resolution": "20"}
    answer = client.get("/boundary-grid", params=query, headers={"Accept": accept})
    assert answer.headers["content-type"] == "image/png"


def test_the_accept_header_selects_it_and_its_tag_is_recognized(client: httpx.Client) -> None:
    query, accept = {"model": "plane"}, {"Accept": "image/svg+xml, image/png;q=0.5"}
    answer = client.get("/boundary-grid", params=query, headers=accept)
    assert answer.content == get(client, format="svg").content
    known = accept | {"If-None-Match": answer.headers["etag"]}
    assert client.get("/boundary-grid", params=query, headers=known).status_code == 304
    unit = {"response": "activation", "layer": 0, "unit": 0}
    refused = client.get("/boundary-grid", params=query | unit, headers={"Accept": "image/svg+xml"})
    assert_problem(refused, 406, "not-acceptable")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"axes": "0", "resolution": "20"}, "format"),
        ({"response": "activation", "layer": 0, "unit": 0}, "format"),
        ({"response": "activation", "layer": 0}, "format"),
        ({"response": "embedding", "layer": 0}, "format"),
        ({"response": "label"}, "response"),
        ({"adaptive": "true"}, "adaptive"),
        ({"overlay": "points"}, "overlay"),
        ({"levels": "1"}, "levels"),
        ({"model": "trio", "levels": "0.5"}, "class"),
        ({"model": "trio", "class": "1"}, "class"),
    ],
    ids=str,
)
def test_lines_that_svg_cannot_show_are_refused_with_the_parameter_at_fault(
    client: httpx.Client, query: dict[str, Any], field: str
) -> None:
    answer = client.get("/boundary-grid", params={"model": "plane", "format": "svg"} | query)
    assert_problem(answer, 422, "invalid-input", field=field)
