"""Training jobs from `POST /train` to the published version."""

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from tests.contract.job_requests import endless, newest_job_id
from tests.contract.problems import assert_problem
from tests.serving import running, train, wait_until

POINTS = {"points": [[0, 0], [1, 1], [0, 1], [1, 0]], "labels": [0, 0, 1, 1]}


def submit(client: httpx.Client, **body: Any) -> httpx.Response:
    quick = {"model": "tried", "data": {"dataset": "flower"}, "training": {"epochs": 1}}
    return client.post("/train", json=quick | body)


def test_a_training_is_accepted_at_once_and_its_job_can_be_awaited(client: httpx.Client) -> None:
    answer = submit(client, training={"epochs": 20})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}" == job["links"]["self"]
    assert answer.headers["retry-after"] == "1"
    assert job["object"] == "training.job"
    assert (job["status"], job["version"]) == ("queued", None)

    done = client.get(answer.headers["location"], headers={"Prefer": "wait=50"})
    assert done.status_code == 200
    assert done.headers["preference-applied"] == "wait=50"
    assert "retry-after" not in done.headers
    job = done.json()
    assert job["status"] == "succeeded"
    assert job["progress"] == {"epoch": 20, "epochs": 20, "fraction": 1.0}
    assert set(job["metrics"]) == {
        "training_loss",
        "training_accuracy",
        "validation_loss",
        "validation_accuracy",
    }
    times = [datetime.fromisoformat(job[key]) for key in ("created_at", "started_at", "finished_at")]
    assert times == sorted(times)
    assert all(time.tzinfo is not None for time in times)


def test_a_job_that_is_reported_as_succeeded_is_served(client: httpx.Client) -> None:
    job = train(client, "served-at-once")
    answer = client.post(
        "/predict", json={"model": "served-at-once", "version": job["version"], "points": [[0.5, -0.25]]}
    )
    assert answer.status_code == 200
    assert client.get(job["links"]["version"]).json()["job_id"] == job["id"]


@pytest.mark.parametrize("kind", ["logistic", "two_layer", "sequential", "module", "residual"])
def test_every_kind_of_network_trains_and_answers(client: httpx.Client, kind: str) -> None:
    job = train(client, f"kind-{kind}", network={"kind": kind, "activation": "relu"})
    assert job["status"] == "succeeded"
    assert client.post("/predict", json={"model": f"kind-{kind}", "points": [[0, 0]]}).status_code == 200


def test_own_points_train_a_model_in_any_number_of_dimensions(client: httpx.Client) -> None:
    data = {"points": [[0, 0, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0]], "labels": ["yes", "yes", "no", "no"]}
    job = train(client, "own", data=data, training={"epochs": 200, "optimizer": "adam"})
    about = {"type": "points", "n_points": 4, "n_features": 3}
    assert job["data"] == about | {"feature_names": None, "categories": None, "validation": None}
    assert job["metrics"]["training_accuracy"] == 1.0
    labels = client.post("/predict", json={"model": "own", "points": data["points"]}).json()["labels"]
    assert labels == data["labels"]


def test_the_same_recipe_gives_the_same_weights_and_another_seed_gives_others(client: httpx.Client) -> None:
    jobs = [train(client, "recipe", training={"epochs": 30, "seed": seed}) for seed in (4, 4, 5)]
    assert jobs[0]["recipe_digest"] == jobs[1]["recipe_digest"] != jobs[2]["recipe_digest"]
    assert [job["version"] for job in jobs] == [1, 2, 3]
    states = [client.get(f"{job['links']['version']}").json()["card"]["files"] for job in jobs]
    assert states[0]["network.safetensors"] == states[1]["network.safetensors"] != states[2]["network.safetensors"]


def test_all_restarts_are_reported_and_the_best_is_published(client: httpx.Client) -> None:
    settings = {"epochs": 200, "restarts": 6, "seed": 3, "validation_fraction": 0.25}
    job = train(client, "lucky", training=settings)
    assert job["progress"] == {"epoch": 1_200, "epochs": 1_200, "fraction": 1.0}
    assert [restart["seed"] for restart in job["restart_results"]] == [3, 4, 5, 6, 7, 8]
    losses = [restart["metrics"]["validation_loss"] for restart in job["restart_results"]]
    assert len(set(losses)) == 6
    assert job["metrics"]["validation_loss"] == min(losses)
    card = client.get(job["links"]["version"]).json()["card"]
    assert card["restart_results"] == job["restart_results"]
    assert card["metrics"] == job["metrics"]


