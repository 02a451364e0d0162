from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from service.jobs import promotion
from tests.contract.problems import assert_problem
from tests.serving import train

HELD_OUT = {"epochs": 60, "validation_fraction": 0.25}


def latest(client: httpx.Client, model: str) -> int | None:
    served: int | None = client.get(f"/models/{model}").json()["served_version"]
    return served


@pytest.mark.slow
def test_latest_moves_only_if_the_conditions_hold(service: httpx.Client) -> None:
    first = train(service, "guarded", training=HELD_OUT)
    assert first["promotion"] is None
    assert first["promote_if"] is first["promote_to"] is None
    job = train(service, "guarded", training=HELD_OUT, promote_if={"accuracy": ">=1", "log_loss": "<=10"})
    assert (job["status"], job["version"], job["promote_to"]) == ("succeeded", 2, "latest")
    assert job["promote_if"] == {"accuracy": ">=1", "log_loss": "<=10"}
    version = service.get(job["links"]["version"]).json()
    figures = version["card"]["evaluation"]["validation"]
    assert (
        job["promotion"]
        == version["promotion"]
        == {
            "alias": "latest",
            "promoted": False,
            "reason": f"By validation points: accuracy is {figures['accuracy']:.6g}, >=1 is required.",
        }
    )
    assert (latest(service, "guarded"), service.get("/models/guarded").json()["newest_version"]) == (1, 2)

    job = train(service, "guarded", training=HELD_OUT, promote_if={"log_loss": "< 10", "accuracy": ">0.0"})
    assert job["promotion"]["promoted"]
    assert latest(service, "guarded") == 3
    (done,) = [event["data"] for event in service.get(job["links"]["events"]).json()["data"] if event["type"] == "done"]
    assert done["promotion"] == job["promotion"]


@pytest.mark.slow
def test_another_alias_moves_under_conditions_while_latest_moves_without(service: httpx.Client) -> None:
    conditions = {"promote_to": "production", "promote_if": {"accuracy": ">=1"}}
    train(service, "canary", training=HELD_OUT, **conditions)
    assert service.get("/models/canary").json()["aliases"] == {"latest": 1}
    train(service, "canary", training=HELD_OUT, **conditions | {"promote_if": {"accuracy": "<=1"}})
    assert service.get("/models/canary").json()["aliases"] == {"latest": 2, "production": 2}


def test_a_model_whose_only_version_was_not_promoted_has_no_latest_version(service: httpx.Client) -> None:
    train(service, "unproven", training=HELD_OUT, promote_if={"accuracy": ">=1"})
    model = service.get("/models/unproven").json()
    assert (model["newest_version"], model["served_version"], model["latest"], model["aliases"]) == (1, None, None, {})
    request = {"model": "unproven", "points": [[0, 0]]}
    answer = service.post("/predict", json=request)
    assert_problem(answer, 404, "alias-not-found")
    assert "promote_if" in answer.json()["detail"]
    assert service.post("/predict", json=request | {"version": 1}).status_code == 200
    assert service.put("/models/unproven/aliases/latest", json={"version": 1}).status_code == 200
    assert service.post("/predict", json=request).json()["version"] == 1


def test_the_cross_validation_decides_without_validation_points(service: httpx.Client) -> None:
    job = train(
        service,
        "folded",
        training={"epochs": 20, "validation_folds": 2},
        promote_if={"accuracy": ">=0", "log_loss": "<9"},
    )
    figures = service.get(job["links"]["version"]).json()["card"]["evaluation"]["cross_validation"]
    assert job["promotion"]["promoted"]
    assert f"By cross-validation: accuracy is {figures['accuracy']:.6g}" in job["promotion"]["reason"]


