import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from models.boundary.certified.bounds import certified_labels, computed_labels, output_bounds
from models.inference import compiled, numpy_forward
from models.networks.plans import Plan
from models.specs import ACTIVATIONS, Activation, InvalidInput

SMOOTH: list[Activation] = ["elu", "silu", "gelu", "softplus", "tanh", "sigmoid"]

TORCH: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "silu": functional.silu,
    "gelu": lambda x: functional.gelu(x, approximate="tanh"),
    "softplus": functional.softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}


def random_plan(
    widths: tuple[int, ...], activation: Activation, *, skip: bool = False, scale: float = 1.0, seed: int = 0
) -> Plan:
    size = sum((i + 1) * o for i, o in itertools.pairwise(widths))
    size += (widths[0] + 1) * widths[-1] if skip else 0
    parameters = np.random.default_rng(seed).normal(0, scale, size).astype(np.float32)
    return Plan(widths, (activation,) * (len(widths) - 2) + ("identity",), skip, parameters)


def exact_logits(plan: Plan, xy_ND: np.ndarray) -> np.ndarray:
    """The outputs in float64, computed by torch."""
    x = a = torch.from_numpy(np.asarray(xy_ND, np.float64))
    for layer, activation in zip(plan.layers, plan.activations, strict=True):
        weight, bias = (torch.from_numpy(part.astype(np.float64)) for part in (layer.weight_OI, layer.bias_O1))
        a = TORCH[activation](a @ weight.T + bias.T)
    if plan.skip:
        skip = plan.skip
        a = a + x @ torch.from_numpy(skip.weight_OI.T.astype(np.float64)) + torch.from_numpy(skip.bias_O1.T * 1.0)
    return a.numpy()


