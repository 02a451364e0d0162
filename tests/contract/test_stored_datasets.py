import gzip
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.job_requests import WAIT, act, endless
from tests.contract.problems import assert_problem
from tests.serving import ended, running, train

POINTS = [[0.1, 5334000.25], [1.5, 5334001.5], [2.25, 5334000.75], [3.0, 5334002.0], [0.5, 5334001.0]]
LABELS = ["no", "yes", "no", "yes", "no"]
ROWS = "".join(f"{x},{y},{label}\n" for (x, y), label in zip(POINTS, LABELS, strict=True))
CSV = f"easting,northing,kind\n{ROWS}"


def store(client: httpx.Client, name: str, content: str | bytes = CSV, **query: str) -> httpx.Response:
    """The response to a request that stores a dataset in CSV."""
    headers = {"Content-Type": "text/csv"}
    return client.post(f"/datasets/{name}", content=content, params=query, headers=headers)


def stored(client: httpx.Client, name: str, content: str | bytes = CSV, **query: str) -> dict[str, Any]:
    """The dataset that is stored."""
    answer = store(client, name, content, **query)
    assert answer.status_code in (200, 201), answer.text
    assert answer.headers["location"] == f"/datasets/{name}"
    body: dict[str, Any] = answer.json()
    return body


def files(data_dir: Path) -> list[str]:
    return sorted(path.name for path in data_dir.glob("datasets/*"))


def test_a_stored_dataset_reports_how_it_was_understood(service: httpx.Client) -> None:
    body = stored(service, "places")
    assert (body["object"], body["type"], body["name"]) == ("dataset", "stored", "places")
    assert (body["n_points"], body["n_features"], body["n_classes"]) == (5, 2, 2)
    assert body["features"][0] == {"name": "easting", "min": 0.1, "max": 3.0, "mean": pytest.approx(1.47)}
    assert body["features"][1]["max"] == 5334002.0
    assert body["classes"] == [{"label": "no", "count": 3}, {"label": "yes", "count": 2}]
    assert body["label"] == "kind"
    assert any("by its heading" in line for line in body["understood"])
    assert body["warnings"] == []
    assert service.get(body["links"]["self"]).json() == body


@pytest.mark.slow
def test_a_dataset_has_the_digest_of_the_same_points_in_a_training(service: httpx.Client) -> None:
    digest = stored(service, "same")["digest"]
    by_name = train(service, "by-name", data={"dataset": "same"})
    own = {"points": POINTS, "labels": LABELS, "feature_names": ["easting", "northing"]}
    by_points = train(service, "by-points", data=own)
    assert digest == by_name["data_digest"] == by_points["data_digest"]
    assert by_name["metrics"] == by_points["metrics"]
    assert by_name["recipe_digest"] == by_points["recipe_digest"]


@pytest.mark.slow
def test_a_job_and_its_version_name_the_dataset(service: httpx.Client) -> None:
    stored(service, "named")
    job = train(service, "of-named", data={"type": "stored", "dataset": "named"})
    about = {
        "type": "stored",
        "dataset": "named",
        "n_points": 5,
        "n_features": 2,
        "feature_names": ["easting", "northing"],
        "categories": None,
        "validation": None,
    }
    assert job["data"] == about
    assert job["network"]["scale"] == "standard"
    card = service.get(job["links"]["version"]).json()["card"]
    assert (card["data"], card["feature_names"]) == (about, ["easting", "northing"])


