import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.problems import assert_problem
from tests.serving import running, train

POINTS = [[0.5, -0.25], [2.0, 1.0]]


@pytest.fixture(scope="module")
def flowers(service: httpx.Client) -> httpx.Client:
    """A service whose model `flowers` has three versions."""
    for seed in (1, 2, 3):
        train(service, "flowers", training={"epochs": 3, "seed": seed})
    return service


@pytest.fixture
def production(flowers: httpx.Client) -> Iterator[str]:
    """The path of an alias that names version 1."""
    path = "/models/flowers/aliases/production"
    assert flowers.put(path, json={"version": 1}).status_code == 200
    yield path
    flowers.delete(path)


def predict(client: httpx.Client, **request: Any) -> dict[str, Any]:
    answer = client.post("/predict", json={"model": "flowers", "points": POINTS} | request)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_an_alias_names_a_version_until_it_moves(flowers: httpx.Client, production: str) -> None:
    shown = flowers.get(production).json()
    assert (shown["object"], shown["model"], shown["alias"], shown["version"]) == (
        *("model.alias", "flowers"),
        *("production", 1),
    )
    assert shown["links"] == {"self": production, "version": "/models/flowers/versions/1"}
    assert predict(flowers, alias="production") == predict(flowers, version=1)

    moved = flowers.put(production, json={"version": 2.0})
    assert (moved.status_code, moved.json()["version"]) == (200, 2)
    assert moved.json()["moved_at"] > shown["moved_at"]
    assert predict(flowers, alias="production") == predict(flowers, version=2)
    assert flowers.get(production).json() == moved.json()


def test_a_model_and_its_versions_show_the_aliases(flowers: httpx.Client, production: str) -> None:
    model = flowers.get("/models/flowers").json()
    assert model["aliases"] == {"latest": 3, "production": 1}
    listed = flowers.get(model["links"]["aliases"]).json()
    assert [(one["alias"], one["version"]) for one in listed["data"]] == [("latest", 3), ("production", 1)]
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, "latest", "production")
    versions = flowers.get("/models/flowers/versions").json()["data"]
    assert [version["aliases"] for version in versions] == [["latest"], [], ["production"]]
    assert flowers.get("/models/flowers/versions/1").json()["aliases"] == ["production"]


@pytest.mark.slow
def test_latest_can_go_back_until_the_next_publication(service: httpx.Client) -> None:
    for _ in range(2):
        train(service, "rolled-back", training={"epochs": 1})
    assert service.put("/models/rolled-back/aliases/latest", json={"version": 1}).status_code == 200
    model = service.get("/models/rolled-back").json()
    assert (model["newest_version"], model["served_version"], model["latest"]["version"]) == (2, 1, 1)
    assert predict(service, model="rolled-back")["version"] == 1
    train(service, "rolled-back", training={"epochs": 1})
    assert predict(service, model="rolled-back")["version"] == 3
    assert_problem(service.delete("/models/rolled-back/aliases/latest"), 409, "alias-reserved")


@pytest.mark.parametrize("options", [{}, {"outputs": ["labels", "logits"]}, {"threshold": 0.4}])
def test_every_kind_of_json_prediction_takes_an_alias(
    flowers: httpx.Client, production: str, options: dict[str, Any]
) -> None:
    assert predict(flowers, alias="production", **options) == predict(flowers, version=1, **options)
    assert (
        predict(flowers, alias="latest", **options)
        == predict(flowers, **options)
        == predict(flowers, version=3, **options)
    )


def test_a_prediction_from_csv_takes_an_alias_in_the_query(flowers: httpx.Client, production: str) -> None:
    def ask(**query: Any) -> httpx.Response:
        headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
        return flowers.post(
            "/predict", params={"model": "flowers"} | query, content="0.5,-0.25\n2,1\n", headers=headers
        )

    named = ask(alias="production")
    assert (named.headers["separatrix-version"], named.text) == ("1", ask(version=1).text)
    assert_problem(ask(alias="production", version=1), 422, "invalid-input", field="alias", place="query")
    assert_problem(ask(alias="nobody"), 404, "alias-not-found")


def test_a_boundary_grid_follows_an_alias_at_once_and_its_etag_follows_the_version(
    flowers: httpx.Client, production: str
) -> None:
    def grid(**query: Any) -> httpx.Response:
        return flowers.get("/boundary-grid", params={"model": "flowers", "resolution": 8} | query)

    first, second = grid(alias="production"), grid(alias="production")
    assert first.json() == second.json() == grid(version=1).json()
    assert first.headers["etag"] == second.headers["etag"] == grid(version=1).headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    flowers.put(production, json={"version": 2})
    moved = grid(alias="production")
    assert moved.json() == grid(version=2).json()
    assert moved.headers["etag"] == grid(version=2).headers["etag"] != first.headers["etag"]
    known = flowers.get(moved.request.url, headers={"If-None-Match": first.headers["etag"]})
    assert known.status_code == 200
    flowers.delete(production)
    assert_problem(grid(alias="production"), 404, "alias-not-found")


