"""Trainings that are validated on the points of a stored dataset."""

import csv
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.job_requests import act
from tests.contract.problems import assert_problem
from tests.contract.test_stored_datasets import files, stored
from tests.service.places import Place
from tests.serving import running, train

_rng = np.random.default_rng(1)
_CENTER = {"a": (0.0, 1000.0), "b": (4.0, 1030.0), "c": (0.0, 1060.0)}


def _points(n: int, labels: str) -> tuple[list[list[float]], list[str]]:
    """Points `(u, v)` of overlapping clouds."""
    drawn = [labels[i % len(labels)] for i in range(n)]
    noise_N2 = _rng.normal(size=(n, 2)) * (2.0, 15.0)
    return (np.array([_CENTER[label] for label in drawn]) + noise_N2).round(3).tolist(), drawn


POINTS, LABELS = _points(60, "abc")
DATA = {"points": POINTS, "labels": LABELS, "feature_names": ["u", "v"]}
OTHER_POINTS, OTHER_LABELS = _points(30, "cb")
CSV = "v,label,u\n" + "".join(f"{v},{label},{u}\n" for (u, v), label in zip(OTHER_POINTS, OTHER_LABELS, strict=True))
"""Validation points of two of the three classes, with the features in another order."""

FLIPPED = "u,v,label\n" + "".join(
    f"{u},{v},{'bca'['abc'.index(label)]}\n" for (u, v), label in zip(POINTS, LABELS, strict=True)
)
"""The training points with wrong labels: the better a network fits those, the worse it does on these."""

SETTINGS = {"data": DATA, "training": {"epochs": 60}}
VALIDATION = {"validation": {"dataset": "others"}}


@pytest.fixture(scope="module", autouse=True)
def _data_sets(service: httpx.Client) -> None:
    stored(service, "others", CSV)
    stored(service, "flipped", FLIPPED)


@pytest.fixture(scope="module")
def job(service: httpx.Client) -> dict[str, Any]:
    """A job that is validated on a dataset."""
    return train(service, "validated", **SETTINGS, **VALIDATION)


