"""Grids as PNG, decoded by another library and held against the JSON of the same grid."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.colours import scale
from tests.contract.problems import assert_problem

SIZE = {"resolution": "64x48"}


def picture(client: httpx.Client, **params: Any) -> np.ndarray:
    answer = client.get("/boundary-grid", params=SIZE | {"format": "png"} | params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (64, 48)
        return np.asarray(image.convert("RGB"))


def colours(body: dict[str, Any]) -> np.ndarray:
    return np.array([list(bytes.fromhex(colour[1:])) for colour in body["colours"]])


@pytest.mark.parametrize("model", ["plane", "trio"])
def test_a_picture_of_labels_has_the_colour_of_each_class_where_the_json_has_the_class(
    client: httpx.Client, model: str
) -> None:
    params = {"model": model, "response": "label"}
    body = client.get("/boundary-grid", params=SIZE | params).json()
    upside_up = colours(body)[np.array(body["values"])][::-1]
    np.testing.assert_array_equal(picture(client, **params), upside_up)
    assert len(np.unique(upside_up.reshape(-1, 3), axis=0)) > 1


def test_a_picture_of_probabilities_goes_from_the_others_colour_over_pale_grey_to_the_classs_own(
    client: httpx.Client,
) -> None:
    body = client.get("/boundary-grid", params=SIZE | {"model": "plane"}).json()
    rgb_HW3 = picture(client, model="plane")[::-1].astype(int)
    values_HW = np.array(body["values"])
    red, blue = colours(body).astype(np.uint8)
    expected = scale(red, blue, steps=256)[np.round(values_HW * 255).astype(int)]
    assert np.abs(rgb_HW3 - expected).max() <= 3, "to the step that rounding may shift"
    unsure = np.abs(values_HW - 0.5) < 0.02
    assert unsure.any()
    assert rgb_HW3[unsure].min() > 215


def test_a_picture_of_one_of_many_classes_pales_where_it_is_not(client: httpx.Client) -> None:
    params = {"model": "trio", "response": "probability", "class": "1"}
    body = client.get("/boundary-grid", params=SIZE | params).json()
    rgb_HW3 = picture(client, **params)[::-1].astype(int)
    values_HW = np.array(body["values"])
    k = [str(label) for label in body["classes"]].index("1")
    expected = scale(None, colours(body)[k].astype(np.uint8), steps=256)[np.round(values_HW * 255).astype(int)]
    assert np.abs(rgb_HW3 - expected).max() <= 3
    assert values_HW.max() - values_HW.min() > 0.5


def test_browsers_that_ask_for_an_image_get_one(client: httpx.Client) -> None:
    accept = {"Accept": "image/avif,image/webp,image/apng,image/*,*/*;q=0.8"}
    answer = client.get("/boundary-grid", params=SIZE | {"model": "plane"}, headers=accept)
    assert answer.headers["content-type"] == "image/png"
    tag = answer.headers["etag"]
    again = client.get("/boundary-grid", params=SIZE | {"model": "plane"}, headers=accept | {"If-None-Match": tag})
    assert again.status_code == 304


def test_there_is_no_picture_of_logits(client: httpx.Client) -> None:
    answer = client.get("/boundary-grid", params={"model": "plane", "response": "logit", "format": "png"})
    assert_problem(answer, 422, "invalid-input", field="response")