def test_the_same_content_again_changes_nothing(service: httpx.Client, data_dir: Path) -> None:
    first = store(service, "twice")
    before = files(data_dir)
    again = store(service, "twice", CSV.replace(",", ";"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert files(data_dir) == before


def test_other_content_replaces_a_dataset_only_on_request(service: httpx.Client, data_dir: Path) -> None:
    first = stored(service, "changed")
    before = len(files(data_dir))
    assert_problem(store(service, "changed", CSV + "9,5334009,no\n"), 409, "dataset-exists")
    assert service.get("/datasets/changed").json() == first
    second = store(service, "changed", CSV + "9,5334009,no\n", replace="true")
    assert (second.status_code, second.json()["n_points"]) == (200, 6)
    assert service.get("/datasets/changed").json() == second.json()
    assert len(files(data_dir)) == before


def test_other_names_of_features_are_other_content(service: httpx.Client) -> None:
    stored(service, "renamed")
    assert_problem(store(service, "renamed", CSV.replace("easting", "east")), 409, "dataset-exists")


def test_a_deleted_dataset_is_gone_with_its_file(service: httpx.Client, data_dir: Path) -> None:
    before = files(data_dir)
    stored(service, "brief")
    assert service.delete("/datasets/brief").status_code == 204
    assert files(data_dir) == before
    assert_problem(service.get("/datasets/brief"), 404, "dataset-not-found")
    assert_problem(service.get("/datasets/brief/points"), 404, "dataset-not-found")
    assert_problem(service.delete("/datasets/brief"), 404, "dataset-not-found")
    train_request = {"model": "m", "data": {"dataset": "brief"}}
    assert_problem(service.post("/train", json=train_request), 404, "dataset-not-found")


@pytest.mark.slow
def test_a_job_and_its_version_keep_the_points_of_a_deleted_dataset(service: httpx.Client) -> None:
    rows = "".join(f"{i},{i * i % 7},{'ab'[i % 2]}\n" for i in range(50))
    stored(service, "used", f"u,v,label\n{rows}")
    with endless(service, data={"dataset": "used"}) as job:
        stored(service, "used", f"u,v,label\n{rows}1,1,a\n", replace="true")
        act(service, job, "pause", **WAIT)
        assert service.delete("/datasets/used").status_code == 204
        act(service, job, "resume")
        assert act(service, job, "cancel", **WAIT).json()["status"] == "cancelled"
        retried = service.post(f"{job['links']['self']}/retry").json()
        assert retried["data"] == job["data"]
        assert retried["data_digest"] == job["data_digest"]
        act(service, retried, "cancel", **WAIT)
    stored(service, "used", f"u,v,label\n{rows}")
    version = train(service, "of-used", data={"dataset": "used"})
    service.delete("/datasets/used")
    service.delete(version["links"]["self"])
    picture = {"model": "of-used", "format": "png", "resolution": "20", "overlay": "points"}
    assert service.get("/boundary-grid", params=picture).status_code == 200


def test_names_of_generators_are_reserved(service: httpx.Client) -> None:
    assert_problem(store(service, "flower"), 409, "dataset-reserved")
    assert_problem(service.delete("/datasets/moons"), 409, "dataset-reserved")


@pytest.mark.parametrize("name", ["Upper", "a" * 64, "-x", "%C3%A9"])
def test_an_invalid_name_is_refused(service: httpx.Client, name: str) -> None:
    assert_problem(store(service, name), 422, "invalid-input", field="name", place="path")


@pytest.mark.slow
def test_datasets_are_listed_after_the_generators_by_name(tmp_path: Path) -> None:
    with running(tmp_path, training_processes=0) as client:
        for name in ("b", "a.2", "a"):
            stored(client, name)
        everything = client.get("/datasets").json()["data"]
        assert [one["name"] for one in everything][6:] == ["a", "a.2", "b"]
        assert [one["type"] for one in everything] == ["generated"] * 6 + ["stored"] * 3
        assert set(everything[6]) == {*everything[6]} - {"features", "understood"}
        names, after = [], {}
        while True:
            page = client.get("/datasets", params={"limit": 2, **after}).json()
            names += [one["name"] for one in page["data"]]
            if not page["has_more"]:
                break
            after = {"after": page["last_id"]}
        assert names == [one["name"] for one in everything]
    with running(tmp_path, training_processes=0) as client:  # and are still there after a restart
        assert client.get("/datasets").json()["data"] == everything


def test_pages_of_points_have_all_digits(service: httpx.Client) -> None:
    stored(service, "paged")
    path = "/datasets/paged/points"
    first = service.get(path, params={"limit": 3}).json()
    rest = service.get(path, params={"limit": 3, "offset": 3}).json()
    assert first["points"] + rest["points"] == POINTS
    assert first["labels"] + rest["labels"] == LABELS
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert (rest["n_points"], rest["offset"], rest["dataset"]) == (5, 3, "paged")
    assert first["feature_names"] == ["easting", "northing"]
    assert service.get(path, params={"format": "csv"}).text == CSV.replace("kind", "label")
    whole = np.load(io.BytesIO(service.get(path, headers={"Accept": "application/x-npy"}).content))
    np.testing.assert_array_equal(whole, POINTS)
    labels = service.get(path, params={"format": "npy", "array": "labels", "offset": "1"})
    np.testing.assert_array_equal(np.load(io.BytesIO(labels.content)), [1, 0, 1, 0])


def test_points_that_are_downloaded_as_csv_and_stored_again_are_the_same_dataset(service: httpx.Client) -> None:
    rng = np.random.default_rng(1)
    rows = "".join(
        f"{x!r},{y!r},{k}\n" for (x, y), k in zip(rng.normal(size=(60, 2)).tolist(), [0, 1] * 30, strict=True)
    )
    first = stored(service, "origin", f"a,label,class\n{rows}", label="class")
    text = service.get("/datasets/origin/points", params={"format": "csv"}).text
    assert text.startswith("a,label,label_\n")
    assert stored(service, "copy", text, label="label_")["digest"] == first["digest"]


def test_points_that_are_downloaded_as_json_can_be_sent_back_as_they_are(service: httpx.Client) -> None:
    first = stored(service, "sent-back")
    page = service.get("/datasets/sent-back/points").json()
    again = service.post("/datasets/sent-again", json=page)
    assert (again.status_code, again.json()["digest"]) == (201, first["digest"])
    assert [one["name"] for one in again.json()["features"]] == ["easting", "northing"]
    training = service.post("/train?validate_only=true", json={"model": "m", "data": page}).json()
    assert (training["data_digest"], training["data"]["type"]) == (first["digest"], "points")
    part = service.get("/datasets/sent-back/points", params={"limit": 3}).json()
    rest = service.get("/datasets/sent-back/points", params={"offset": 3}).json()
    for page in (part, rest):
        refused = service.post("/datasets/part", json=page)
        assert_problem(refused, 422, "invalid-input", field="body")
        assert "one page of several" in refused.json()["detail"]
        refused = service.post("/train", json={"model": "m", "data": page})
        assert_problem(refused, 422, "invalid-input", field="data")
        assert "one page of several" in refused.json()["detail"]


@pytest.mark.slow
def test_a_large_page_of_points_can_be_sent_back_too(service: httpx.Client) -> None:
    page = service.get("/datasets/spirals/points", params={"n": 90_000}).json()
    named = {"dataset": "spirals", "n": 90_000}
    digests = {
        service.post("/train?validate_only=true", json={"model": "m", "data": data}).json()["data_digest"]
        for data in (page, named)
    }
    assert len(digests) == 1


def test_points_of_a_generator_come_in_pages_and_formats_too(service: httpx.Client) -> None:
    path = "/datasets/spirals/points"
    whole = service.get(path, params={"n": 10}).json()
    page = service.get(path, params={"n": 10, "limit": 4, "offset": 4}).json()
    assert page["points"] == whole["points"][4:8]
    assert (page["n_points"], page["has_more"], page["feature_names"]) == (10, True, None)
    array = service.get(path, params={"n": 10, "format": "npy"}).content
    np.testing.assert_array_equal(np.load(io.BytesIO(array)), np.array(whole["points"], np.float32))


def test_unchanged_responses_are_not_sent_again(service: httpx.Client) -> None:
    stored(service, "tagged")
    for path in ("/datasets/tagged", "/datasets/tagged/points", "/datasets/flower"):
        first = service.get(path)
        again = service.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    before = service.get("/datasets/tagged/points").headers["etag"]
    assert service.get("/datasets/tagged/points?format=csv").headers["etag"] != before
    stored(service, "tagged", CSV + "9,5334009,no\n", replace="true")
    assert service.get("/datasets/tagged/points").headers["etag"] != before


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"offset": 5}, "offset"),
        ({"n": 10}, "n"),
        ({"seed": 1}, "seed"),
        ({"format": "png"}, "format"),
        ({"array": "labels"}, "array"),
        ({"colour": 1}, "colour"),
    ],
)
def test_an_invalid_page_is_refused(service: httpx.Client, query: dict[str, Any], field: str) -> None:
    stored(service, "refusing")
    answer = service.get("/datasets/refusing/points", params=query)
    assert_problem(answer, 422, "invalid-input", field=field)
    if field == "format":
        assert_problem(service.get("/datasets/refusing/points", headers={"Accept": "image/png"}), 406, "not-acceptable")