def _card(service: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    card: dict[str, Any] = service.get(job["links"]["version"]).json()["card"]
    return card


def _csv(points: list[list[float]], labels: list[str]) -> str:
    rows = [f"{u},{v},{label}" for (u, v), label in zip(points, labels, strict=True)]
    return "\n".join(["u,v,label", *rows])


def _predicted(service: httpx.Client, job: dict[str, Any], text: str) -> tuple[list[str], list[str], list[float]]:
    """The label of each row of a CSV file, the predicted one, and the probability of the former."""
    body = "".join(f"{row['u']},{row['v']}\n" for row in csv.DictReader(io.StringIO(text)))
    answer = service.post(
        "/predict", params={"model": job["model"]}, content=f"u,v\n{body}", headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    labels = [row["label"] for row in csv.DictReader(io.StringIO(text))]
    probabilities = [
        prob_K[shown["classes"].index(label)] for prob_K, label in zip(shown["probabilities"], labels, strict=True)
    ]
    return labels, shown["labels"], probabilities


def test_the_metrics_of_validation_are_those_of_predictions_of_the_dataset(
    service: httpx.Client, job: dict[str, Any]
) -> None:
    text = service.get("/datasets/others/points", params={"format": "csv"}).text
    labels, predicted, probabilities = _predicted(service, job, text)
    accuracy = np.mean([one == other for one, other in zip(labels, predicted, strict=True)])
    assert 0.4 < accuracy < 1
    assert job["metrics"]["validation_accuracy"] == pytest.approx(accuracy)
    assert job["metrics"]["validation_loss"] == pytest.approx(-np.log(probabilities).mean(), rel=1e-4)
    evaluation = _card(service, job)["evaluation"]["validation"]
    expected = [
        [sum(pair == (row, column) for pair in zip(labels, predicted, strict=True)) for column in "abc"]
        for row in "abc"
    ]
    assert evaluation["confusion"] == expected
    assert evaluation["log_loss"] == pytest.approx(job["metrics"]["validation_loss"], rel=1e-4)


def test_the_validation_points_take_no_part_in_the_training(service: httpx.Client, job: dict[str, Any]) -> None:
    alone = train(service, "alone", **SETTINGS)
    assert _card(service, alone)["files"]["network.safetensors"] == _card(service, job)["files"]["network.safetensors"]
    for figure in ("training_loss", "training_accuracy"):
        assert alone["metrics"][figure] == job["metrics"][figure]
    assert alone["recipe_digest"] != job["recipe_digest"]
    assert alone["data"]["validation"] is None


@pytest.mark.slow
def test_validation_on_the_training_points_comes_with_a_warning(service: httpx.Client, job: dict[str, Any]) -> None:
    assert job["warnings"] == []
    stored(service, "same", _csv(POINTS, LABELS))
    stored(service, "shuffled", _csv(POINTS[::-1], LABELS[::-1]))
    stored(service, "some", _csv(POINTS[:20] + OTHER_POINTS[:10], LABELS[:20] + OTHER_LABELS[:10]))
    for data, told in (
        ("same", "All 60 validation points are also training points"),
        ("shuffled", "All 60 validation points are also training points"),
        ("some", "20 of 30 validation points are also training points"),
    ):
        of = train(service, "overlap", data={"dataset": "same"}, training={"epochs": 60}, validation={"dataset": data})
        assert [told in one for one in of["warnings"]] == [True]
        assert _card(service, of)["warnings"] == of["warnings"]


def test_labels_of_the_dataset_may_be_the_texts_of_the_classes(service: httpx.Client) -> None:
    """CSV does not distinguish the number 1 from the text `1`; other formats do."""
    data = DATA | {"labels": ["123"["abc".index(label)] for label in LABELS]}
    service.post("/datasets/as-text", json=data)
    again = service.get("/datasets/as-text/points", params={"format": "csv"}).text
    assert [one["label"] for one in stored(service, "as-numbers", again)["classes"]] == [1, 2, 3]
    job = train(service, "text", data=data, training={"epochs": 1}, validation={"dataset": "as-numbers"})
    assert job["metrics"]["validation_accuracy"] == job["metrics"]["training_accuracy"]


def test_jobs_and_cards_name_the_dataset(service: httpx.Client, job: dict[str, Any]) -> None:
    digest = service.get("/datasets/others").json()["digest"]
    assert job["data"]["validation"] == {"dataset": "others", "digest": digest, "n_points": 30}
    assert _card(service, job)["data"] == job["data"]
    assert _card(service, job)["recipe_digest"] == job["recipe_digest"]
    again = train(service, "again", **SETTINGS, **VALIDATION)
    assert again["recipe_digest"] == job["recipe_digest"]
    generated = {"data": {"dataset": "flower"}, "validation": {"dataset": "of-flower"}}
    labels = service.get("/datasets/flower").json()["classes"]
    stored(service, "of-flower", f"x,y,label\n1,2,{labels[0]}\n-1,2,{labels[1]}\n")
    assert train(service, "generated", **generated)["data"] == {
        **train(service, "generated")["data"],
        "validation": {
            "dataset": "of-flower",
            "digest": service.get("/datasets/of-flower").json()["digest"],
            "n_points": 2,
        },
    }
    picture = {"model": "generated", "version": 1, "format": "png", "resolution": 20, "overlay": "points"}
    assert service.get("/boundary-grid", params=picture).status_code == 200


def test_patience_counts_epochs_without_improvement_on_the_dataset(service: httpx.Client) -> None:
    training = {"epochs": 400, "patience": 5}
    unstopped = train(service, "patient", data=DATA, training=training)
    stopped = train(service, "patient", data=DATA, training=training, validation={"dataset": "flipped"})
    assert stopped["restart_results"][0]["stop_reason"] == "early_stopped"
    assert stopped["progress"]["epoch"] < unstopped["progress"]["epoch"]
    assert any("validation points are classified no better" in line for line in stopped["warnings"])


def test_the_best_restart_is_the_one_with_the_least_loss_on_the_dataset(service: httpx.Client) -> None:
    training = {"epochs": 60, "restarts": 6}
    restarted = train(service, "restarted", data=DATA, training=training, validation={"dataset": "flipped"})
    metrics = [one["metrics"] for one in restarted["restart_results"]]
    best = min(metrics, key=lambda one: one["validation_loss"])
    assert restarted["metrics"] == best
    assert best["training_loss"] > min(one["training_loss"] for one in metrics)


@pytest.mark.slow
def test_auto_searches_among_the_training_points_and_reports_on_the_dataset(service: httpx.Client) -> None:
    given = {"data": DATA, "network": {}, "training": {}}
    alone, validated = train(service, "auto-alone", **given), train(service, "auto", **given, **VALIDATION)
    assert validated["preset"] == "auto"
    cards = [_card(service, one) for one in (alone, validated)]
    assert cards[0]["search"] == cards[1]["search"]
    assert cards[0]["evaluation"]["cross_validation"] == cards[1]["evaluation"]["cross_validation"]
    labels, predicted, _ = _predicted(service, validated, CSV)
    accuracy = np.mean([one == other for one, other in zip(labels, predicted, strict=True)])
    assert cards[1]["evaluation"]["validation"]["accuracy"] == pytest.approx(accuracy)
    assert cards[0]["evaluation"]["validation"] is None
    assert alone["recipe_digest"] != validated["recipe_digest"]


NAMED = "u,v,label\n1,2,a\n3,4,b\n"


@pytest.mark.parametrize(
    ("content", "change", "field", "told"),
    [
        ("u,w,label\n1,2,a\n3,4,b\n", {}, "validation.dataset", "must have 'v', and must not have 'w'"),
        ("u,label\n1,a\n3,b\n", {}, "validation.dataset", "must have 'v'"),
        ("u,v,label\n1,2,a\n3,4,d\n", {}, "validation.dataset", "'a', 'b', 'c', but has 'd'"),
        ("u,v,label\n1,2,1\n3,4,2\n", {}, "validation.dataset", "'a', 'b', 'c', but has 1"),
        (
            "u,label\n1,a\n3,b\n",
            {"data": {"points": POINTS, "labels": LABELS}},
            "validation.dataset",
            "must have 2 coordinates each, but these have 1",
        ),
        (
            "y,x,label\n1,2,a\n3,4,b\n",
            {"data": {"points": POINTS, "labels": LABELS}},
            "validation.dataset",
            "in the order of the training data, not 'y', 'x'",
        ),
        (NAMED, {"training": {"validation_fraction": 0.2}}, "validation", "combined with training.validation_fraction"),
        (NAMED, {"training": {"validation_folds": 3}}, "validation", "combined with training.validation_folds"),
        (
            NAMED,
            {"preset": "auto", "training": {"validation_folds": 3}},
            "validation",
            "combined with training.validation_folds",
        ),
        (NAMED, {"validation": {"dataset": "moons"}}, "validation.dataset", "moons is a generator"),
        (NAMED, {"validation": {"dataset": "Upper"}}, "validation.dataset", "must be 1 to 63 characters"),
        (NAMED, {"validation": {}}, "validation.dataset", "required"),
        ("u,v,label\n1e25,2,a\n3,4,b\n", {"network": {"inputs": ["u^2"]}}, "network.inputs", "overflow"),
    ],
)
def test_a_dataset_that_does_not_fit_is_refused(
    service: httpx.Client, data_dir: Path, content: str, change: dict[str, Any], field: str, told: str
) -> None:
    stored(service, "unfit", content, replace="true")
    before = files(data_dir)
    body = {"model": "m", **SETTINGS, "validation": {"dataset": "unfit"}} | change
    answer = service.post("/train", json=body)
    assert_problem(answer, 422, "invalid-input", field=field)
    assert told in answer.json()["detail"]
    assert files(data_dir) == before


def test_an_unknown_dataset_is_not_found(service: httpx.Client) -> None:
    answer = service.post("/train", json={"model": "m", **SETTINGS, "validation": {"dataset": "nowhere"}})
    assert_problem(answer, 404, "dataset-not-found")


@pytest.mark.slow
def test_a_queued_job_keeps_the_points_of_a_dataset_that_is_replaced_and_deleted(
    tmp_path: Path, job: dict[str, Any]
) -> None:
    with running(tmp_path, training_processes=0) as client:
        stored(client, "others", CSV)
        queued = client.post("/train", json={"model": "m", **SETTINGS, **VALIDATION}).json()
        stored(client, "others", FLIPPED, replace="true")
        assert client.delete("/datasets/others").status_code == 204
        cancelled = act(client, queued, "cancel").json()
        retried = act(client, queued, "retry").json()
        assert client.delete(cancelled["links"]["self"]).status_code == 204
        for member in ("data", "data_digest", "recipe_digest"):
            assert retried[member] == queued[member] == job[member]
        assert files(tmp_path) == [f"{retried['id']}-validation.npz", f"{retried['id']}.npz"]
        place = Place.of_folder(tmp_path)
        place.work(place.claim())
        done = client.get(retried["links"]["self"], headers={"Prefer": "wait=50"}).json()
        assert done["metrics"] == job["metrics"]
        assert client.delete(retried["links"]["self"]).status_code == 204
        assert files(tmp_path) == [f"{retried['id']}-validation.npz", f"{retried['id']}.npz"]  # of the version
        assert client.get("/models/m/versions/1/points").json()["n_points"] == len(POINTS) + len(OTHER_POINTS)
        assert client.delete("/models/m").status_code == 204
        assert files(tmp_path) == []


@pytest.mark.slow
def test_a_job_that_has_lost_its_validation_points_fails_and_cannot_be_retried(tmp_path: Path) -> None:
    with running(tmp_path, training_processes=0) as client:
        stored(client, "others", CSV)
        queued = client.post("/train", json={"model": "m", **SETTINGS, **VALIDATION}).json()
        (tmp_path / "datasets" / f"{queued['id']}-validation.npz").unlink()
        place = Place.of_folder(tmp_path)
        place.work(place.claim())
        failed = client.get(queued["links"]["self"]).json()
        assert failed["problem"]["code"] == "damaged-data"
        assert_problem(act(client, queued, "retry"), 409, "wrong-state", current_status="failed")


@pytest.mark.slow
def test_a_repeated_request_with_other_validation_points_is_another_request(tmp_path: Path) -> None:
    with running(tmp_path, training_processes=0) as client:
        stored(client, "others", CSV)
        body, headers = {"model": "m", **SETTINGS, **VALIDATION}, {"Idempotency-Key": "k"}
        first = client.post("/train", json=body, headers=headers)
        before = files(tmp_path)
        again = client.post("/train", json=body, headers=headers)
        assert (again.headers["idempotent-replayed"], again.json()["id"]) == ("true", first.json()["id"])
        assert files(tmp_path) == before
        stored(client, "others", FLIPPED, replace="true")
        kept = files(tmp_path)
        assert_problem(client.post("/train", json=body, headers=headers), 422, "idempotency-key-reused")
        assert files(tmp_path) == kept


@pytest.mark.slow
def test_a_text_column_of_validated_or_compared_points_may_lack_a_value_of_the_training_points(
    service: httpx.Client,
) -> None:
    rows = [(("red", "green", "blue")[i % 3], i / 7 % 1, "no" if i % 3 else "yes") for i in range(60)]
    lines = [f"{color},{x},{kind}\n" for color, x, kind in rows]
    heading, options = "color,x,kind\n", {"label": "kind", "categorical": "one-hot"}
    stored(service, "colors", heading + "".join(lines), **options)
    stored(service, "without-green", heading + "".join(line for line in lines if "green" not in line), **options)
    settings = {"data": {"dataset": "colors"}, "training": {"optimizer": "lbfgs", "epochs": 20}}
    train(service, "colored", **settings, validation={"dataset": "without-green"})
    split = service.get("/models/colored/versions/1/points").json()
    held = [point for point, kind in zip(split["points"], split["split"], strict=True) if kind == "validation"]
    assert split["feature_names"] == ["color=blue", "color=green", "color=red", "x"]
    expected = [[color == "blue", 0, color == "red", np.float32(x)] for color, x, _ in rows if color != "green"]
    np.testing.assert_array_equal(np.array(held, np.float32), np.array(expected, np.float32))
    versions = {"a": "colored:1", "b": "colored:1"}
    assert service.get("/comparison", params=versions | {"dataset": "without-green"}).json()["compared"] == 40
    stored(service, "with-pink", heading + "".join(lines).replace("green", "pink"), **options)
    answer = service.post("/train", json={"model": "colored", **settings, "validation": {"dataset": "with-pink"}})
    assert_problem(answer, 422, "invalid-input", field="validation.dataset")
    assert "validation.dataset: must not have 'color=pink'" in answer.json()["detail"]