def points_within(low_MD: np.ndarray, high_MD: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random points of each box, many of them on its corners and edges: (40, M, D)."""
    share = rng.uniform(-0.4, 1.4, (40, *low_MD.shape)).clip(0, 1)
    return low_MD + share * (high_MD - low_MD)


plans = st.builds(
    lambda hidden, classes, features, activation, skip, scale, seed: random_plan(
        (features, *hidden, classes), activation, skip=skip, scale=scale, seed=seed
    ),
    hidden=st.lists(st.integers(1, 40), max_size=3),
    classes=st.sampled_from([1, 3, 4, 5]),
    features=st.sampled_from([1, 2, 2, 2, 5]),
    activation=st.sampled_from(ACTIVATIONS),
    skip=st.booleans(),
    scale=st.sampled_from([0.1, 1.0, 5.0, 1e4]),
    seed=st.integers(0, 2**32 - 1),
)


@pytest.mark.slow
@settings(max_examples=150)
@given(plan=plans, size=st.sampled_from([0.0, 1e-7, 1e-3, 0.3, 10.0, 1e6]), seed=st.integers(0, 2**32 - 1))
def test_outputs_of_a_box_lie_within_its_bounds_and_have_its_certified_label(
    plan: Plan, size: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    low_MD = rng.normal(0, 3, (20, plan.features))
    high_MD = low_MD + size * rng.uniform(0, 1, low_MD.shape)
    xy_SMD = points_within(low_MD, high_MD, rng)
    xy_ND = xy_SMD.reshape(-1, plan.features)
    shape = (*xy_SMD.shape[:2], plan.widths[-1])

    bounds = output_bounds(plan, low_MD, high_MD)
    t_SDM = (xy_SMD.transpose(0, 2, 1) - bounds.mid_DM) / np.maximum(bounds.half_DM, 1e-300)
    line_SOM = bounds.center_OM + np.einsum("odm,sdm->som", bounds.coef_ODM, t_SDM)
    computed = numpy_forward.logits(plan, xy_ND.astype(np.float32))
    for logit_NO in (exact_logits(plan, xy_ND), exact_logits(plan, xy_ND.astype(np.float32)), computed):
        error_SOM = np.abs(logit_NO.reshape(shape).transpose(0, 2, 1) - line_SOM)
        assert (error_SOM <= bounds.radius_OM * (1 + 1e-9)).all()

    level = float(rng.choice([0.0, 0.0, 1.5, -20.0]))
    proven_M = certified_labels(plan, low_MD, high_MD, level=level)
    label_SM = computed_labels(plan, xy_ND.astype(np.float32), level=level).reshape(shape[:2])
    assert (label_SM == proven_M)[:, proven_M >= 0].all()


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("skip", [False, True])
def test_outputs_of_the_kernel_lie_within_the_bounds_of_their_points(activation: Activation, skip: bool) -> None:
    for seed, widths in enumerate([(2, 3, 1), (2, 8, 8, 1), (2, 40, 40, 1)]):
        plan = random_plan(widths, activation, skip=skip, seed=seed)
        x_W, y_H = np.linspace(-4, 4, 61), np.linspace(-30, 5, 47)
        xy_MD = np.stack(np.meshgrid(x_W, y_H), axis=-1).reshape(-1, 2)
        logit_HW = compiled.responses(plan, x_W, y_H, response="logit", class_index=1)
        bounds = output_bounds(plan, xy_MD, xy_MD)
        error_M = np.abs(logit_HW.ravel() - bounds.center_OM[0])
        deviation_M = bounds.radius_OM[0] + np.abs(bounds.coef_ODM[0]).sum(axis=0)
        assert (error_M <= deviation_M).all()
        level = float(np.median(logit_HW).clip(-15, 15))
        proven_M = certified_labels(plan, xy_MD, xy_MD, level=level)
        prob_NK = compiled.probabilities(plan, xy_MD.astype(np.float32))
        above_M = prob_NK[:, 1] > np.exp(level) * prob_NK[:, 0].astype(float)
        assert (above_M == proven_M)[proven_M >= 0].all()
        assert (proven_M >= 0).mean() > 0.9


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_bounds_of_an_activation_hold_on_intervals_of_all_sizes(activation: Activation) -> None:
    # one neuron, whose input is the point itself
    plan = Plan((1, 1, 1), (activation, "identity"), has_skip=False, parameters=np.float32([1, 0, 1, 0]))
    rng = np.random.default_rng(5)
    low_M1 = rng.normal(0, 1, (4_000, 1)) * 10 ** rng.uniform(-3, 2, (4_000, 1))
    high_M1 = low_M1 + 10 ** rng.uniform(-4, 2, (4_000, 1))
    bounds = output_bounds(plan, low_M1, high_M1)
    for t in np.linspace(-1, 1, 101):
        x_1M = bounds.mid_DM + t * bounds.half_DM
        value_1M = TORCH[activation](torch.from_numpy(x_1M)).numpy()
        line_1M = bounds.center_OM + bounds.coef_ODM[:, 0] * t
        assert (np.abs(value_1M - line_1M) <= bounds.radius_OM).all()


@pytest.mark.parametrize("activation", SMOOTH)
def test_halving_a_box_quarters_the_radius(activation: Activation) -> None:
    plan = random_plan((2, 6, 6, 1), activation, seed=3)
    mid_MD = np.random.default_rng(3).normal(0, 1, (200, 2))
    coarse, fine = (output_bounds(plan, mid_MD - half, mid_MD + half).radius_OM for half in (0.08, 0.04))
    assert np.median(fine / coarse) < 0.3


@pytest.mark.parametrize("activation", SMOOTH)
def test_bounds_are_tight_on_wide_boxes_where_activations_are_nearly_linear(activation: Activation) -> None:
    plan = Plan((1, 1, 1), (activation, "identity"), has_skip=False, parameters=np.float32([1, 0, 1, 0]))
    far = output_bounds(plan, np.array([[-60.0], [25.0]]), np.array([[-25.0], [60.0]]))
    assert (far.radius_OM < 3e-4).all()


def test_the_bounds_of_piecewise_linear_networks_are_exact_away_from_their_kinks() -> None:
    plan = random_plan((2, 4, 1), "relu", seed=1)
    low_MD = np.random.default_rng(2).normal(0, 3, (500, 2))
    assert np.median(output_bounds(plan, low_MD, low_MD + 1e-3).radius_OM) < 1e-5


def test_the_label_of_a_single_logit_depends_on_the_level() -> None:
    # the logit is x
    plan = Plan((2, 1), ("identity",), has_skip=False, parameters=np.float32([1, 0, 0]))
    low_MD = np.array([[-2.0, 0.0], [1.0, 0.0], [2.5, 0.0]])
    high_MD = low_MD + 1.0
    assert certified_labels(plan, low_MD, high_MD).tolist() == [0, 1, 1]
    assert certified_labels(plan, low_MD, high_MD, level=1.5).tolist() == [0, -1, 1]
    assert computed_labels(plan, np.float32([[1.4, 0], [1.6, 0]]), level=1.5).tolist() == [0, 1]
    assert computed_labels(plan, np.float32([[-30.1, 0], [-29.9, 0]]), level=-30.0).tolist() == [0, 1]


def test_no_label_is_certified_where_logits_are_equal() -> None:
    for outputs in (1, 3):
        plan = Plan((2, outputs), ("identity",), has_skip=False, parameters=np.zeros(3 * outputs, np.float32))
        assert certified_labels(plan, np.zeros((1, 2)), np.ones((1, 2))).tolist() == [-1]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_no_label_is_certified_where_float32_overflows(activation: Activation, outputs: int) -> None:
    plan = random_plan((2, 8, 8, outputs), activation, scale=1e10, seed=4)
    low_MD = np.array([[1e30, 1e30], [-1e31, -1e31], [1e300, 0.0], [-np.inf, 0.0], [np.nan, 0.0]])
    high_MD = np.array([[2e30, 2e30], [1e31, 1e31], [1e301, 1.0], [np.inf, 1.0], [np.nan, 1.0]])
    assert certified_labels(plan, low_MD, high_MD).tolist() == [-1] * 5
    with pytest.raises(InvalidInput, match="overflows"):
        computed_labels(random_plan((2, 8, 1), "relu", scale=1e10), np.full((1, 2), 1e30, np.float32))


def test_the_certified_label_of_a_box_does_not_depend_on_the_other_boxes() -> None:
    plan = random_plan((2, 50, 50, 3), "tanh", seed=2)
    low_MD = np.random.default_rng(2).normal(0, 1, (700, 2))
    all_M = certified_labels(plan, low_MD, low_MD + 0.02)
    alone_M = [int(certified_labels(plan, low_MD[i : i + 1], low_MD[i : i + 1] + 0.02)[0]) for i in range(0, 700, 50)]
    assert all_M[::50].tolist() == alone_M
    assert certified_labels(plan, low_MD[:0], low_MD[:0]).shape == (0,)