@pytest.mark.parametrize(
    ("content", "query", "place", "field", "told"),
    [
        (CSV, {"label": "sort"}, "query", "label", "'easting', 'northing', 'kind'"),
        (CSV, {"label": "kind", "features": "kind"}, "query", "label", "cannot be a feature"),
        (CSV, {"colour": "red"}, "query", "colour", "unknown"),
        (CSV, {"missing": "ignore"}, "query", "missing", "refuse, drop"),
        (CSV + "1,,no\n", {}, "body", "body", "missing=drop"),
        (CSV + "1,x,no\n", {}, "body", "body", "line 7, column 'northing': 'x' is not a finite number"),
        (CSV + "1,2\n", {}, "body", "body", "line 7"),
        ("a,b,c\n1,x,p\n2,y,q\n", {}, "body", "body", "label=NAME"),
        ("a,b,label\n1,x,0\n2,y,1\n", {}, "body", "body", "drop=b"),
        ("a,label\n1,yes\n2,yes\n", {}, "body", "body", "labels: must contain 2 to 100 different labels"),
        ("", {}, "body", "body", "no points"),
        (b"\x93NUMPY", {}, "body", "body", "is an .npy file"),
    ],
)
def test_a_file_that_is_not_a_dataset_is_refused_with_what_to_do(
    service: httpx.Client,
    data_dir: Path,
    content: str | bytes,
    query: dict[str, str],
    place: str,
    field: str,
    told: str,
) -> None:
    before = files(data_dir)
    answer = store(service, "refused", content, **query)
    assert_problem(answer, 422, "invalid-input", field=field, place=place)
    assert told in answer.json()["detail"]
    assert files(data_dir) == before
    assert_problem(service.get("/datasets/refused"), 404, "dataset-not-found")


