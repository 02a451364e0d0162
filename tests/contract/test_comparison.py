"""Comparisons of two versions, checked against the labels that each version gives by itself."""

import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.contract.problems import assert_problem
from tests.serving import running, train

FLOWER = {"points": [[x, y] for x in range(-2, 3) for y in range(-2, 3)], "labels": ["red", "blue", "red", "blue"] * 6}
FLOWER["labels"] = FLOWER["labels"] + ["blue"]
NAMED = {
    "points": [[0, 1, 5], [1, 0, 6], [2, 3, 5], [3, 2, 7], [4, 5, 6], [5, 4, 9]],
    "labels": [0, 0, 0, 1, 1, 1],
    "feature_names": ["p", "q", "r"],
}
SWAPPED = NAMED | {"points": [[r, p, q] for p, q, r in NAMED["points"]], "feature_names": ["r", "p", "q"]}


@pytest.fixture(scope="module")
def versions(client: httpx.Client) -> httpx.Client:
    """The client, with pairs of versions that can be compared."""
    train(client, "turn", training={"epochs": 100})
    train(client, "turn", training={"epochs": 400, "seed": 3})
    train(client, "turn-own", data=FLOWER, network={"hidden": [3]}, training={"epochs": 200})
    three = {"dataset": "gaussians", "n_classes": 3, "n": 60}
    train(client, "turn-three", data=three | {"noise": 1.5}, training={"epochs": 20})
    train(client, "turn-three", data=three | {"noise": 1.5}, training={"epochs": 60, "seed": 5})
    train(client, "turn-named", data=NAMED, network={"hidden": [3]}, training={"epochs": 300})
    train(client, "turn-swapped", data=SWAPPED, network={"hidden": [3]}, training={"epochs": 100, "seed": 4})
    return client


