import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.boundary.certified.bounds import certified_labels, computed_labels
from models.boundary.certified.nearest import MAX_BOXES, TOLERANCE, nearest
from models.datasets import generate
from models.networks.layouts import layout
from models.networks.modules import build
from models.networks.plans import Plan, plan_of
from models.specs import ACTIVATIONS, Activation, DatasetSpec, InvalidInput, NetworkSpec, TrainingSpec
from models.training.train import train
from tests.models.boundary.test_certified_bounds import random_plan


def rings_around(xy_2: np.ndarray, radius: float, *, rings: int = 120, spokes: int = 240) -> np.ndarray:
    """Points on rings around a point, up to a radius: float32 (n, 2)."""
    angle_S = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    ring_S2 = np.column_stack([np.cos(angle_S), np.sin(angle_S)])
    away_R = radius * np.linspace(0, 1, rings + 1)[1:]
    return (xy_2 + away_R[:, None, None] * ring_S2).reshape(-1, 2).astype(np.float32)


@pytest.mark.slow
@settings(max_examples=80)
@given(
    hidden=st.lists(st.integers(1, 16), max_size=2),
    outputs=st.sampled_from([1, 1, 2, 3, 5]),
    activation=st.sampled_from(ACTIVATIONS),
    skip=st.booleans(),
    scale=st.sampled_from([0.5, 1.0, 3.0]),
    radius=st.sampled_from([1e-4, 0.1, 2.0, 20.0]),
    level=st.sampled_from([0.0, 0.0, 0.7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_label_changes_below_the_bound_and_the_point_found_has_another_label(
    hidden: list[int],
    outputs: int,
    activation: Activation,
    skip: bool,
    scale: float,
    radius: float,
    level: float,
    seed: int,
) -> None:
    plan = random_plan((2, *hidden, outputs), activation, skip=skip, scale=scale, seed=seed)
    xy_N2 = np.random.default_rng(seed).normal(0, 2, (5, 2))

    found = nearest(plan, xy_N2, level=level, radius=radius)

    label_N = computed_labels(plan, xy_N2.astype(np.float32), level=level)
    was_found_N = np.isfinite(found.distance_N)
    found_N2 = found.xy_N2[was_found_N]
    # computed among other points, a label may differ by rounding, but then it cannot be certified
    assert (certified_labels(plan, found_N2, found_N2, level=level) != label_N[was_found_N]).all()
    np.testing.assert_array_equal(found_N2.astype(np.float32), found_N2)
    np.testing.assert_allclose(np.hypot(*(found_N2 - xy_N2[was_found_N]).T), found.distance_N[was_found_N])
    assert np.isnan(found.xy_N2[~was_found_N]).all()
    assert (found.bound_N <= np.minimum(found.distance_N, radius)).all()
    for n, xy_2 in enumerate(xy_N2):
        sample_N2 = rings_around(xy_2, radius)
        changed_N = computed_labels(plan, sample_N2, level=level) != label_N[n]
        away_N = np.hypot(*(sample_N2 - xy_2).T)
        assert (away_N[changed_N] >= found.bound_N[n]).all()


def trained(
    dataset: DatasetSpec, network: NetworkSpec, *, epochs: int, learning_rate: float
) -> tuple[Plan, np.ndarray]:
    points = generate(dataset)
    classes = len(points.classes)
    made = build(network, 2, classes, seed=0)
    train(made, points, TrainingSpec(epochs=epochs, learning_rate=learning_rate))
    state = {key: value.numpy() for key, value in made.state_dict().items()}
    return plan_of(layout(network, 2, classes), state), points.xy_ND.astype(np.float64)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "network", "learning_rate"),
    [
        (DatasetSpec(), NetworkSpec(), 1.0),
        (DatasetSpec(), NetworkSpec(hidden=(8, 8)), 0.5),
        (DatasetSpec(dataset="spirals", n=200, n_classes=3), NetworkSpec(hidden=(16, 16), activation="silu"), 0.1),
        (DatasetSpec(dataset="moons", n=200), NetworkSpec(kind="residual", hidden=(8,), activation="relu"), 0.1),
    ],
)
def test_the_nearest_change_of_trained_networks_is_found_and_certified(
    dataset: DatasetSpec, network: NetworkSpec, learning_rate: float
) -> None:
    plan, xy_N2 = trained(dataset, network, epochs=1_500, learning_rate=learning_rate)
    some_N2 = xy_N2[::20]
    found = nearest(plan, some_N2, radius=20.0)
    assert np.isfinite(found.distance_N).all()
    gap_N = 1 - found.bound_N / found.distance_N
    assert np.median(gap_N) < 10 * TOLERANCE
    assert np.quantile(gap_N, 0.8) < 0.03
    for xy_2, distance in zip(some_N2, found.distance_N, strict=True):
        label = computed_labels(plan, xy_2[None].astype(np.float32))
        ring_N2 = rings_around(xy_2, 1.02 * distance, rings=50, spokes=2_000)
        assert (computed_labels(plan, ring_N2) != label).any()
        disc_N2 = rings_around(xy_2, 0.98 * distance, rings=50, spokes=500)
        assert (computed_labels(plan, disc_N2) == label).all()


@pytest.mark.parametrize("level", [0.0, 2.0])
def test_the_distance_to_a_straight_boundary_is_exact(level: float) -> None:
    plan = Plan((2, 1), ("identity",), has_skip=False, parameters=np.float32([3, -4, 0.5]))
    xy_N2 = np.random.default_rng(0).normal(0, 3, (300, 2))
    found = nearest(plan, xy_N2, level=level, radius=100.0)
    logit_N = xy_N2 @ [3, -4] + 0.5 - level
    expected_N = np.abs(logit_N) / 5
    np.testing.assert_allclose(found.distance_N, expected_N, rtol=2 * TOLERANCE, atol=3e-6)
    assert (found.bound_N <= expected_N + 1e-6).all()
    assert (found.bound_N >= expected_N * (1 - 2 * TOLERANCE) - 1e-5).all()
    projection_N2 = xy_N2 - logit_N[:, None] * np.array([3, -4]) / 25
    np.testing.assert_allclose(found.xy_N2, projection_N2, atol=0.1)


def test_the_distance_to_a_boundary_with_corners_is_exact() -> None:
    # the logit is |x| + |y| - 1
    parameters = np.float32([1, 0, 0, -1, 0, 0, 0, 1, 0, 0, -1, 0, 1, 1, 1, 1, -1])
    plan = Plan((2, 4, 1), ("relu", "identity"), has_skip=False, parameters=parameters)
    xy_N2 = np.array([[0.0, 0.0], [3.0, 0.0], [0.2, 0.1], [2.0, 2.0], [-0.5, -3.0], [0.0, 0.9]])
    expected_N = np.sqrt([0.5, 4.0, 0.245, 4.5, 4.25, 0.005])
    found = nearest(plan, xy_N2, radius=10.0)
    np.testing.assert_allclose(found.distance_N, expected_N, rtol=3 * TOLERANCE, atol=3e-6)
    assert (found.bound_N <= expected_N + 1e-6).all()
    assert (found.bound_N >= expected_N * (1 - 1e-3) - 1e-5).all()


def test_a_change_to_any_other_class_counts() -> None:
    # k x - k^2 / 2 is greatest for the integer k nearest to x
    k = np.arange(5)
    parameters = np.column_stack([k, 0 * k, -(k**2) / 2]).astype(np.float32).ravel()
    plan = Plan((2, 5), ("identity",), has_skip=False, parameters=parameters)
    found = nearest(plan, np.array([[1.9, 7.0], [2.2, -1.0], [-3.0, 0.0]]), radius=9.0)
    np.testing.assert_allclose(found.distance_N, [0.4, 0.3, 3.5], rtol=3 * TOLERANCE)


def test_a_radius_without_any_change_is_certified() -> None:
    plan = Plan((2, 1), ("identity",), has_skip=False, parameters=np.float32([1, 0, 0]))
    found = nearest(plan, np.array([[3.0, 0.0], [1.0, 1.0]]), radius=2.0)
    assert found.distance_N[0] == np.inf
    assert found.bound_N[0] == 2.0
    assert np.isnan(found.xy_N2[0]).all()
    assert found.distance_N[1] == pytest.approx(1.0, rel=2 * TOLERANCE)


@pytest.mark.slow
def test_a_search_that_needs_too_many_boxes_ends_with_the_bounds_it_has() -> None:
    plan = random_plan((2, 16, 16, 16, 16, 1), "tanh", scale=3.0, seed=1)
    xy_N2 = np.random.default_rng(0).normal(0, 1, (10, 2))
    found = nearest(plan, xy_N2, radius=5.0)
    assert np.isfinite(found.distance_N).all()
    assert (found.bound_N < found.distance_N).all()
    assert MAX_BOXES < 10_000


def test_the_search_accepts_no_points() -> None:
    found = nearest(random_plan((2, 4, 1), "tanh"), np.empty((0, 2)), radius=1.0)
    assert (found.xy_N2.shape, found.distance_N.shape, found.bound_N.shape) == ((0, 2), (0,), (0,))


def test_a_radius_too_wide_for_the_network_is_refused() -> None:
    plan = random_plan((2, 8, 8, 1), "relu", scale=1e6)
    with pytest.raises(InvalidInput, match="overflows") as refused:
        nearest(plan, np.zeros((1, 2)), radius=1e31)
    assert refused.value.field == "radius"