def test_options_choose_columns_as_they_do_on_the_command_line(service: httpx.Client) -> None:
    body = stored(
        service,
        "chosen",
        "id;u;v;w;sort\n7;0,5;1;x;a\n9;;2;y;b\n8;1,5;3;z;b\n",
        label="sort",
        drop="w,id",
        missing="drop",
    )
    assert [one["name"] for one in body["features"]] == ["u", "v"]
    assert body["n_points"] == 2
    assert service.get("/datasets/chosen/points").json()["points"] == [[0.5, 1.0], [1.5, 3.0]]


def test_a_dataset_may_be_compressed(service: httpx.Client) -> None:
    headers = {"Content-Type": "text/csv", "Content-Encoding": "gzip"}
    answer = service.post("/datasets/packed", content=gzip.compress(CSV.encode()), headers=headers)
    assert answer.status_code == 201
    assert answer.json()["digest"] == stored(service, "unpacked")["digest"]
    for wrong in (b"not gzip", gzip.compress(CSV.encode())[:-4], gzip.compress(CSV.encode()) + b"more"):
        answer = service.post("/datasets/broken", content=wrong, headers=headers)
        assert_problem(answer, 422, "invalid-input", field="body")


def test_a_dataset_without_a_media_type_of_its_own_is_refused(service: httpx.Client) -> None:
    for media_type in ("application/x-www-form-urlencoded", "image/png", ""):
        answer = service.post("/datasets/typed", content=CSV, headers={"Content-Type": media_type})
        assert_problem(answer, 415, "unsupported-media-type")
        assert "text/csv" in answer.json()["detail"]