def test_conditions_without_validation_are_refused_with_what_to_add(service: httpx.Client) -> None:
    body = {"model": "m", "data": {"dataset": "flower"}, "promote_if": {"accuracy": ">=0.5"}}
    answer = service.post("/train", json=body)
    assert_problem(answer, 422, "invalid-input", field="promote_if")
    assert "validation_fraction" in answer.json()["detail"]
    shown = service.post("/train", json=body | {"preset": "auto"}, params={"validate_only": True})
    assert shown.json()["promote_if"] == {"accuracy": ">=0.5"}


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({"accuracy": "0.95"}, "promote_if.accuracy"),
        ({"accuracy": "=>0.95"}, "promote_if.accuracy"),
        ({"accuracy": ">=95"}, "promote_if.accuracy"),
        ({"accuracy": ">=0,95"}, "promote_if.accuracy"),
        ({"accuracy": ">=-0.1"}, "promote_if.accuracy"),
        ({"accuracy": ">=nan"}, "promote_if.accuracy"),
        ({"accuracy": 0.95}, "promote_if.accuracy"),
        ({"log_loss": "<=1e-3"}, "promote_if.log_loss"),
        ({"log_loss": "<=99999999"}, "promote_if.log_loss"),
        ({"accuracy": "<=1.01"}, "promote_if.accuracy"),
        ({"loss": "<=0.2"}, "promote_if.loss"),
        ({}, "promote_if"),
    ],
)
def test_a_malformed_condition_is_refused(service: httpx.Client, conditions: dict[str, Any], field: str) -> None:
    body = {"model": "m", "data": {"dataset": "flower"}, "training": HELD_OUT, "promote_if": conditions}
    assert_problem(service.post("/train", json=body), 422, "invalid-input", field=field)


@pytest.mark.parametrize("more", [{"promote_to": "7", "promote_if": {"accuracy": ">0"}}, {"promote_to": "production"}])
def test_an_alias_to_promote_to_is_a_name_and_needs_conditions(service: httpx.Client, more: dict[str, Any]) -> None:
    body = {"model": "m", "data": {"dataset": "flower"}, "training": HELD_OUT}
    assert_problem(service.post("/train", json=body | more), 422, "invalid-input", field="promote_to")


def test_an_idempotency_key_is_for_one_set_of_conditions(service: httpx.Client) -> None:
    body = {"model": "keyed", "data": {"dataset": "flower"}, "training": HELD_OUT, "promote_if": {"accuracy": ">0"}}
    key = {"Idempotency-Key": "promotion"}
    first = service.post("/train", json=body, headers=key)
    assert service.post("/train", json=body, headers=key).json()["id"] == first.json()["id"]
    other = service.post("/train", json=body | {"promote_if": {"accuracy": ">0.5"}}, headers=key)
    assert_problem(other, 422, "idempotency-key-reused")


FIGURES = {"accuracy": 0.9, "log_loss": 0.25}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        *[((">=0.9"), True), ((">0.9"), False), (("<=0.9"), True), (("<0.9"), False)],
        *[((">= 0.89"), True), (("> 0.91"), False), (("<1"), True)],
    ],
)
def test_a_condition_compares_by_its_operator(condition: str, holds: bool) -> None:
    decided = promotion.decide(promotion.requested({"accuracy": condition}, None), {"validation": FIGURES})
    assert decided is not None
    assert decided["promoted"] is holds


@pytest.mark.parametrize(
    ("evaluation", "reason"),
    [
        ({}, "There are no figures on validation points."),
        ({"training": FIGURES}, "There are no figures on validation points."),
        ({"validation": {"log_loss": None}}, "log_loss is unknown"),
        ({"validation": FIGURES, "cross_validation": {"log_loss": 0.01}}, "By validation points: log_loss is 0.25"),
    ],
)
def test_a_condition_on_an_unknown_figure_does_not_hold(evaluation: Mapping[str, Any], reason: str) -> None:
    decided = promotion.decide(promotion.requested({"log_loss": "<0.2"}, "prod"), evaluation)
    assert decided is not None
    assert (decided["alias"], decided["promoted"]) == ("prod", False)
    assert reason in decided["reason"]