def compared(client: httpx.Client, a: str, b: str, **query: Any) -> dict[str, Any]:
    answer = client.get("/comparison", params={"a": a, "b": b} | query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def labels_of(client: httpx.Client, name: str, window: dict[str, Any], **query: Any) -> np.ndarray:
    """The label of each cell of a window, by `GET /boundary-grid`."""
    model, _, version = name.partition(":")
    params = {"model": model, "response": "label"} | window | query | ({"version": version} if version else {})
    body = client.get("/boundary-grid", params=params).json()
    return np.array(body["classes"], dtype=object)[np.array(body["values"])]


def counted(classes: list[Any], label_a: np.ndarray, label_b: np.ndarray) -> list[list[int]]:
    return [[int(((label_a == i) & (label_b == j)).sum()) for j in classes] for i in classes]


@pytest.mark.parametrize(
    ("a", "b"), [("turn:1", "turn:2"), ("turn", "turn-own"), ("turn-own", "turn:1"), ("turn-three:1", "turn-three:2")]
)
def test_the_comparison_of_a_window_counts_the_labels_of_both_grids(versions: httpx.Client, a: str, b: str) -> None:
    body = compared(versions, a, b, resolution="50x40")
    window = {**body["window"]["window"], "resolution": "50x40"}
    label_a, label_b = labels_of(versions, a, window), labels_of(versions, b, window)
    assert body["window"]["shape"] == [40, 50]
    assert body["confusion"] == counted(body["classes"], label_a, label_b)
    assert body["differing"] == (label_a != label_b).sum() > 0
    assert body["compared"] == 2000
    assert body["disagreement"] == body["differing"] / 2000
    assert sum(one["count"] for one in body["differences"]) == body["differing"]
    counts = [one["count"] for one in body["differences"]]
    assert counts == sorted(counts, reverse=True)
    assert all(one["count"] == ((label_a == one["a"]) & (label_b == one["b"])).sum() for one in body["differences"])
    assert (body["flips"], body["dataset"], body["training_data"]) == (None, None, None)


def test_metrics_of_both_versions_stand_side_by_side(versions: httpx.Client) -> None:
    body = compared(versions, "turn:1", "turn", resolution=5)
    for side, number in (("a", 1), ("b", 2)):
        version = versions.get(f"/models/turn/versions/{number}").json()
        assert body[side]["metrics"] == version["metrics"]
        assert (body[side]["model"], body[side]["version"]) == ("turn", number)
        assert body[side]["evaluation"] is None


def test_the_default_window_has_the_default_windows_of_both(versions: httpx.Client) -> None:
    own, other = (
        versions.get("/boundary-grid", params={"model": model, "resolution": 3}).json()["window"]
        for model in ("turn", "turn-own")
    )
    expected = {edge: (min if edge.endswith("min") else max)(own[edge], other[edge]) for edge in own}
    assert compared(versions, "turn", "turn-own", resolution=3)["window"]["window"] == expected
    given = compared(versions, "turn-own", "turn", resolution=3, x_min=3, margin=0.5)["window"]["window"]
    assert given["x_min"] == 3
    assert given["x_max"] > 3, "the range of the other version reaches beyond 3"


@pytest.mark.parametrize(("a", "b"), [("turn:1", "turn:2"), ("turn-own", "turn:2"), ("turn", "turn-own")])
def test_the_comparison_of_points_lists_those_whose_predictions_differ(versions: httpx.Client, a: str, b: str) -> None:
    body = compared(versions, a, b, dataset="flower", limit=1000)
    points = versions.get("/datasets/flower/points").json()
    predicted = []
    for name in (a, b):
        model, _, version = name.partition(":")
        request = {"model": model, "points": points["points"]} | ({"version": int(version)} if version else {})
        predicted.append(np.array(versions.post("/predict", json=request).json()["labels"]))
    label_a, label_b = predicted
    truth = np.array(points["labels"])
    assert body["flips"] == [
        {
            "index": i,
            "point": points["points"][i],
            "a": str(label_a[i]),
            "b": str(label_b[i]),
            "label": str(truth[i]),
        }
        for i in np.flatnonzero(label_a != label_b).tolist()
    ]
    assert len(body["flips"]) == body["differing"] > 0
    assert not body["has_more"]
    assert (body["window"], body["dataset"], body["compared"]) == (None, "flower", 400)
    assert body["confusion"] == counted(body["classes"], label_a, label_b)
    for side, label in (("a", label_a), ("b", label_b)):
        assert body[side]["evaluation"]["accuracy"] == (label == truth).mean()
        assert body[side]["evaluation"]["confusion"] == counted(body["classes"], truth, label)
        assert body[side]["evaluation"]["log_loss"] > 0


def test_the_list_of_points_is_bounded_by_the_limit(versions: httpx.Client) -> None:
    every = compared(versions, "turn:1", "turn-own", dataset="flower", limit=1000)
    some = compared(versions, "turn:1", "turn-own", dataset="flower", limit=3)
    assert some["flips"] == every["flips"][:3]
    assert some["has_more"]
    assert compared(versions, "turn:1", "turn-own", dataset="flower", limit=0)["flips"] == []


def test_the_training_data_of_either_version_can_be_compared(versions: httpx.Client) -> None:
    body = compared(versions, "turn:2", "turn-own", training_data="a")
    assert (body["training_data"], body["compared"]) == ("a", 400)
    assert body["a"]["evaluation"]["accuracy"] == pytest.approx(body["a"]["metrics"]["training_accuracy"])
    assert body["a"]["evaluation"]["log_loss"] == pytest.approx(body["a"]["metrics"]["training_loss"], rel=1e-4)
    body = compared(versions, "turn:2", "turn-own", training_data="b")
    assert body["compared"] == 25
    assert body["b"]["evaluation"]["accuracy"] == pytest.approx(body["b"]["metrics"]["training_accuracy"])


def test_features_are_matched_by_name(versions: httpx.Client) -> None:
    plane = {"axes": "q,r", "at": "p=2.5", "resolution": "12x9"}
    body = compared(versions, "turn-named", "turn-swapped", **plane)
    assert body["window"]["axis_names"] == ["q", "r"]
    window = {**body["window"]["window"], **plane}
    label_a, label_b = labels_of(versions, "turn-named", window), labels_of(versions, "turn-swapped", window)
    assert body["confusion"] == counted([0, 1], label_a, label_b)
    mixed = compared(versions, "turn-named", "turn-swapped", training_data="b")
    for side, model in (("a", "turn-named"), ("b", "turn-swapped")):
        records = [dict(zip("pqr", point, strict=True)) for point in NAMED["points"]]
        labels = versions.post("/predict", json={"model": model, "points": records}).json()["labels"]
        assert mixed[side]["evaluation"]["accuracy"] == np.mean(np.array(labels) == NAMED["labels"])


def test_every_point_of_a_stored_dataset_is_compared(versions: httpx.Client) -> None:
    xy = np.random.default_rng(2).normal(size=(3_000, 2)).astype(np.float32)
    file = io.BytesIO()
    np.savez(file, X=xy, y=np.where(xy[:, 0] > 0, "red", "blue"))
    headers = {"Content-Type": "application/x-npz"}
    stored = versions.post("/datasets/turn-many", content=file.getvalue(), headers=headers)
    assert stored.status_code == 201, stored.text
    body = compared(versions, "turn:1", "turn:2", dataset="turn-many", limit=1000)
    versions.delete("/datasets/turn-many")
    label_a, label_b = (labels_of_points(versions, version, xy) for version in (1, 2))
    flips = np.flatnonzero(label_a != label_b)
    assert (body["compared"], body["differing"]) == (3_000, len(flips))
    assert [one["index"] for one in body["flips"]] == flips.tolist()
    assert np.array([one["point"] for one in body["flips"]], np.float32).tolist() == xy[flips].tolist()
    truth = np.where(xy[:, 0] > 0, 0, 1)
    assert body["a"]["evaluation"]["confusion"] == counted([0, 1], truth, label_a)


def labels_of_points(client: httpx.Client, version: int, xy: np.ndarray) -> np.ndarray:
    answer = client.post(
        "/predict",
        params={"model": "turn", "version": version, "outputs": "labels"},
        content=npy(xy),
        headers={"Content-Type": "application/x-npy", "Accept": "application/x-npy"},
    )
    return np.load(io.BytesIO(answer.content))


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def picture(client: httpx.Client, a: str, b: str, **query: Any) -> np.ndarray:
    answer = client.get("/comparison", params={"a": a, "b": b} | query, headers={"Accept": "image/png"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(("a", "b"), [("turn:1", "turn:2"), ("turn-own", "turn"), ("turn-three:1", "turn-three:2")])
def test_a_picture_is_pale_where_the_versions_agree_and_has_a_color_for_each_pair_of_classes(
    versions: httpx.Client, a: str, b: str
) -> None:
    body = compared(versions, a, b, resolution="120x90")
    rgb = picture(versions, a, b, resolution="120x90")[::-1].astype(int)
    assert rgb.shape == (90, 120, 3)
    window = {**body["window"]["window"], "resolution": "120x90"}
    label_a, label_b = labels_of(versions, a, window), labels_of(versions, b, window)
    is_line = np.isin(rgb @ [65536, 256, 1], [0x8A8A8A, 0x141414])
    assert is_line.any()
    shown = set()
    for one in body["differences"]:
        cells = (label_a == one["a"]) & (label_b == one["b"]) & ~is_line
        if cells.any():
            shown.add(one["color"])
            assert (rgb[cells] == list(bytes.fromhex(one["color"][1:]))).all()
            assert rgb[cells].min() < 160, "not pale"
    assert len(shown) == min(len(body["differences"]), len(shown)) > 1
    agreeing = (label_a == label_b) & ~is_line
    assert rgb[agreeing].min() >= 180, "pale"
    for label in body["classes"]:
        assert len(np.unique(rgb[agreeing & (label_a == label)], axis=0)) <= 1


def test_the_lines_of_a_picture_lie_where_the_label_of_a_version_changes(versions: httpx.Client) -> None:
    body = compared(versions, "turn:1", "turn:2", resolution="100")
    code = picture(versions, "turn:1", "turn:2", resolution="100")[::-1].astype(int) @ [65536, 256, 1]
    window = {**body["window"]["window"], "resolution": "100"}
    changes = {}
    for name in ("turn:1", "turn:2"):
        label = labels_of(versions, name, window) == "red"
        change = np.zeros(label.shape, bool)
        change[:, 1:] |= label[:, 1:] != label[:, :-1]
        change[1:] |= label[1:] != label[:-1]
        changes[name] = np.pad(change, 2)
    for name, color in (("turn:1", 0x8A8A8A), ("turn:2", 0x141414)):
        near = np.zeros((100, 100), bool)
        for row in range(5):
            for column in range(5):
                near |= changes[name][row : row + 100, column : column + 100]
        assert near[code == color].all()
        assert (code == color).sum() > 50


def test_a_picture_says_in_headers_what_it_shows(versions: httpx.Client) -> None:
    query = {"a": "turn:1", "b": "turn", "resolution": "30x20"}
    answer = versions.get("/comparison", params=query | {"format": "png"})
    body = versions.get("/comparison", params=query).json()
    assert answer.headers["separatrix-compared"] == "turn:1,turn:2"
    assert answer.headers["separatrix-differing"] == f"{body['differing']},600"
    assert answer.headers["separatrix-window"] == ",".join(map(str, body["window"]["window"].values()))
    assert answer.headers["separatrix-axes"] == "0,1"
    assert answer.headers["separatrix-colors"] == ",".join(body["colors"])


def test_models_of_one_feature_are_compared_along_a_curve(versions: httpx.Client) -> None:
    body = compared(versions, "line", "line", resolution=30)
    assert (body["window"]["shape"], body["differing"]) == ([30], 0)
    assert body["confusion"] == counted([-1, 7], *[labels_of(versions, "line", {"resolution": 30})] * 2)
    assert picture(versions, "line", "line", resolution="30x4").shape == (4, 30, 3)
    plane = compared(versions, "turn:1", "turn:2", axes="1", at="0.5", resolution=40)
    assert plane["window"]["window"]["y_min"] is None
    assert plane["compared"] == 40


def test_responses_have_tags_and_are_kept(versions: httpx.Client) -> None:
    for query in ({"resolution": "20"}, {"resolution": "20", "format": "png"}, {"training_data": "a"}):
        params = {"a": "turn:1", "b": "turn:2"} | query
        first = versions.get("/comparison", params=params)
        assert "immutable" in first.headers["cache-control"]
        again = versions.get("/comparison", params=params)
        assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
        tag = {"If-None-Match": first.headers["etag"]}
        assert versions.get("/comparison", params=params, headers=tag).status_code == 304
        turned = versions.get("/comparison", params=params | {"a": "turn:2", "b": "turn:1"}, headers=tag)
        assert turned.status_code == 200
    latest = versions.get("/comparison", params={"a": "turn:1", "b": "turn", "resolution": 20})
    assert latest.headers["cache-control"] == "no-cache"


@pytest.mark.slow
def test_a_new_version_and_a_replaced_dataset_change_the_answer(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        train(client, "m", training={"epochs": 20})
        query = {"a": "m:1", "b": "m", "resolution": 20}
        before = client.get("/comparison", params=query)
        assert before.json()["differing"] == 0
        assert client.get("/comparison", params=query).content == before.content
        train(client, "m", training={"epochs": 300})
        after = client.get("/comparison", params=query, headers={"If-None-Match": before.headers["etag"]})
        assert after.status_code == 200
        assert (after.json()["b"]["version"], after.json()["differing"] > 0) == (2, True)

        csv = {"Content-Type": "text/csv"}
        client.post("/datasets/d?label=c", content="x,y,c\n1,1,red\n2,1,blue\n", headers=csv)
        query = {"a": "m:1", "b": "m:2", "dataset": "d"}
        before = client.get("/comparison", params=query)
        assert before.headers["cache-control"] == "no-cache"
        tag = {"If-None-Match": before.headers["etag"]}
        assert client.get("/comparison", params=query, headers=tag).status_code == 304
        client.post("/datasets/d?label=c&replace=true", content="x,y,c\n1,1,red\n2,1,blue\n0,1,red\n", headers=csv)
        after = client.get("/comparison", params=query, headers=tag)
        assert (after.status_code, after.json()["compared"]) == (200, 3)


def test_an_imported_version_is_compared_in_a_window_and_on_datasets(versions: httpx.Client) -> None:
    imported = versions.post(
        "/models/turn-imported/versions",
        params={"activation": "tanh", "classes": "red,blue"},
        content=versions.get("/models/turn/versions/1/checkpoint").content,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert imported.status_code == 201, imported.text
    own = versions.get("/boundary-grid", params={"model": "turn", "version": 1, "resolution": 3}).json()["window"]
    for a, b in (("turn-imported", "turn:2"), ("turn:2", "turn-imported")):
        body = compared(versions, a, b, resolution=30)
        assert body["window"]["window"] == own, "that of the version whose data are known"
        expected = compared(versions, a.replace("-imported", ":1"), b.replace("-imported", ":1"), resolution=30)
        assert body["confusion"] == expected["confusion"]
    body = compared(versions, "turn-imported", "turn:2", dataset="flower")
    assert body["flips"] == compared(versions, "turn:1", "turn:2", dataset="flower")["flips"]
    assert (body["a"]["metrics"], body["b"]["metrics"] is None) == (None, False)
    assert compared(versions, "turn-imported", "turn-imported", resolution=4)["differing"] == 0
    answer = versions.get("/comparison", params={"a": "turn-imported", "b": "turn", "training_data": "a"})
    assert_problem(answer, 422, "invalid-input", field="training_data")
    assert compared(versions, "turn-imported", "turn", training_data="b")["compared"] == 400


@pytest.mark.slow
def test_an_alias_names_a_version_until_it_moves(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        for epochs in (20, 300):
            train(client, "m", training={"epochs": epochs})
        query = {"a": "m:production", "b": "m:2", "resolution": 20}
        assert_problem(client.get("/comparison", params=query), 404, "alias-not-found")
        client.put("/models/m/aliases/production", json={"version": 1})
        before = client.get("/comparison", params=query)
        assert before.headers["cache-control"] == "no-cache"
        assert (before.json()["a"]["version"], before.json()["differing"] > 0) == (1, True)
        client.put("/models/m/aliases/production", json={"version": 2})
        after = client.get("/comparison", params=query, headers={"If-None-Match": before.headers["etag"]})
        assert (after.json()["a"]["version"], after.json()["differing"]) == (2, 0)
        earlier = client.post("/predict", json={"model": "m", "alias": "production", "epoch": 20, "points": [[1, 2]]})
        assert (earlier.json()["version"], earlier.json()["epoch"]) == (2, 20)


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ({"a": "turn", "b": "trio"}, "b", "only a has 'red', 'blue' and only b has 0, 1, 2"),
        ({"a": "turn", "b": "line"}, "b", "only a has 'red', 'blue' and only b has -1, 7"),
        ({"a": "turn-named", "b": "plane-of-two"}, "b", "must have 3 features, as a has, but has 2"),
        ({"a": "turn-named", "b": "turn-renamed"}, "b", "only a has r and only b has s"),
        ({"a": "turn", "b": "turn", "dataset": "xor"}, "dataset", "must have labels of the training data"),
        ({"a": "turn", "b": "turn", "dataset": "flower", "x_min": "0"}, "x_min", "it belongs to a window"),
        ({"a": "turn", "b": "turn", "dataset": "flower", "training_data": "a"}, "training_data", "cannot be combined"),
        ({"a": "turn", "b": "turn", "dataset": "flower", "format": "png"}, "format", "must be json"),
        ({"a": "turn", "b": "turn", "limit": "5"}, "limit", "needs dataset or training_data"),
        ({"a": "turn", "b": "turn", "limit": "1001", "dataset": "flower"}, "limit", "must be at most 1,000"),
        ({"a": "turn", "b": "turn", "training_data": "c"}, "training_data", "must be one of a, b"),
        ({"a": "turn:", "b": "turn"}, "a", "must be MODEL, MODEL:VERSION or MODEL:ALIAS"),
        ({"a": "turn:0", "b": "turn"}, "a", "must be MODEL, MODEL:VERSION or MODEL:ALIAS"),
        ({"a": "turn"}, "b", "is required"),
        ({"a": "turn", "b": "turn", "axes": "0,7"}, "axes", "must name one of the model's features"),
        ({"a": "turn", "b": "turn", "x_max": "1e31", "x_min": "-1e31", "y_min": "3", "y_max": "2"}, "y_max", "greater"),
        ({"a": "turn", "b": "turn", "adaptive": "true"}, "adaptive", "is unknown"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused_with_the_reason(
    versions: httpx.Client, query: dict[str, str], field: str, said: str
) -> None:
    if "plane-of-two" in query.values():
        two = {"points": [[0, 1], [1, 0], [2, 3], [3, 2]], "labels": [0, 0, 1, 1]}
        train(versions, "plane-of-two", data=two, network={"hidden": [2]}, training={"epochs": 5})
    if "turn-renamed" in query.values():
        other = NAMED | {"feature_names": ["p", "q", "s"]}
        train(versions, "turn-renamed", data=other, network={"hidden": [2]}, training={"epochs": 5})
    answer = versions.get("/comparison", params=query)
    assert_problem(answer, 422, "invalid-input", field=field)
    assert any(said in one["detail"] for one in answer.json()["errors"]), answer.text


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"a": "turn:9", "b": "turn"}, "version-not-found"),
        ({"a": "turn:nothing", "b": "turn"}, "alias-not-found"),
        ({"a": "turn", "b": "turn:9999999999"}, "version-not-found"),
        ({"a": "nobody", "b": "turn"}, "model-not-found"),
        ({"a": "turn", "b": "turn", "dataset": "nothing"}, "dataset-not-found"),
    ],
    ids=str,
)
def test_a_version_or_dataset_that_does_not_exist_is_not_found(
    versions: httpx.Client, query: dict[str, str], code: str
) -> None:
    assert_problem(versions.get("/comparison", params=query), 404, code)


def test_a_picture_of_points_is_not_acceptable(versions: httpx.Client) -> None:
    query = {"a": "turn", "b": "turn", "dataset": "flower"}
    answer = versions.get("/comparison", params=query, headers={"Accept": "image/png"})
    assert_problem(answer, 406, "not-acceptable")


@pytest.mark.slow
def test_training_data_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        job = train(client, "own", data=NAMED, network={"hidden": [2]}, training={"epochs": 5})
        (tmp_path / "datasets" / f"{job['id']}.npz").unlink()
        answer = client.get("/comparison", params={"a": "own", "b": "own", "training_data": "a"})
        assert_problem(answer, 503, "version-broken")
        assert "on a dataset" in answer.json()["detail"]
