"""`epoch=`: a version as it was during its training, compared with versions that were trained only so far."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.contract.problems import assert_problem
from tests.serving import running, train

XY = np.random.default_rng(4).normal(size=(60, 2)).round(3)
OWN = {"points": XY.tolist(), "labels": ["up" if y > 0.3 * x else "down" for x, y in XY.tolist()]}
POINTS = [[0.5, -0.25], [1.0, 2.0], [-1.5, 0.75]]

TRAININGS: dict[str, dict[str, Any]] = {
    "sgd": {"training": {"epochs": 60}},
    "mini-batches": {
        "data": OWN,
        "training": {"epochs": 40, "optimizer": "adam", "batch_size": 9, "validation_fraction": 0.2},
    },
    "lbfgs": {"training": {"epochs": 80, "optimizer": "lbfgs", "weight_decay": 0.01}},
    "temperature": {"data": OWN, "training": {"epochs": 30, "temperature": 2.5, "patience": 25}},
    "derived-inputs": {
        "data": OWN,
        "network": {"kind": "logistic", "inputs": ["x", "x*y"], "scale": "standard"},
        "training": {"epochs": 50},
    },
    "weighted-features": {
        "data": OWN,
        "network": {"hidden": [3], "feature_weights": [0.1, 3.0]},
        "training": {"epochs": 50, "weight_decay": 0.01},
    },
}

EPOCH = 13


@pytest.fixture(scope="module")
def trained(client: httpx.Client) -> httpx.Client:
    """The client, with a version of `past` that was trained for 60 epochs."""
    train(client, "past", training={"epochs": 60})
    return client


def predicted(client: httpx.Client, **request: Any) -> np.ndarray:
    answer = client.post("/predict", json={"points": POINTS, "outputs": ["logits"]} | request)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["logits"])


def grid(client: httpx.Client, **query: Any) -> httpx.Response:
    answer = client.get("/boundary-grid", params={"resolution": "40x30"} | query)
    assert answer.status_code == 200, answer.text
    return answer


def assert_same_function(client: httpx.Client, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert predicted(client, **one).tolist() == predicted(client, **other).tolist()
    window = {"format": "npy", "response": "logit", "x_min": -2, "x_max": 2, "y_min": -2, "y_max": 2}
    assert grid(client, **one, **window).content == grid(client, **other, **window).content


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_a_version_after_an_epoch_answers_like_one_whose_training_ended_there(trained: httpx.Client, name: str) -> None:
    body, model = TRAININGS[name], f"past-{name}"
    whole = train(trained, model, **body)
    train(trained, model, **body | {"training": body["training"] | {"epochs": EPOCH}})
    assert whole["progress"]["epoch"] > EPOCH
    assert_same_function(trained, {"model": model, "version": 1, "epoch": EPOCH}, {"model": model, "version": 2})
    assert not (
        predicted(trained, model=model, version=1, epoch=EPOCH + 1) == predicted(trained, model=model, version=2)
    ).all()


@pytest.mark.parametrize("name", ["sgd", "lbfgs", "temperature", "mini-batches"])
def test_the_last_epoch_is_the_published_version(trained: httpx.Client, name: str) -> None:
    train(trained, f"last-{name}", **TRAININGS[name])
    ran = trained.get(f"/models/last-{name}/versions/1").json()["card"]["epochs_run"]
    assert_same_function(trained, {"model": f"last-{name}", "epoch": ran}, {"model": f"last-{name}"})


def test_epoch_0_is_before_the_training(trained: httpx.Client) -> None:
    train(trained, "past-started", training={"epochs": 1, "learning_rate": 1e-30})
    assert_same_function(trained, {"model": "past", "epoch": 0}, {"model": "past-started"})


@pytest.mark.slow
def test_of_several_restarts_the_published_one_is_repeated(trained: httpx.Client) -> None:
    train(trained, "past-restarted", training={"epochs": 30, "restarts": 3, "seed": 3})
    card = trained.get("/models/past-restarted/versions/1").json()["card"]
    best = min(card["restart_results"], key=lambda one: one["metrics"]["training_loss"])
    assert best["seed"] > 3, "the first restart would prove nothing"
    train(trained, "past-restarted", training={"epochs": EPOCH, "seed": best["seed"]})
    assert_same_function(
        trained, {"model": "past-restarted", "version": 1, "epoch": EPOCH}, {"model": "past-restarted"}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "network"),
    [
        ({"dataset": "flower"}, {"hidden": [4]}),
        (OWN, {"hidden": [3]}),
        (OWN, {"kind": "logistic", "inputs": ["x", "x^2"], "scale": "standard"}),
        (OWN, {"hidden": [3], "feature_weights": [0.1, 3.0]}),
    ],
    ids=["generated", "scaled", "derived", "weighted"],
)
def test_a_training_that_began_at_the_weights_of_a_version_begins_there_again(
    trained: httpx.Client, data: dict[str, Any], network: dict[str, Any]
) -> None:
    base = train(trained, "past-base", data=data, network=network, training={"epochs": 25})
    version = {"model": "past-base", "version": base["version"]}
    start = {"from": version, "seed": 7, "batch_size": 20, "learning_rate": 0.1, "optimizer": "adam"}
    other = data | ({"seed": 9} if "dataset" in data else {"points": (XY * [2, 3] + 1).round(3).tolist()})
    for epochs in (30, EPOCH):
        job = train(trained, "past-warm", data=other, training=start | {"epochs": epochs})
        assert job["status"] == "succeeded", job
    whole = {"model": "past-warm", "version": job["version"] - 1}
    assert_same_function(trained, whole | {"epoch": EPOCH}, {"model": "past-warm"})
    before, at_0 = predicted(trained, **version), predicted(trained, **whole, epoch=0)
    assert at_0 == pytest.approx(before, rel=1e-4), "scaled weights are rounded"


@pytest.mark.slow
def test_every_network_of_an_ensemble_is_repeated(trained: httpx.Client) -> None:
    for epochs in (30, EPOCH):
        train(trained, "past-many", training={"epochs": epochs, "ensemble": 3, "seed": 5})
    whole = {"model": "past-many", "version": 1}
    assert_same_function(trained, whole | {"epoch": EPOCH}, {"model": "past-many", "version": 2})
    assert_same_function(trained, whole | {"epoch": 30}, whole)
    request = {"points": POINTS, "outputs": ["spread"]}
    spreads = [
        trained.post("/predict", json=request | one).json()["spread"]
        for one in (whole | {"epoch": EPOCH}, {"model": "past-many", "version": 2}, whole)
    ]
    assert spreads[0] == spreads[1] != spreads[2]


@pytest.mark.slow
def test_each_network_of_an_ensemble_ends_at_its_own_last_epoch(trained: httpx.Client) -> None:
    settings = {"epochs": 200, "ensemble": 3, "patience": 3, "min_delta": 0.004}
    train(trained, "past-early", training=settings)
    ran = [one["epochs_run"] for one in trained.get("/models/past-early/versions/1").json()["card"]["restart_results"]]
    assert len(set(ran)) > 1, ran
    middle = sorted(ran)[1]
    train(trained, "past-early", training=settings | {"epochs": middle})
    whole = {"model": "past-early", "version": 1}
    assert_same_function(trained, whole | {"epoch": middle}, {"model": "past-early", "version": 2})
    assert_same_function(trained, whole | {"epoch": max(ran)}, whole)
    answer = trained.get("/boundary-grid", params=whole | {"epoch": max(ran) + 1})
    assert_problem(answer, 422, "invalid-input", field="epoch")


@pytest.mark.slow
def test_settings_that_were_chosen_and_points_of_datasets_are_those_of_the_card(trained: httpx.Client) -> None:
    text = "x,y,c\n" + "".join(f"{x},{y},{c}\n" for (x, y), c in zip(OWN["points"], OWN["labels"], strict=True))
    for name, rows in (("past-some", text), ("past-more", text.replace("0.", "0.1"))):
        stored = trained.post(f"/datasets/{name}?label=c", content=rows, headers={"Content-Type": "text/csv"})
        assert stored.status_code == 201, stored.text
    data = {"data": {"dataset": "past-some"}, "validation": {"dataset": "past-more"}}
    job = train(trained, "past-chosen", **data, preset="auto", training={"restarts": 1})
    assert job["status"] == "succeeded", job["problem"]
    card = trained.get("/models/past-chosen/versions/1").json()["card"]
    assert card["epochs_run"] > 3
    given = {key: value for key, value in card["training"].items() if value is not None}
    if card["training"]["optimizer"] == "lbfgs":
        given.pop("implementation")
    train(trained, "past-chosen", **data, network=card["network"], training=given | {"epochs": 3})
    trained.delete("/datasets/past-some")
    trained.delete("/datasets/past-more")
    assert_same_function(
        trained, {"model": "past-chosen", "version": 1, "epoch": 3}, {"model": "past-chosen", "version": 2}
    )


def test_responses_say_which_epoch_answered(trained: httpx.Client) -> None:
    request = {"model": "past", "points": POINTS}
    plain = trained.post("/predict", json=request).json()
    assert "epoch" not in plain
    body = trained.post("/predict", json=request | {"epoch": 7.0}).json()
    assert [body[key] for key in ("model", "version", "epoch")] == ["past", 1, 7]
    array = io.BytesIO()
    np.save(array, np.array(POINTS))
    for accept in ("application/x-npy", "text/csv", "application/vnd.apache.arrow.stream"):
        answer = trained.post(
            "/predict",
            params={"model": "past", "epoch": 7},
            content=array.getvalue(),
            headers={"Content-Type": "application/x-npy", "Accept": accept},
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["separatrix-epoch"] == "7"
    about = json.loads(pa.ipc.open_stream(answer.content).schema.metadata[b"separatrix"])
    assert (about["version"], about["epoch"]) == (1, 7)
    assert grid(trained, model="past", epoch=7).json()["epoch"] == 7
    assert "epoch" not in grid(trained, model="past").json()
    assert grid(trained, model="past", epoch=7, format="geojson").json()["epoch"] == 7
    for form in ("png", "svg", "csv", "npy"):
        assert grid(trained, model="past", epoch=7, format=form).headers["separatrix-epoch"] == "7"
        assert "separatrix-epoch" not in grid(trained, model="past", format=form).headers


def test_pictures_mark_the_points_that_the_version_misclassified_then(trained: httpx.Client) -> None:
    wrong = {}
    points = trained.get("/datasets/flower/points").json()
    for epoch in (3, 55):
        answer = grid(trained, model="past", epoch=epoch, format="png", overlay="points")
        request = {"model": "past", "points": points["points"], "epoch": epoch}
        labels = trained.post("/predict", json=request).json()["labels"]
        wrong[epoch] = sum(one != other for one, other in zip(labels, points["labels"], strict=True))
        assert answer.headers["separatrix-misclassified"] == str(wrong[epoch])
    assert wrong[3] > wrong[55]


@pytest.mark.slow
def test_responses_of_epochs_have_tags_of_their_own(trained: httpx.Client) -> None:
    first, other, published = (grid(trained, model="past", version=1, **of) for of in ({"epoch": 5}, {"epoch": 6}, {}))
    tags = [one.headers["etag"] for one in (first, other, published)]
    assert len(set(tags)) == 3
    assert "immutable" in first.headers["cache-control"]
    query = {"model": "past", "version": 1, "epoch": 5, "resolution": "40x30"}
    again = trained.get("/boundary-grid", params=query, headers={"If-None-Match": tags[0]})
    assert again.status_code == 304
    assert trained.get("/boundary-grid", params=query).content == first.content
    train(trained, "past-growing", training={"epochs": 20})
    before = grid(trained, model="past-growing", epoch=9)
    train(trained, "past-growing", training={"epochs": 20, "seed": 1})
    after = grid(trained, model="past-growing", epoch=9)
    assert (before.json()["version"], after.json()["version"]) == (1, 2)
    assert before.json()["values"] != after.json()["values"]


@pytest.mark.slow
def test_many_requests_for_different_epochs_at_once_are_answered(trained: httpx.Client) -> None:
    epochs = [40, 41, 42, 40, 41, 42, 40, 41]
    with ThreadPoolExecutor(len(epochs)) as pool:
        found = list(pool.map(lambda epoch: predicted(trained, model="past", epoch=epoch).tolist(), epochs))
    assert found[:3] == found[3:6]
    assert found[0] == found[6]
    assert len({str(one) for one in found}) == 3


@pytest.mark.parametrize(
    ("epoch", "said"),
    [(61, "must be at most 60, the last epoch"), (-1, "must be at least 0"), (10**9, "must be at most 1,000,000")],
)
def test_an_epoch_that_the_training_did_not_have_is_refused_with_the_bound(
    trained: httpx.Client, epoch: int, said: str
) -> None:
    answers = [
        trained.get("/boundary-grid", params={"model": "past", "epoch": epoch}),
        trained.post("/predict", json={"model": "past", "points": POINTS, "epoch": epoch}),
        trained.post(
            "/predict",
            params={"model": "past", "epoch": epoch},
            content="x,y\n1,2\n",
            headers={"Content-Type": "text/csv"},
        ),
    ]
    for answer, place in zip(answers, ("query", "body", "query"), strict=True):
        assert_problem(answer, 422, "invalid-input", field="epoch", place=place)
        assert said in answer.json()["detail"]


def test_an_epoch_is_a_whole_number(trained: httpx.Client) -> None:
    for epoch in ("2.5", "one", ""):
        answer = trained.get("/boundary-grid", params={"model": "past", "epoch": epoch})
        assert_problem(answer, 422, "invalid-input", field="epoch")
    for value in (2.5, "7", True):
        answer = trained.post("/predict", json={"model": "past", "points": POINTS, "epoch": value})
        assert_problem(answer, 422, "invalid-input", field="epoch")


@pytest.mark.slow
def test_a_version_whose_points_are_gone_still_answers_without_an_epoch(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        job = train(client, "own", data=OWN, training={"epochs": 20})
        (tmp_path / "datasets" / f"{job['id']}.npz").unlink()
        answer = client.post("/predict", json={"model": "own", "points": POINTS, "epoch": 5})
        assert_problem(answer, 422, "invalid-input", field="epoch")
        assert "the files of the training are gone" in answer.json()["detail"]
        assert client.post("/predict", json={"model": "own", "points": POINTS}).status_code == 200
        assert client.post("/predict", json={"model": "own", "points": POINTS, "epoch": 20}).status_code == 200


@pytest.mark.slow
def test_an_imported_version_has_no_epochs(trained: httpx.Client) -> None:
    imported = trained.post(
        "/models/past-imported/versions",
        params={"activation": "tanh", "classes": "red,blue"},
        content=trained.get("/models/past/versions/1/checkpoint").content,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert imported.status_code == 201, imported.text
    for epoch in (0, 60):
        answer = trained.post("/predict", json={"model": "past-imported", "points": POINTS, "epoch": epoch})
        assert_problem(answer, 422, "invalid-input", field="epoch")
        assert "the version was imported" in answer.json()["detail"]
    assert grid(trained, model="past-imported").status_code == 200