@pytest.mark.parametrize("request_body", [{"version": 1, "alias": "latest"}, {"alias": "1"}, {"alias": "No Name"}])
def test_an_ambiguous_or_malformed_reference_is_refused(flowers: httpx.Client, request_body: dict[str, Any]) -> None:
    answer = flowers.post("/predict", json={"model": "flowers", "points": POINTS} | request_body)
    assert_problem(answer, 422, "invalid-input", field="alias")
    answer = flowers.get("/boundary-grid", params={"model": "flowers"} | request_body)
    assert_problem(answer, 422, "invalid-input", field="alias")


def test_an_unknown_alias_is_not_found_and_the_problem_names_the_others(flowers: httpx.Client, production: str) -> None:
    answer = flowers.post("/predict", json={"model": "flowers", "points": POINTS, "alias": "prodction"})
    assert_problem(answer, 404, "alias-not-found")
    assert "latest, production" in answer.json()["detail"]
    for path, code in (
        ("/models/flowers/aliases/nobody", "alias-not-found"),
        ("/models/nobody/aliases/nobody", "model-not-found"),
    ):
        assert_problem(flowers.get(path), 404, code)
        assert_problem(flowers.delete(path), 404, code)
    assert_problem(flowers.get("/models/nobody/aliases"), 404, "model-not-found")


@pytest.mark.parametrize("name", ["3", "1.5", "2024-11-28", "-", "Production", "a" * 64, "%00"])
def test_a_name_that_is_none_or_looks_like_a_number_is_refused(flowers: httpx.Client, name: str) -> None:
    answer = flowers.put(f"/models/flowers/aliases/{name}", json={"version": 1})
    assert_problem(answer, 422, "invalid-input", field="alias", place="path")
    assert "start with a letter" in answer.json()["detail"]
    assert_problem(flowers.get(f"/models/flowers/aliases/{name}"), 404, "alias-not-found")


@pytest.mark.parametrize(
    ("model", "body", "status", "code", "field"),
    [
        ("nobody", {"version": 1}, 404, "model-not-found", None),
        ("flowers", {"version": 9}, 404, "version-not-found", None),
        ("flowers", {"version": 0}, 422, "invalid-input", "version"),
        ("flowers", {"version": "latest"}, 422, "invalid-input", "version"),
        ("flowers", {}, 422, "invalid-input", "version"),
        ("flowers", {"version": 1, "weight": 2}, 422, "invalid-input", "weight"),
    ],
)
def test_an_alias_must_name_an_existing_version(
    flowers: httpx.Client, model: str, body: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    answer = flowers.put(f"/models/{model}/aliases/canary", json=body)
    assert_problem(answer, status, code, field=field)
    assert "canary" not in flowers.get("/models/flowers").json()["aliases"]


@pytest.mark.slow
def test_each_answer_is_wholly_of_one_version_while_an_alias_moves(flowers: httpx.Client, production: str) -> None:
    expected = {number: predict(flowers, version=number) for number in (1, 2, 3)}
    ended = threading.Event()

    def ask(large: bool) -> set[int]:
        seen = set()
        points = POINTS * (40 if large else 1)
        while not ended.is_set():
            answer = predict(flowers, alias="production", points=points)
            number = answer["version"]
            np.testing.assert_allclose(answer["probabilities"][:2], expected[number]["probabilities"], rtol=1e-5)
            seen.add(number)
        return seen

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, large) for large in (False, True, True)]
        for turn in range(30):
            number = 1 + turn % 3
            assert flowers.put(production, json={"version": number}).json()["version"] == number
            assert predict(flowers, alias="production") == expected[number], "a move is seen by all requests after it"
        ended.set()
        seen = set().union(*(one.result() for one in asking))
    assert len(seen) > 1


@pytest.mark.slow
def test_aliases_survive_a_restart_and_other_services_on_the_same_data_follow_them(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        for _ in range(2):
            train(one, "m", training={"epochs": 1})
        one.put("/models/m/aliases/prod", json={"version": 1})
    with running(tmp_path) as one, running(tmp_path, training_processes=0) as other:
        for number in (2, 1, 2):
            assert one.put("/models/m/aliases/prod", json={"version": number}).status_code == 200
            answer = other.post("/predict", json={"model": "m", "points": POINTS, "alias": "prod"})
            assert answer.json()["version"] == number
        assert one.delete("/models/m/aliases/prod").status_code == 204
        answer = other.post("/predict", json={"model": "m", "points": POINTS, "alias": "prod"})
        assert_problem(answer, 404, "alias-not-found")
