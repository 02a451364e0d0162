import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.boundary.certified.bounds import DECISION_SLACK, computed_labels, output_bounds
from models.boundary.certified.quadtree import labels
from models.boundary.grids import GridAxes
from models.datasets import generate
from models.inference import compiled, dispatch
from models.networks.layouts import layout
from models.networks.modules import build
from models.networks.plans import Plan, plan_of
from models.specs import ACTIVATIONS, Activation, DatasetSpec, InvalidInput, NetworkSpec, TrainingSpec
from models.training.train import train
from tests.models.boundary.test_certified_bounds import exact_logits, random_plan


@pytest.fixture(scope="module")
def flower() -> Plan:
    """The tutorial's network, trained on the flower dataset."""
    spec, points = NetworkSpec(), generate(DatasetSpec())
    network = build(spec, 2, 2, seed=0)
    train(network, points, TrainingSpec(epochs=2_000))
    return plan_of(layout(spec, 2, 2), {key: value.numpy() for key, value in network.state_dict().items()})


def mesh(x_W: np.ndarray, y_H: np.ndarray) -> np.ndarray:
    """The points of a grid as float32: (H * W, 2)."""
    return np.stack(np.meshgrid(x_W, y_H), axis=-1).reshape(-1, 2).astype(np.float32)


def may_be_rounding(plan: Plan, xy_N2: np.ndarray, level: float) -> np.ndarray:
    """Whether float32 rounding may decide: the two greatest logits, or logit and level, are that close: (N,)."""
    logit_NO = np.sort(exact_logits(plan, xy_N2), axis=1)
    apart_N = np.abs(logit_NO[:, 0] - level) if logit_NO.shape[1] == 1 else logit_NO[:, -1] - logit_NO[:, -2]
    bounds = output_bounds(plan, xy_N2.astype(np.float64), xy_N2.astype(np.float64))
    error_N = (bounds.radius_OM + np.abs(bounds.coef_ODM).sum(axis=1)).max(axis=0)
    return apart_N <= 2 * error_N + DECISION_SLACK


@pytest.mark.slow
@settings(max_examples=100)
@given(
    hidden=st.lists(st.integers(1, 24), max_size=3),
    outputs=st.sampled_from([1, 1, 2, 3, 4, 5]),
    activation=st.sampled_from(ACTIVATIONS),
    skip=st.booleans(),
    scale=st.sampled_from([0.3, 1.0, 4.0, 100.0]),
    window=st.sampled_from([1e-6, 0.01, 1.0, 8.0, 1e4]),
    width=st.integers(2, 150),
    height=st.integers(2, 150),
    level=st.sampled_from([0.0, 0.0, -1.0, 3.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_labels_equal_those_computed_at_every_cell(
    hidden: list[int],
    outputs: int,
    activation: Activation,
    skip: bool,
    scale: float,
    window: float,
    width: int,
    height: int,
    level: float,
    seed: int,
) -> None:
    plan = random_plan((2, *hidden, outputs), activation, skip=skip, scale=scale, seed=seed)
    x0, y0 = np.random.default_rng(seed).normal(0, 2, 2)
    x_W, y_H = np.linspace(x0 - window, x0 + window, width), np.linspace(y0 - window, y0 + window, height)

    found = labels(plan, GridAxes(x_W, y_H), level=level)

    xy_N2 = mesh(x_W, y_H)
    logit_NO = exact_logits(plan, xy_N2)
    exact_N = logit_NO[:, 0] > level if outputs == 1 else logit_NO.argmax(axis=1)
    expected = [computed_labels(plan, xy_N2, level=level), exact_N]
    if level == 0.0:
        expected.append(dispatch.responses(plan, x_W, y_H, response="label", class_index=0).ravel())
    clear_N = ~may_be_rounding(plan, xy_N2, level)
    for label_N in expected:
        assert (found.values_HW.ravel() == label_N)[clear_N].all()
    assert found.values_HW.shape == (height, width)
    assert found.values_HW.dtype == np.uint8
    assert found.evaluated <= width * height


@pytest.mark.slow
def test_labels_of_a_large_grid_equal_those_of_the_kernel(flower: Plan) -> None:
    x_W, y_H = np.linspace(-5, 5, 1_301), np.linspace(-6, 6, 999)
    found = labels(flower, GridAxes(x_W, y_H))
    label_HW = compiled.responses(flower, x_W, y_H, response="label", class_index=0)
    clear_HW = ~may_be_rounding(flower, mesh(x_W, y_H), 0.0).reshape(999, 1_301)
    assert (found.values_HW == label_HW)[clear_HW].all()
    assert clear_HW.mean() > 0.9999
    assert 0 < found.evaluated < 0.06 * label_HW.size


def test_four_times_as_many_cells_take_twice_the_work(flower: Plan) -> None:
    coarse, fine, finer = (
        labels(flower, GridAxes(*[np.linspace(-5, 5, cells)] * 2)) for cells in (1_024, 2_048, 4_096)
    )
    for less, more in ((coarse, fine), (fine, finer)):
        assert 1.7 < more.evaluated / less.evaluated < 2.3
        assert more.bounded / less.bounded < 2.3
        assert (more.values_HW == 1).mean() == pytest.approx((less.values_HW == 1).mean(), abs=0.01)


def test_a_window_with_one_label_is_certified_without_computing_a_cell() -> None:
    # the logit is x
    plan = Plan((2, 1), ("identity",), has_skip=False, parameters=np.float32([1, 0, 0]))
    found = labels(plan, GridAxes(np.linspace(1, 2, 1_000), np.linspace(0, 1, 700)))
    assert found.evaluated == 0
    assert (found.values_HW == 1).all()


@pytest.mark.slow
def test_a_hundred_classes_are_distinguished() -> None:
    # k x - k^2 / 2 is greatest for the integer k nearest to x
    k = np.arange(100)
    parameters = np.column_stack([k, 0 * k, -(k**2) / 2]).astype(np.float32).ravel()
    plan = Plan((2, 100), ("identity",), has_skip=False, parameters=parameters)
    x_W = np.linspace(-0.43, 99.27, 4_986)
    found = labels(plan, GridAxes(x_W, np.linspace(0, 1, 300)))
    assert (found.values_HW == np.rint(x_W)).all()
    assert found.evaluated < 0.25 * found.values_HW.size


def test_the_smallest_grid_has_labels(flower: Plan) -> None:
    found = labels(flower, GridAxes(np.array([-2.0, 2.0]), np.array([-1.0, 1.0])))
    assert found.values_HW.shape == (2, 2)
    assert found.evaluated in (0, 4)


def test_too_much_work_is_refused_before_it_begins() -> None:
    weights = 3_072 + 1_024 * 1_025 + 1_025
    plan = Plan((2, 1_024, 1_024, 1), ("tanh", "tanh", "identity"), False, np.zeros(weights, np.float32))
    axis = np.linspace(-3, 3, 180)  # nothing can be certified
    with pytest.raises(InvalidInput, match="fewer cells") as refused:
        labels(plan, GridAxes(axis, axis))
    assert refused.value.field == "resolution"


def test_a_window_too_wide_for_the_network_is_refused() -> None:
    plan = random_plan((2, 8, 8, 1), "relu", scale=1e6)
    axis = np.linspace(-1e31, 1e31, 50)
    with pytest.raises(InvalidInput, match="overflows float32"):
        labels(plan, GridAxes(axis, axis))
