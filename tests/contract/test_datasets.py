from typing import Any

import httpx
import numpy as np
import pytest

from models.datasets import generate
from models.specs import DatasetSpec
from tests.contract.problems import assert_problem
from tests.serving import train

NAMES = ["flower", "circles", "moons", "xor", "spirals", "gaussians"]


def test_datasets_are_listed_with_their_defaults(client: httpx.Client) -> None:
    body = client.get("/datasets").json()
    assert [one["name"] for one in body["data"] if one["type"] == "generated"] == NAMES
    assert body["has_more"] is False
    flower = client.get("/datasets/flower").json()
    assert flower == body["data"][0]
    assert flower["classes"] == ["red", "blue"]
    assert flower["defaults"] == {"n": 400, "noise": 0.2, "seed": 1, "n_classes": 2}
    assert (flower["object"], flower["n_features"], flower["max_classes"]) == ("dataset", 2, 2)
    assert client.get("/datasets/spirals").json()["max_classes"] > 2
    assert client.get(flower["links"]["self"]).json() == flower
    assert client.get(flower["links"]["points"]).is_success


@pytest.mark.parametrize("name", NAMES)
def test_points_equal_those_of_the_generator(client: httpx.Client, name: str) -> None:
    body = client.get(f"/datasets/{name}/points", params={"n": 50, "seed": 3}).json()
    expected = generate(DatasetSpec(dataset=name, n=50, seed=3))  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.array(body["points"], dtype=np.float32), expected.xy_ND)
    assert body["labels"] == [expected.classes[k] for k in expected.label_N]
    assert (body["object"], body["dataset"]) == ("points", name)


def test_downloaded_points_train_the_same_model_as_their_dataset(client: httpx.Client) -> None:
    points = client.get("/datasets/moons/points", params={"n": 40}).json()
    own = {"points": points["points"], "labels": points["labels"]}
    given = train(client, "given", data=own, network={"scale": "none"})
    named = train(client, "named", data={"dataset": "moons", "n": 40})
    assert given["data_digest"] == named["data_digest"]
    assert given["metrics"] == named["metrics"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"n": 1}, "n"),
        ({"n": 100_001}, "n"),
        ({"noise": "loud"}, "noise"),
        ({"noise": "nan"}, "noise"),
        ({"seed": -1}, "seed"),
        ({"n_classes": 1}, "n_classes"),
        ({"classes": 2}, "classes"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_invalid_parameter_is_rejected_with_its_name(
    client: httpx.Client, query: dict[str, Any], field: str
) -> None:
    assert_problem(client.get("/datasets/spirals/points", params=query), 422, "invalid-input", field=field)


def test_a_dataset_of_two_classes_cannot_have_a_third(client: httpx.Client) -> None:
    answer = client.get("/datasets/flower/points", params={"n_classes": 3})
    assert_problem(answer, 422, "invalid-input", field="n_classes")
    answer = client.get("/datasets/spirals/points", params={"n_classes": 9, "n": 5})
    assert_problem(answer, 422, "invalid-input", field="n")


def test_an_unknown_dataset_is_not_found(client: httpx.Client) -> None:
    for name in ("roses", "Flower", "%00"):
        assert_problem(client.get(f"/datasets/{name}"), 404, "dataset-not-found")
        assert_problem(client.get(f"/datasets/{name}/points"), 404, "dataset-not-found")
    assert "No dataset is named 'roses'" in client.get("/datasets/roses").json()["detail"]
    assert "%00" not in client.get("/datasets/%00").text
