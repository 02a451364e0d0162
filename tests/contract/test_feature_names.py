"""Names of features: they come with the points, and stay with the job and the version."""

import httpx
import pytest

from tests.contract.job_requests import WAIT
from tests.contract.problems import assert_problem

NAMES = ["petal length", "petal width"]
DATA = {"points": [[0, 0], [0, 1], [3, 3], [3, 4]], "labels": ["no", "no", "yes", "yes"]}


def _train(service: httpx.Client, names: list[str] | None) -> httpx.Response:
    body = {"model": "named", "data": DATA | {"feature_names": names}, "training": {"epochs": 10}}
    return service.post("/train", json=body, headers=WAIT)


@pytest.mark.slow
def test_a_job_and_its_version_show_the_names_of_the_features(service: httpx.Client) -> None:
    job = _train(service, NAMES).json()
    assert job["data"]["feature_names"] == NAMES
    card = service.get(job["links"]["version"]).json()["card"]
    assert card["feature_names"] == NAMES
    assert card["data"]["feature_names"] == NAMES


def test_features_without_names_have_null(service: httpx.Client) -> None:
    job = _train(service, None).json()
    assert service.get(job["links"]["version"]).json()["card"]["feature_names"] is None


def test_names_of_features_do_not_change_the_weights(service: httpx.Client) -> None:
    with_names, without = _train(service, NAMES).json(), _train(service, None).json()
    assert with_names["recipe_digest"] == without["recipe_digest"]


@pytest.mark.parametrize(
    ("names", "field"),
    [
        (["one"], "data.feature_names"),
        (["a", "a"], "data.feature_names.1"),
        (["a", "b\n"], "data.feature_names.1"),
        (["a", ""], "data.feature_names.1"),
    ],
)
def test_names_that_do_not_fit_are_refused(service: httpx.Client, names: list[str], field: str) -> None:
    assert_problem(_train(service, names), 422, "invalid-input", field=field)
