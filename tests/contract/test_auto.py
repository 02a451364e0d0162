"""The preset `auto`: the service chooses what a request leaves open."""

from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.job_requests import WAIT
from tests.contract.problems import assert_problem


def _moons(n: int = 60) -> dict[str, Any]:
    """Two half-moons in metres, far from zero."""
    angle_N = np.linspace(0, np.pi, n // 2)
    upper_N2 = np.column_stack([np.cos(angle_N), np.sin(angle_N)])
    lower_N2 = np.column_stack([1 - np.cos(angle_N), 0.4 - np.sin(angle_N)])
    points_N2 = np.vstack([upper_N2, lower_N2]) + np.array([692_000.0, 5_334_000.0])
    return {"points": points_N2.tolist(), "labels": ["upper"] * (n // 2) + ["lower"] * (n // 2)}


MOONS = _moons()


def _train(service: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = service.post("/train", json={"model": "auto", "data": MOONS} | body, headers=WAIT)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    assert job["status"] == "succeeded", job
    return job


@pytest.fixture(scope="module")
def job(service: httpx.Client) -> dict[str, Any]:
    """A job on own points, with nothing set."""
    return _train(service)


@pytest.fixture(scope="module")
def card(service: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """The card of its version."""
    shown: dict[str, Any] = service.get(job["links"]["version"]).json()["card"]
    return shown


def test_own_points_without_settings_are_trained_by_auto(job: dict[str, Any]) -> None:
    assert job["preset"] == "auto"
    assert job["metrics"]["training_accuracy"] == 1.0


def test_the_job_shows_the_settings_that_were_chosen(job: dict[str, Any], card: dict[str, Any]) -> None:
    assert job["network"] == card["network"]
    assert job["training"] == card["training"]
    assert job["network"]["hidden"]
    assert job["progress"]["epochs"] == job["training"]["epochs"]


def test_the_card_lists_all_candidates_and_the_winner(card: dict[str, Any]) -> None:
    search = card["search"]
    losses = [candidate["log_loss"] for candidate in search["candidates"]]
    assert search["folds"] == 5
    assert losses[search["winner"]] == min(losses)
    assert search["candidates"][search["winner"]]["hidden"] == card["network"]["hidden"]
    assert search["reason"]


def test_the_card_has_the_figures_of_the_cross_validation(card: dict[str, Any]) -> None:
    evaluation = card["evaluation"]["cross_validation"]
    assert evaluation["log_loss"] == card["search"]["candidates"][card["search"]["winner"]]["log_loss"]
    assert sum(map(sum, evaluation["confusion"])) == len(MOONS["points"])


def test_training_with_the_settings_of_the_card_gives_the_same_weights(
    service: httpx.Client, job: dict[str, Any], card: dict[str, Any]
) -> None:
    settings = {"network": card["network"], "training": {k: v for k, v in card["training"].items() if v is not None}}
    again = _train(service, preset="tutorial", **settings)
    card_again = service.get(again["links"]["version"]).json()["card"]
    assert card_again["recipe_digest"] == card["recipe_digest"]
    assert card_again["files"]["network.safetensors"] == card["files"]["network.safetensors"]


@pytest.mark.slow
def test_a_request_with_the_feature_weights_of_a_card_gives_the_same_network(service: httpx.Client) -> None:
    """Only two of twelve features matter, so the service finds that their weights should be larger."""
    points_ND = np.random.default_rng(0).normal(size=(300, 12))
    data = {"points": points_ND.tolist(), "labels": [int(x * y > 0) for x, y in points_ND[:, :2]]}
    card = service.get(_train(service, data=data)["links"]["version"]).json()["card"]
    weights = card["network"]["feature_weights"]
    assert min(weights[:2]) > 2 * max(weights[2:])
    assert card["search"]["candidates"][card["search"]["winner"]]["feature_weights"] == weights
    assert "feature_weights" not in card["search"]["candidates"][0]
    settings = {"network": card["network"], "training": {k: v for k, v in card["training"].items() if v is not None}}
    again = _train(service, data=data, preset="tutorial", **settings)
    card_again = service.get(again["links"]["version"]).json()["card"]
    assert card_again["recipe_digest"] == card["recipe_digest"]
    assert card_again["files"]["network.safetensors"] == card["files"]["network.safetensors"]


@pytest.mark.parametrize("settings", [{"network": {"hidden": [3]}}, {"training": {"epochs": 20}}])
def test_own_points_with_settings_are_trained_as_in_the_tutorial(
    service: httpx.Client, settings: dict[str, Any]
) -> None:
    job = _train(service, training={"epochs": 20}, **{k: v for k, v in settings.items() if k != "training"})
    assert job["preset"] == "tutorial"
    assert job["training"]["optimizer"] == "sgd"


def test_generated_points_are_trained_as_in_the_tutorial(service: httpx.Client) -> None:
    body = {"model": "auto", "data": {"dataset": "flower"}}
    job = service.post("/train", json=body, params={"validate_only": True}).json()
    assert (job["preset"], job["training"]["epochs"], job["network"]["hidden"]) == ("tutorial", 10_000, [4])


def test_auto_keeps_what_the_request_sets(service: httpx.Client) -> None:
    job = _train(service, preset="auto", network={"kind": "module", "hidden": [3]}, training={"seed": 5})
    assert (job["network"]["kind"], job["network"]["hidden"], job["training"]["seed"]) == ("module", [3], 5)
    assert job["training"]["optimizer"] == "lbfgs"


def test_a_validated_job_has_no_settings_yet(service: httpx.Client) -> None:
    answer = service.post("/train", json={"model": "auto", "data": MOONS}, params={"validate_only": True})
    shown = answer.json()
    assert (shown["preset"], shown["network"], shown["training"]) == ("auto", None, None)


@pytest.mark.slow
def test_equal_requests_give_equal_weights(service: httpx.Client, job: dict[str, Any], card: dict[str, Any]) -> None:
    again = _train(service)
    assert again["recipe_digest"] == job["recipe_digest"]
    assert service.get(again["links"]["version"]).json()["card"]["files"] == card["files"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"network": {"hidden": [0]}}, "network.hidden.0"),
        ({"network": {"kind": "logistic", "hidden": [3]}}, "network.hidden"),
        ({"training": {"optimizer": "adam", "momentum": 0.5}}, "training.momentum"),
        ({"preset": "best"}, "preset"),
    ],
)
def test_given_settings_out_of_bounds_are_refused(service: httpx.Client, settings: dict[str, Any], field: str) -> None:
    body = {"model": "auto", "data": MOONS, "preset": "auto"} | settings
    assert_problem(service.post("/train", json=body), 422, "invalid-input", field=field)


def test_given_settings_can_be_evaluated_in_folds(service: httpx.Client) -> None:
    job = _train(service, network={"hidden": [4]}, training={"epochs": 300, "validation_folds": 3})
    card = service.get(job["links"]["version"]).json()["card"]
    assert card["search"] is None
    assert card["evaluation"]["validation"] is None
    confusion = card["evaluation"]["cross_validation"]["confusion"]
    assert sum(map(sum, confusion)) == len(MOONS["points"])


def test_folds_and_a_held_out_fraction_exclude_each_other(service: httpx.Client) -> None:
    training = {"validation_folds": 3, "validation_fraction": 0.2}
    answer = service.post("/train", json={"model": "auto", "data": MOONS, "training": training})
    assert_problem(answer, 422, "invalid-input", field="training.validation_folds")


def test_folds_of_points_that_cannot_be_held_out_are_refused(service: httpx.Client) -> None:
    data = {"points": [[0], [1]], "labels": ["a", "b"]}
    body = {"model": "auto", "data": data, "training": {"epochs": 5, "validation_folds": 2}}
    assert_problem(service.post("/train", json=body), 422, "invalid-input", field="training.validation_folds")