def test_a_format_may_be_left_to_the_content(service: httpx.Client) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    digest = service.post("/datasets/any", content=CSV, headers=headers).json()["digest"]
    body = f'{{"points": {POINTS}, "labels": {LABELS}}}'.replace("'", '"')
    answer = service.post("/datasets/any-json", content=body, headers=headers)
    assert answer.json()["digest"] == digest


@pytest.mark.slow
def test_a_dataset_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, training_processes=0, max_dataset_bytes=1_024, max_datasets_bytes=1_500) as client:
        assert_problem(store(client, "large", "a,b\n" * 257), 413, "body-too-large")
        bomb = {"Content-Type": "text/csv", "Content-Encoding": "gzip"}
        answer = client.post("/datasets/bomb", content=gzip.compress(b"1,2\n" * 10**6), headers=bomb)
        assert_problem(answer, 413, "body-too-large")
        stored(client, "first")
        assert_problem(store(client, "second", CSV + "9,5334009,no\n"), 409, "datasets-full")
        assert len(files(tmp_path)) == 1
        stored(client, "first", CSV + "9,5334009,no\n", replace="true")  # which needs no more room


@pytest.mark.slow
def test_a_dataset_of_too_many_points_is_stored_but_not_trained_on(service: httpx.Client) -> None:
    rows = "".join(f"{i % 1000},{i % 7},{i % 2}\n" for i in range(100_001))
    assert stored(service, "large", f"a,b,label\n{rows}")["n_points"] == 100_001
    answer = service.post("/train", json={"model": "m", "data": {"dataset": "large"}})
    assert_problem(answer, 422, "invalid-input", field="data.dataset")
    service.delete("/datasets/large")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"dataset": "Upper"}, "data.dataset"),
        ({"dataset": 3}, "data.dataset"),
        ({"dataset": "places", "n": 10}, "data"),
        ({"dataset": "places", "points": [[1]], "labels": [1]}, "data"),
        ({"dataset": "places", "colour": 1}, "data.colour"),
        ({"dataset": "places", "type": "points"}, "data.type"),
    ],
)
def test_a_training_on_a_stored_dataset_takes_only_its_name(
    service: httpx.Client, data: dict[str, Any], field: str
) -> None:
    answer = service.post("/train", json={"model": "m", "data": data})
    assert_problem(answer, 422, "invalid-input", field=field)


def test_a_damaged_file_is_reported_when_it_is_needed(service: httpx.Client, data_dir: Path) -> None:
    before = set(files(data_dir))
    stored(service, "damaged")
    (name,) = set(files(data_dir)) - before
    path = data_dir / "datasets" / name
    content = path.read_bytes()
    for damaged in (content[:-100], content.replace(b"no", b"on"), b""):
        path.write_bytes(damaged)
        answer = service.post("/train", json={"model": "m", "data": {"dataset": "damaged"}})
        assert_problem(answer, 503, "dataset-broken")
    assert_problem(service.get("/datasets/damaged/points"), 503, "dataset-broken")
    path.unlink()
    assert_problem(service.get("/datasets/damaged/points"), 503, "dataset-broken")
    assert service.get("/datasets/damaged").status_code == 200
    stored(service, "damaged", CSV + "9,5334009,no\n", replace="true")
    assert ended(
        service, service.post("/train", json={"model": "m", "data": {"dataset": "damaged"}}).headers["location"]
    )
    assert service.delete("/datasets/damaged").status_code == 204