@pytest.mark.slow
def test_the_card_names_the_implementation_and_both_reach_the_same_loss(client: httpx.Client) -> None:
    losses = {}
    for asked, ran in {"auto": "compiled", "compiled": "compiled", "torch": "torch"}.items():
        job = train(client, "either", training={"epochs": 100, "learning_rate": 0.3, "implementation": asked})
        card = client.get(job["links"]["version"]).json()["card"]
        assert card["implementation"] == ran
        losses[asked] = job["metrics"]["training_loss"]
    assert losses["auto"] == losses["compiled"] == pytest.approx(losses["torch"], rel=1e-4)


def test_validation_and_early_stopping_are_reported(client: httpx.Client) -> None:
    settings = {"epochs": 5_000, "validation_fraction": 0.2, "patience": 5, "min_delta": 0.05}
    job = train(client, "stalled", training=settings, network={"kind": "logistic"})
    assert job["status"] == "succeeded"
    assert job["progress"]["epoch"] < 5_000
    assert job["metrics"]["validation_loss"] > 0


def test_a_training_that_diverges_fails_with_advice_and_keeps_its_last_finite_weights(
    client: httpx.Client, tmp_path: Path
) -> None:
    network = {"kind": "sequential", "hidden": [4, 4], "activation": "identity"}
    job = train(client, "diverging", network=network, training={"epochs": 500, "learning_rate": 1_000})
    assert job["status"] == "failed"
    assert job["version"] is None
    assert job["problem"]["code"] == "diverged"
    assert re.search(r"in epoch \d+\. Try a learning_rate below 1000", job["problem"]["detail"])
    assert_problem(client.get("/models/diverging"), 404, "model-not-found")

    (tmp_path / "checkpoint.pth").write_bytes(client.get(job["links"]["checkpoint"]).content)
    state = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
    assert all(value.isfinite().all() for value in state.values())


def test_a_training_that_diverges_fails_with_advice_although_its_network_overflows_on_validation_points(
    client: httpx.Client,
) -> None:
    data = {
        "points": [[i / 10, 1.0] for i in range(20)] + [[1e30, 1e30]] * 4,
        "labels": [i % 2 for i in range(24)],
    }
    network = {"hidden": [4, 4], "activation": "identity", "scale": "none"}
    training = {"epochs": 50, "learning_rate": 1_000, "validation_fraction": 0.3, "seed": 3}
    job = train(client, "overflowing", data=data, network=network, training=training)
    assert job["problem"]["code"] == "diverged"


