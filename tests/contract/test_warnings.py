"""What a job and a version say about a network that has not learned."""

import httpx
import numpy as np

from tests.serving import train

NOISE = {
    "points": np.random.default_rng(1).normal(size=(60, 2)).tolist(),
    "labels": ["yes"] * 20 + ["no"] * 40,
}


def test_a_network_that_has_learned_nothing_comes_with_a_warning(client: httpx.Client) -> None:
    job = train(client, "untrained", data=NOISE, training={"epochs": 1, "learning_rate": 1e-6})
    (warning,) = job["warnings"]
    assert "no better than by always answering" in warning
    assert "(67%)" in warning
    card = client.get(job["links"]["version"]).json()["card"]
    assert card["warnings"] == job["warnings"]


def test_a_card_counts_training_and_validation_points_class_by_class(client: httpx.Client) -> None:
    job = train(client, "judged", data={"dataset": "moons"}, training={"epochs": 500, "validation_fraction": 0.25})
    assert job["warnings"] == []
    card = client.get(job["links"]["version"]).json()["card"]
    for kind, total in (("training", 300), ("validation", 100)):
        counts = np.array(card["evaluation"][kind]["confusion"])
        assert counts.sum() == total
        assert counts.trace() / total == job["metrics"][f"{kind}_accuracy"]
        np.testing.assert_allclose(card["evaluation"][kind]["recall"], counts.diagonal() / counts.sum(axis=1))
        np.testing.assert_allclose(card["evaluation"][kind]["precision"], counts.diagonal() / counts.sum(axis=0))


def test_without_validation_only_the_training_points_are_counted(client: httpx.Client) -> None:
    evaluation = client.get("/models/plane/versions/1").json()["card"]["evaluation"]
    assert evaluation["validation"] is None
    assert sum(map(sum, evaluation["training"]["confusion"])) == 400


def test_points_that_are_equal_in_single_precision_are_named_in_a_warning(client: httpx.Client) -> None:
    data = {"points": [[0.0], [1.0], [1.0 + 1e-9], [2.0]], "labels": ["a", "a", "b", "b"]}
    job = train(client, "too-close", data=data, training={"epochs": 5})
    assert any("1 point differs from another by less than single precision" in one for one in job["warnings"])


def test_points_with_an_offset_are_distinguished_without_a_warning(client: httpx.Client) -> None:
    data = {"points": [[1e9], [1e9 + 1], [1e9 + 2], [1e9 + 3]], "labels": ["a", "a", "b", "b"]}
    job = train(client, "far", data=data, training={"epochs": 50})
    assert not any("single precision" in one for one in job["warnings"])
