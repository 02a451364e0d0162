import numpy as np
import pytest

from models.datasets import LabelledPoints, from_rows, generate, points_array, split
from models.generators import GENERATORS
from models.specs import DATASET_NAMES, DatasetName, DatasetSpec, InvalidInput


def test_the_default_flower_consists_of_the_tutorials_own_points() -> None:
    np.random.seed(1)  # the tutorial draws from the global legacy generator
    expected_N2 = np.zeros((400, 2))
    for j in range(2):
        t = np.linspace(j * 3.12, (j + 1) * 3.12, 200) + np.random.rand(200) * 0.2
        r = 4 * np.sin(4 * t) + np.random.rand(200) * 0.2
        expected_N2[200 * j : 200 * (j + 1)] = np.c_[r * np.sin(t), r * np.cos(t)]

    flower = generate(DatasetSpec())

    np.testing.assert_array_equal(flower.xy_ND, expected_N2.astype(np.float32))
    assert flower.label_N.tolist() == [0] * 200 + [1] * 200
    assert flower.classes == ("red", "blue")


def test_every_name_of_a_dataset_has_a_generator() -> None:
    assert tuple(GENERATORS) == DATASET_NAMES


@pytest.mark.parametrize("name", DATASET_NAMES)
def test_a_generator_gives_equal_points_only_for_equal_seeds(name: DatasetName) -> None:
    spec = DatasetSpec(dataset=name, n=101, seed=5)
    once, again = generate(spec), generate(spec)
    other = generate(DatasetSpec(dataset=name, n=101, seed=6))

    assert once.digest == again.digest != other.digest
    assert once.xy_ND.shape == (101, 2)
    assert once.xy_ND.dtype == np.float32
    assert np.bincount(once.label_N).tolist() == [51, 50]


@pytest.mark.parametrize("name", ["spirals", "gaussians"])
def test_spirals_and_gaussians_have_the_requested_number_of_classes(name: DatasetName) -> None:
    points = generate(DatasetSpec(dataset=name, n=50, n_classes=5))
    assert points.classes == (0, 1, 2, 3, 4)
    assert np.bincount(points.label_N).tolist() == [10] * 5


def test_without_noise_each_generator_draws_its_figure_exactly() -> None:
    def made(name: DatasetName, **more: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        points = generate(DatasetSpec(dataset=name, n=60, noise=0.0, **more))
        return points.xy_ND[:, 0], points.xy_ND[:, 1], points.label_N

    x, y, label = made("circles")
    np.testing.assert_allclose(np.hypot(x, y), np.where(label == 0, 1.0, 0.5), atol=1e-6)
    x, y, label = made("moons")
    np.testing.assert_allclose(np.hypot(x[label == 0], y[label == 0]), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.hypot(x[label == 1] - 1, y[label == 1] - 0.5), 1.0, atol=1e-6)
    x, y, label = made("xor")
    assert ((x * y < 0) == (label == 1)).all()
    x, y, label = made("gaussians", n_classes=3)
    np.testing.assert_allclose(np.hypot(x, y), 2.0, atol=1e-6)
    x, y, label = made("spirals", n_classes=3)
    r = np.hypot(x, y)
    turn = np.arctan2(x, y) - 3.5 * np.pi * r - 2 * np.pi * label / 3
    np.testing.assert_allclose(np.cos(turn), 1.0, atol=1e-5)


def test_the_noise_of_the_flower_is_the_width_of_its_scatter() -> None:
    clean, quiet, noisy = (generate(DatasetSpec(noise=noise)).xy_ND for noise in (0.0, 0.01, 0.4))
    radius = np.hypot(*clean.T)
    t = np.concatenate([np.linspace(0, 3.12, 200), np.linspace(3.12, 6.24, 200)])
    np.testing.assert_allclose(radius, np.abs(4 * np.sin(4 * t)), atol=1e-5)
    # |dr/dt| <= 16 and r <= 4: noise below v in t and in r moves no point by more than 21 v
    assert 0.05 < np.abs(quiet - clean).max() < 21 * 0.01
    assert 2.0 < np.abs(noisy - clean).max() < 21 * 0.4


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dataset": "roses"}, "data.dataset"),
        ({"n": 1}, "data.n"),
        ({"n": 100_001}, "data.n"),
        ({"noise": -0.1}, "data.noise"),
        ({"noise": float("nan")}, "data.noise"),
        ({"seed": -1}, "data.seed"),
        ({"seed": 2**32}, "data.seed"),
        ({"n_classes": 3}, "data.n_classes"),
        ({"dataset": "spirals", "n_classes": 101}, "data.n_classes"),
        ({"dataset": "spirals", "n_classes": 9, "n": 8}, "data.n"),
    ],
)
def test_a_dataset_out_of_bounds_is_refused_with_the_name_of_the_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        DatasetSpec(**change)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_given_labels_keep_their_type_and_are_sorted() -> None:
    names = from_rows([[0.0], [1.0], [2.0]], ["b", "a", "b"])
    numbers = from_rows([[0.0], [1.0], [2.0]], [10, -3, 10])

    assert names.classes == ("a", "b")
    assert names.label_N.tolist() == [1, 0, 1]
    assert numbers.classes == (-3, 10)
    assert names.features == 1