@pytest.mark.slow
def test_requests_that_wait_to_write_do_not_block_requests_that_read(tmp_path: Path) -> None:
    with running(tmp_path, training_processes=0) as client, ThreadPoolExecutor(50) as threads:
        body = {"model": "tried", "data": {"dataset": "flower"}}
        writer = sqlite3.connect(tmp_path / "separatrix.db", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writes = [threads.submit(client.post, "/jobs", json=body) for _ in range(50)]
        try:
            for _ in range(20):
                assert client.get("/jobs").status_code == 200
                assert_problem(client.get("/models/nobody"), 404, "model-not-found")
            assert not any(write.done() for write in writes)
        finally:
            writer.execute("ROLLBACK")
        assert {write.result().status_code for write in writes} == {202}


def test_waiting_is_bounded_and_other_preferences_are_ignored(client: httpx.Client) -> None:
    job_id = train(client, "waited-for")["id"]
    for prefer, applied in {
        "wait=99999": "wait=60",
        'respond-async, wait="3"': "wait=3",
        "WAIT = 2; x=y": "wait=2",
        "wait=" + "9" * 100: "wait=60",
        "wait=0, respond-async": "wait=0",
        "wait=1.5": "wait=1.5",
        "wait=.5": None,
        "wait=1e3": None,
        "wait=-1": None,
        "wait=soon": None,
        "await=3": None,
        "return=minimal": None,
    }.items():
        answer = client.get(f"/jobs/{job_id}", headers={"Prefer": prefer})
        assert answer.headers.get("preference-applied") == applied, prefer


@pytest.mark.slow
def test_jobs_are_listed_newest_first_page_by_page(client: httpx.Client) -> None:
    ids = [submit(client, model="paged").json()["id"] for _ in range(5)]
    first = client.get("/jobs", params={"limit": 2}).json()
    assert first["object"] == "list"
    assert [job["id"] for job in first["data"]] == [ids[4], ids[3]]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (ids[4], ids[3], True)
    second = client.get("/jobs", params={"limit": 2, "after": first["last_id"]}).json()
    assert [job["id"] for job in second["data"]] == [ids[2], ids[1]]

    client.get(f"/jobs/{ids[4]}", headers={"Prefer": "wait=50"})
    done = client.get("/jobs", params={"status": "succeeded", "limit": 5}).json()
    assert [job["id"] for job in done["data"]] == ids[::-1]
    empty = client.get("/jobs", params={"status": "cancelled", "model": "paged"}).json()
    assert empty == {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.fixture(scope="module")
def busy_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of `busy`."""
    return tmp_path_factory.mktemp("busy")


@pytest.fixture(scope="module")
def busy(busy_dir: Path) -> Iterator[httpx.Client]:
    """A service whose one training process is busy with an endless job, and whose queue takes two."""
    with running(busy_dir, max_queued_jobs=2) as client, endless(client):
        yield client


@pytest.mark.slow
def test_a_job_reports_its_progress_while_it_trains(busy: httpx.Client) -> None:
    (running_job,) = busy.get("/jobs", params={"status": "running"}).json()["data"]
    seen: list[int] = []

    def has_advanced_twice() -> bool:
        seen.append(busy.get(running_job["links"]["self"]).json()["progress"]["epoch"])
        return len(set(seen)) >= 3

    wait_until(has_advanced_twice)
    assert seen == sorted(seen)
    job = busy.get(running_job["links"]["self"]).json()
    assert 0 < job["progress"]["fraction"] < 1
    assert job["metrics"]["training_loss"] > 0


@pytest.mark.slow
def test_a_wait_ends_when_its_time_is_up_and_says_when_to_retry(busy: httpx.Client) -> None:
    (running_job,) = busy.get("/jobs", params={"status": "running"}).json()["data"]
    answer = busy.get(running_job["links"]["self"], headers={"Prefer": "wait=1"})
    assert answer.json()["status"] == "running"
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.headers["retry-after"] == "1"


def test_only_model_and_data_are_required_and_the_rest_defaults_to_the_tutorial(busy: httpx.Client) -> None:
    with_defaults = busy.post("/train", json={"model": "defaults", "data": {"dataset": "flower"}}).json()
    assert with_defaults["network"] == {
        "kind": "sequential",
        "hidden": [4],
        "activation": "tanh",
        "scale": "none",
        "inputs": None,
        "feature_weights": None,
    }
    assert with_defaults["data"] == {
        "type": "generated",
        "dataset": "flower",
        "n": 400,
        "noise": 0.2,
        "seed": 1,
        "n_classes": 2,
        "validation": None,
    }
    assert with_defaults["training"] == {
        "epochs": 10_000,
        "optimizer": "sgd",
        "learning_rate": 1.0,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "batch_size": None,
        "validation_fraction": 0.0,
        "validation_folds": None,
        "patience": None,
        "min_delta": 0.0001,
        "seed": 0,
        "class_weight": None,
        "restarts": 1,
        "ensemble": 1,
        "temperature": 1.0,
        "implementation": "auto",
    }


def test_a_training_by_lbfgs_needs_no_learning_rate_and_ends_when_it_has_converged(client: httpx.Client) -> None:
    training = {"optimizer": "lbfgs", "weight_decay": 0.001, "restarts": 4, "validation_fraction": 0.2}
    job = train(client, "by-lbfgs", training=training)
    assert job["training"] == {
        **training,
        "epochs": 500,
        "learning_rate": None,
        "momentum": None,
        "batch_size": None,
        "validation_folds": None,
        "patience": None,
        "min_delta": 0.0001,
        "seed": 0,
        "ensemble": 1,
        "class_weight": None,
        "temperature": 1.0,
        "implementation": "auto",
    }
    assert {one["stop_reason"] for one in job["restart_results"]} == {"converged"}
    assert job["progress"]["epoch"] == sum(one["epochs_run"] for one in job["restart_results"]) < 4 * 500
    assert job["metrics"]["training_loss"] < 0.3
    card = client.get("/models/by-lbfgs/versions/1").json()["card"]
    assert (card["stop_reason"], card["implementation"]) == ("converged", "compiled")
    assert card["training"] == job["training"]


@pytest.mark.slow
@pytest.mark.parametrize("class_weight", ["balanced", {"0": 1, "1": 19.5}])
def test_class_weights_make_a_rare_class_recognized(client: httpx.Client, class_weight: Any) -> None:
    points = [[x / 190, (x * 7 % 190) / 190] for x in range(190)] + [[0.8 + x / 50, 0.9] for x in range(10)]
    data = {"points": points, "labels": [0] * 190 + [1] * 10}
    training = {"optimizer": "lbfgs", "epochs": 50, "weight_decay": 0.01}
    recalls = {}
    for name, weights in (("plain", {}), ("weighted", {"class_weight": class_weight})):
        job = train(client, f"rare-{name}", data=data, network={"kind": "logistic"}, training=training | weights)
        assert job["training"]["class_weight"] == weights.get("class_weight")
        card = client.get(job["links"]["version"]).json()["card"]
        recalls[name] = card["evaluation"]["training"]["recall"][1]
    assert recalls["plain"] < 0.5 < recalls["weighted"]


def test_a_weight_for_a_label_that_is_missing_is_refused_with_the_labels_that_exist(client: httpx.Client) -> None:
    data = {"points": [[0], [1], [2]], "labels": ["no", "yes", "Yes"]}
    answer = submit(client, data=data, training={"class_weight": {"no": 1, "yes": 2}})
    assert_problem(answer, 422, "invalid-input", field="training.class_weight")
    assert "one weight for each label, which are: Yes, no, yes" in answer.json()["detail"]


def test_a_training_that_is_refused_leaves_no_files(busy: httpx.Client, busy_dir: Path) -> None:
    for i in range(5):
        answer = submit(busy, data={"points": [[0], [i + 1]], "labels": [0, 1]})
    assert answer.status_code == 429
    assert len(list((busy_dir / "datasets").iterdir())) <= 2


def test_a_full_queue_says_when_to_retry(busy: httpx.Client) -> None:
    answers = [submit(busy) for _ in range(3)]
    assert_problem(answers[-1], 429, "queue-full")
    assert answers[-1].headers["retry-after"] == "1"
    queued = busy.get("/jobs", params={"status": "queued"}).json()["data"]
    assert len(queued) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": "Flower"}, "model"),
        ({"model": "-x"}, "model"),
        ({"model": "x" * 64}, "model"),
        ({"model": "a/b"}, "model"),
        ({"model": "a\n"}, "model"),
        ({"data": {"dataset": "No such name"}}, "data.dataset"),
        ({"data": {"dataset": "flower", "n": 1}}, "data.n"),
        ({"data": {"dataset": "flower", "n": 10**9}}, "data.n"),
        ({"data": {"dataset": "flower", "n": 10.5}}, "data.n"),
        ({"data": {"dataset": "flower", "noise": -1}}, "data.noise"),
        ({"data": {"dataset": "flower", "seed": 2**32}}, "data.seed"),
        ({"data": {"dataset": "flower", "n_classes": 3}}, "data.n_classes"),
        ({"data": {"dataset": "spirals", "n_classes": 9, "n": 5}}, "data.n"),
        ({"data": {"dataset": "flower", "colour": 1}}, "data.colour"),
        ({"data": POINTS | {"labels": [0, 0, 1, 1], "dataset": "flower"}}, "data"),
        ({"data": {}}, "data.points"),
        ({"data": None}, "data"),
        ({"data": POINTS | {"labels": [0, 1]}}, "data.labels"),
        ({"data": POINTS | {"labels": [0, 0, 0, 0]}}, "data.labels"),
        ({"data": POINTS | {"labels": [0, 0, 1, "1"]}}, "data.labels.3"),
        ({"data": POINTS | {"labels": [0, 0, 1, True]}}, "data.labels.3"),
        ({"data": POINTS | {"labels": [0, 0, 1, 1.5]}}, "data.labels.3"),
        ({"data": POINTS | {"labels": ["a", "a", "b", ""]}}, "data.labels.3"),
        ({"data": POINTS | {"labels": [0, 0, 1, 2**53]}}, "data.labels.3"),
        ({"data": POINTS | {"points": [[0, 0], [1, 1], [0, 1], [1]]}}, "data.points.3"),
        ({"data": POINTS | {"points": []}}, "data.points"),
        ({"data": POINTS | {"points": [[], [], [], []]}}, "data.points.0"),
        ({"data": POINTS | {"points": [[0, 0], [1, 1], [0, 1], [1, "0"]]}}, "data.points.3.1"),
        ({"data": POINTS | {"points": [[0, 0], [1, 1], [0, 1], [1, 1e31]]}}, "data.points.3.1"),
        ({"network": {"kind": "transformer"}}, "network.kind"),
        ({"network": {"kind": "logistic", "hidden": [4]}}, "network.hidden"),
        ({"network": {"kind": "two_layer", "hidden": [4, 4]}}, "network.hidden"),
        ({"network": {"hidden": [0]}}, "network.hidden.0"),
        ({"network": {"hidden": [10**6]}}, "network.hidden.0"),
        ({"network": {"hidden": [4] * 17}}, "network.hidden"),
        ({"network": {"hidden": [1024] * 16}}, "network.hidden"),
        ({"network": {"activation": "step"}}, "network.activation"),
        ({"training": {"epochs": 0}}, "training.epochs"),
        ({"training": {"restarts": 0}}, "training.restarts"),
        ({"training": {"restarts": 1_001}}, "training.restarts"),
        ({"training": {"restarts": 1_000, "epochs": 10**6, "batch_size": 100}}, "training.batch_size"),
        ({"training": {"implementation": "fast"}}, "training.implementation"),
        ({"training": {"epochs": 10**9}}, "training.epochs"),
        ({"training": {"epochs": "10"}}, "training.epochs"),
        ({"training": {"epochs": True}}, "training.epochs"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate"),
        ({"training": {"optimizer": "rprop"}}, "training.optimizer"),
        ({"training": {"optimizer": "lbfgs", "learning_rate": 0.1}}, "training.learning_rate"),
        ({"training": {"optimizer": "lbfgs", "momentum": 0}}, "training.momentum"),
        ({"training": {"optimizer": "lbfgs", "batch_size": 50}}, "training.batch_size"),
        ({"training": {"optimizer": "lbfgs", "implementation": "torch"}}, "training.implementation"),
        ({"training": {"optimizer": "lbfgs", "epochs": 10**6}, "network": {"hidden": [64, 64]}}, "training.epochs"),
        ({"training": {"optimizer": "adam", "momentum": 0.5}}, "training.momentum"),
        ({"training": {"momentum": 1}}, "training.momentum"),
        ({"training": {"batch_size": 0}}, "training.batch_size"),
        ({"training": {"validation_fraction": 0.95}}, "training.validation_fraction"),
        ({"training": {"validation_fraction": 0.0001}}, "training.validation_fraction"),
        ({"training": {"patience": 0}}, "training.patience"),
        ({"training": {"seed": -1}}, "training.seed"),
        ({"training": {"epochs": 10**6}, "network": {"hidden": [512, 512]}}, "training.epochs"),
        ({"training": {"epochs": 10**6, "batch_size": 1}}, "training.batch_size"),
        ({"data": {"dataset": "flower", "n": 10**5}, "network": {"hidden": [480] * 9}}, "training.batch_size"),
        ({"training": {"class_weight": "even"}}, "training.class_weight"),
        ({"training": {"class_weight": {}}}, "training.class_weight"),
        ({"training": {"class_weight": 2}}, "training.class_weight"),
        ({"training": {"class_weight": {"red": 1, "blue": 0}}}, "training.class_weight.blue"),
        ({"training": {"class_weight": {"red": 1, "green": 1}}}, "training.class_weight"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_invalid_training_is_refused_with_the_field_at_fault_and_no_job_is_created(
    client: httpx.Client, change: dict[str, Any], field: str
) -> None:
    newest = newest_job_id(client)
    assert_problem(submit(client, **change), 422, "invalid-input", field=field)
    assert newest_job_id(client) == newest


def test_a_body_that_is_not_json_is_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    assert_problem(client.post("/train", content=b"{", headers=headers), 400, "malformed-json")
    nan = b'{"model": "x", "data": {"points": [[0], [NaN]], "labels": [0, 1]}}'
    assert_problem(client.post("/train", content=nan, headers=headers), 422, "invalid-input", field="data.points.1.0")
    assert_problem(client.post("/train", content=b"x", headers={}), 415, "unsupported-media-type")


def test_a_job_that_does_not_exist_is_not_found(client: httpx.Client) -> None:
    assert_problem(client.get("/jobs/" + "0" * 24), 404, "job-not-found")
    assert_problem(client.get("/jobs/nonsense"), 404, "job-not-found")
    assert_problem(client.get("/jobs", params={"after": "0" * 24}), 404, "job-not-found")
    assert_problem(client.get("/jobs/" + "0" * 24 + "/checkpoint"), 404, "job-not-found")
    succeeded = train(client, "has-no-checkpoint")["id"]
    assert_problem(client.get(f"/jobs/{succeeded}/checkpoint"), 404, "nothing-kept")


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"limit": "many"}, {"status": "done"}])
def test_an_invalid_request_for_a_list_is_refused(client: httpx.Client, query: dict[str, Any]) -> None:
    assert_problem(client.get("/jobs", params=query), 422, "invalid-input", field=next(iter(query)))
