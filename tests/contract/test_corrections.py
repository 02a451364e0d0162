"""Corrections of a version: relabelled and new points, on which its next version is trained."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.datasets import generate
from models.specs import DatasetSpec
from tests.contract.problems import assert_problem
from tests.contract.test_stored_datasets import stored
from tests.serving import ended, train

_rng = np.random.default_rng(4)
XY = np.concatenate([_rng.normal((-2, 0), 0.7, (20, 2)), _rng.normal((2, 0), 0.7, (20, 2))]).round(3)
LABELS = ["left"] * 20 + ["right"] * 20
WRONG = [*LABELS[:-3], "left", "left", "left"]
"""The last three points are labelled wrongly."""
TRAINING = {"epochs": 300, "optimizer": "adam", "learning_rate": 0.05, "weight_decay": 0.001}
SETTINGS = {
    "data": {"points": XY.tolist(), "labels": WRONG, "feature_names": ["u", "v"]},
    "network": {"kind": "two_layer", "hidden": [8]},
    "training": TRAINING,
}
FIXED = {"points": XY[-3:].tolist(), "labels": LABELS[-3:]}


@pytest.fixture(scope="module", autouse=True)
def _model(service: httpx.Client) -> None:
    assert train(service, "wrong", **SETTINGS)["status"] == "succeeded"


def correct(client: httpx.Client, model: str, **body: Any) -> dict[str, Any]:
    """The job of corrections once it has ended."""
    answer = client.post(f"/models/{model}/corrections", json=body, headers={"Prefer": "wait=50"})
    assert answer.status_code in (200, 202), answer.text
    return ended(client, answer.headers["location"])


def predicted(client: httpx.Client, model: str, version: int, xy: np.ndarray) -> list[Any]:
    answer = client.post("/predict", json={"model": model, "version": version, "points": xy.tolist()})
    labels: list[Any] = answer.json()["labels"]
    return labels


def test_corrected_labels_take_the_place_of_the_wrong_ones(service: httpx.Client) -> None:
    job = correct(service, "wrong", **FIXED, version=1)
    assert (job["status"], job["model"], job["preset"]) == ("succeeded", "wrong", "version")
    assert job["data"] == {
        "type": "points",
        "n_points": 40,
        "n_features": 2,
        "feature_names": ["u", "v"],
        "validation": None,
        "categories": None,
    }
    right = train(service, "right", **SETTINGS | {"data": {"points": XY.tolist(), "labels": LABELS}})
    assert job["data_digest"] == right["data_digest"]  # the corrected points were the last ones already
    assert job["started_from"]["corrections"] == {
        "count": 3,
        "relabelled": 3,
        "confirmed": 0,
        "added": 0,
        "repeat": 1,
    }
    assert job["training"] == job["training"] | TRAINING


def test_the_job_compares_the_new_version_with_the_old_one(service: httpx.Client) -> None:
    job = correct(service, "wrong", **FIXED, version=1)
    before, after = (predicted(service, "wrong", version, XY) for version in (1, job["version"]))
    shown = job["comparison"]
    assert shown["disagreement"] == np.mean([one != other for one, other in zip(before, after, strict=True)])
    for name, labels in (("before", before), ("after", after)):
        accuracy = np.mean([one == right for one, right in zip(labels, LABELS, strict=True)])
        assert shown["training"][name]["accuracy"] == pytest.approx(accuracy)
        correct_ones = sum(one == "right" for one in labels[-3:])
        assert shown["corrections"][f"correct_{name}"] == correct_ones
    assert shown["corrections"]["count"] == 3
    assert shown["corrections"]["correct_after"] == 3 > shown["corrections"]["correct_before"]
    assert shown["training"]["after"]["log_loss"] == pytest.approx(job["metrics"]["training_loss"], rel=1e-4)
    assert shown["training"]["before"]["log_loss"] > shown["training"]["after"]["log_loss"]
    assert shown["validation"] is None


def test_new_points_are_added_and_repeated(service: httpx.Client) -> None:
    job = correct(
        service,
        "wrong",
        version=1,
        points=[{"v": 9, "u": 9}, {"v": XY[0, 1], "u": XY[0, 0]}, {"v": 9, "u": 9}],
        labels=["left", "left", "left"],
        repeat=5,
        training={"epochs": 2},
    )
    assert job["data"]["n_points"] == 39 + 2 * 5
    counts = {"count": 2, "relabelled": 0, "confirmed": 1, "added": 1, "repeat": 5}
    assert job["started_from"]["corrections"] == counts
    assert job["comparison"]["corrections"]["count"] == 2
    assert (job["training"]["epochs"], job["training"]["optimizer"]) == (2, "adam")
    again = correct(service, "wrong", version=job["version"], points=[[9, 9]], labels=["right"], training={"epochs": 1})
    assert again["data"]["n_points"] == job["data"]["n_points"] - 4
    assert again["started_from"]["corrections"]["relabelled"] == 1


def test_points_of_a_generator_are_found_in_the_digits_that_the_service_shows(service: httpx.Client) -> None:
    train(service, "flower", training={"epochs": 5})
    page = service.get("/datasets/flower/points", params={"limit": 2}).json()
    other = {"red": "blue", "blue": "red"}
    labels = [other.get(label, label) if isinstance(label, str) else 1 - label for label in page["labels"]]
    job = correct(service, "flower", points=page["points"], labels=labels)
    assert job["started_from"]["corrections"]["relabelled"] == 2
    points = generate(DatasetSpec())
    assert job["data"]["n_points"] == len(points.label_N)
    assert job["network"]["scale"] == "none"


@pytest.mark.slow
def test_corrections_keep_separate_validation_points(service: httpx.Client, data_dir: Path) -> None:
    stored(service, "check", "u,v,label\n-2,0,left\n2,0,right\n0,1,left\n")
    train(service, "validated", **SETTINGS, validation={"dataset": "check"})
    job = correct(service, "validated", **FIXED)
    assert job["data"]["validation"]["dataset"] == "check"
    assert job["metrics"]["validation_accuracy"] == job["comparison"]["validation"]["after"]["accuracy"]
    assert service.delete(job["links"]["self"]).status_code == 204
    again = correct(service, "validated", **FIXED, version=2)
    assert (again["status"], again["data"]["validation"]) == ("succeeded", job["data"]["validation"])
    (data_dir / "datasets" / f"{again['id']}-validation.npz").unlink()  # as earlier releases did with the job
    last = correct(service, "validated", **FIXED, version=3)
    assert (last["status"], last["data"]["validation"]) == ("succeeded", None)


def test_corrections_can_be_checked_and_repeated_like_trainings(service: httpx.Client) -> None:
    path = "/models/wrong/corrections"
    dry = service.post(path, json=FIXED | {"version": 1}, params={"validate_only": "true"}).json()
    assert dry["object"] == "training.validation"
    headers = {"Idempotency-Key": "corrections"}
    jobs = [service.post(path, json=FIXED | {"version": 1, "metadata": {"by": "me"}}, headers=headers) for _ in "12"]
    assert jobs[0].json()["id"] == jobs[1].json()["id"]
    assert jobs[0].json()["recipe_digest"] == dry["recipe_digest"]
    assert jobs[0].json()["metadata"] == {"by": "me"}


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({"points": [[0, 0]], "labels": ["middle"]}, "labels.0", "one of the classes of the version: 'left', 'right'"),
        ({"points": [[0, 0]], "labels": [1]}, "labels.0", "one of the classes"),
        (
            {"points": [[0, 0], [0, 0]], "labels": ["left", "right"]},
            "labels.1",
            "the label of the equal point before it",
        ),
        ({"points": [[0, 0]], "labels": ["left", "left"]}, "labels", "one label for each point"),
        ({"points": [[0, 0, 0]], "labels": ["left"]}, "points", "2 coordinates each"),
        ({"points": [{"u": 0}], "labels": ["left"]}, "points", "'v'"),
        ({"points": [[0, 1e31]], "labels": ["left"]}, "points.0.1", "must be a number between"),
        ({"points": [], "labels": []}, "points", "1"),
        ({"points": [[0, 0]], "labels": ["left"], "repeat": 1001}, "repeat", "1,000"),
        ({**FIXED, "training": {"validation_fraction": 0.2}}, "training.validation_fraction", "all corrections"),
        ({**FIXED, "training": {"validation_folds": 3}}, "training.validation_folds", "all corrections"),
        ({**FIXED, "training": {"restarts": 3}}, "training.restarts", "must be 1"),
        ({**FIXED, "training": {"from": {"model": "wrong"}}}, "training.from", "unknown"),
        (
            {"points": np.arange(600).reshape(300, 2).tolist(), "labels": ["left"] * 300, "repeat": 1000},
            "points",
            "300,040 training points, at most 100,000 are allowed",
        ),
    ],
)
def test_bad_corrections_are_refused(service: httpx.Client, body: dict[str, Any], field: str, told: str) -> None:
    answer = service.post("/models/wrong/corrections", json=body)
    assert_problem(answer, 422, "invalid-input", field=field)
    assert told in answer.json()["detail"]


def test_corrections_of_an_unknown_version_are_not_found(service: httpx.Client) -> None:
    assert_problem(service.post("/models/no/corrections", json=FIXED), 404, "model-not-found")
    answer = service.post("/models/wrong/corrections", json=FIXED | {"version": 999})
    assert_problem(answer, 404, "version-not-found")