@pytest.mark.parametrize(
    ("points", "labels", "field"),
    [
        ([], [], "data.points"),
        ([[]], ["a"], "data.points"),
        ([[0.0, 1.0], [2.0]], ["a", "b"], "data.points.1"),
        ([[0.0], [float("nan")]], ["a", "b"], "data.points.1.0"),
        ([[0.0], [float("inf")]], ["a", "b"], "data.points.1.0"),
        ([[0.0], [1e39]], ["a", "b"], "data.points.1.0"),
        ([[0.0], [1.0]], ["a"], "data.labels"),
        ([[0.0], [1.0]], ["a", "a"], "data.labels"),
        ([[0.0], [1.0]], ["a", 1], "data.labels.1"),
        ([[0.0], [1.0]], [True, False], "data.labels.0"),
        ([[0.0], [1.0]], ["", "a"], "data.labels"),
        ([[0.0], [1.0]], ["a" * 65, "a"], "data.labels"),
        ([[0.0], [1.0]], [2**53, 1], "data.labels"),
        ([[float(i)] for i in range(101)], list(range(101)), "data.labels"),
        ([[0.0] * 1_001] * 2, ["a", "b"], "data.points.0"),
    ],
)
def test_unusable_data_are_refused_with_the_name_of_the_field(
    points: list[list[float]], labels: list[str | int], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        from_rows(points, labels)
    assert refused.value.field == field


def test_data_have_equal_digests_only_if_they_are_equal() -> None:
    base = from_rows([[0.0, 1.0], [2.0, 3.0]], ["a", "b"])
    others = [
        from_rows([[0.0, 1.0], [2.0, 4.0]], ["a", "b"]),
        from_rows([[0.0, 1.0], [2.0, 3.0]], ["b", "a"]),
        from_rows([[0.0, 1.0], [2.0, 3.0]], ["a", "c"]),
        from_rows([[0.0], [1.0], [2.0], [3.0]], ["a", "b", "a", "b"]),
    ]
    assert from_rows([[0.0, 1.0], [2.0, 3.0]], ["a", "b"]).digest == base.digest
    assert len({base.digest, *(other.digest for other in others)}) == 5
    assert from_rows([[0.0], [1.0]], [1, 2]).digest != from_rows([[0.0], [1.0]], ["1", "2"]).digest


def test_a_split_holds_out_a_share_of_each_class_and_loses_no_point() -> None:
    points = generate(DatasetSpec(dataset="gaussians", n_classes=3, n=300))
    training, validation = split(points, fraction=0.2, seed=3)

    assert validation is not None
    assert np.bincount(validation.label_N).tolist() == [20, 20, 20]
    together = np.concatenate([training.xy_ND, validation.xy_ND])
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(points.xy_ND, axis=0))
    again = split(points, fraction=0.2, seed=3)[1]
    other = split(points, fraction=0.2, seed=4)[1]
    assert again is not None
    assert other is not None
    assert again.digest == validation.digest != other.digest


def test_a_split_leaves_at_least_one_training_point_in_each_class() -> None:
    points = LabelledPoints(points_array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1]), ("a", "b"))
    training, validation = split(points, fraction=0.9, seed=0)
    assert sorted(training.label_N.tolist()) == [0, 1]
    assert validation is not None
    assert validation.label_N.tolist() == [1]


def test_a_split_without_validation_points_is_refused() -> None:
    with pytest.raises(InvalidInput, match="validation_fraction"):
        split(from_rows([[0.0], [1.0]], ["a", "b"]), fraction=0.1, seed=0)
