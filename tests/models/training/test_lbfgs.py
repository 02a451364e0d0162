"""L-BFGS in the kernel finds the minima that SciPy finds, and meets the conditions of its line search."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from models.datasets import LabelledPoints, from_rows, generate
from models.kernel import line_search
from models.limits import MAX_LBFGS_EVALUATIONS
from models.networks.modules import build, layout_of
from models.networks.plans import state_of
from models.specs import DatasetSpec, InvalidInput, NetworkSpec, TrainingSpec
from models.training.compiled_run import CompiledRun
from models.training.runs import Epochs
from models.training.train import train
from tests.models.kernel.samples import FLOWER, NETWORKS, plan_of_network, random_network, random_points

LOGISTIC = NetworkSpec(kind="sequential", hidden=())


def lbfgs(epochs: int = 500, **training: object) -> TrainingSpec:
    return TrainingSpec(optimizer="lbfgs", epochs=epochs, **training)  # type: ignore[arg-type]


def regression_loss(weights: np.ndarray, points: LabelledPoints, decay: float) -> tuple[float, np.ndarray]:
    """Softmax cross-entropy of a linear model plus half the decay times the squared weights, and the gradient; float64.

    Two classes have the logits 0 and z.
    """
    classes, n = len(points.classes), len(points.label_N)
    x_ND = np.column_stack([points.xy_ND.astype(float), np.ones(n)])
    z_NO = x_ND @ weights.reshape(-1, x_ND.shape[1]).T
    z_NK = np.column_stack([np.zeros(n), z_NO]) if classes == 2 else z_NO
    log_sum_N = np.logaddexp.reduce(z_NK, axis=1)
    slope_NK = np.exp(z_NK - log_sum_N[:, None])
    slope_NK[np.arange(n), points.label_N] -= 1
    loss = (log_sum_N - z_NK[np.arange(n), points.label_N]).mean() + decay / 2 * weights @ weights
    slope_NO = slope_NK[:, 1:] if classes == 2 else slope_NK
    return loss, (slope_NO.T @ x_ND / n).ravel() + decay * weights


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("decay", [0.1, 0.001])
@pytest.mark.parametrize("count", [150, 9_000])
def test_the_minimum_of_logistic_regression_is_the_one_that_scipy_finds(classes: int, decay: float, count: int) -> None:
    points = random_points(count, 5, classes, seed=1)
    expected = minimize(
        regression_loss,
        np.zeros(6 * (1 if classes == 2 else classes)),
        (points, decay),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000},
    )
    run = CompiledRun(
        plan_of_network(build(LOGISTIC, 5, classes, seed=3)), points, None, lbfgs(weight_decay=decay), order_seed=0
    )
    stop_reason = None
    while stop_reason is None:
        _, stop_reason = run.advance()
    assert stop_reason == "converged"
    loss, _ = regression_loss(run.weights.astype(float), points, decay)
    assert loss == pytest.approx(expected.fun, abs=1e-8)
    np.testing.assert_allclose(run.weights, expected.x, atol=1e-3)


def epochs_until(loss: float, seed: int) -> float:
    losses: list[float] = []
    network = build(NetworkSpec(), 2, 2, seed=seed)
    train(network, FLOWER, lbfgs(100), on_epochs=lambda epochs: losses.extend(epochs.loss_E))
    return next((number for number, one in enumerate(losses, start=1) if one <= loss), np.inf)


def test_the_tutorials_network_reaches_from_most_seeds_in_100_epochs_the_loss_of_10_000_epochs_of_sgd() -> None:
    assert sum(epochs_until(0.1001, seed) <= 100 for seed in range(12)) >= 9


@pytest.mark.slow
@settings(max_examples=60)
@given(**NETWORKS, decay=st.sampled_from([0.0, 1e-3, 1.0]))
def test_the_objective_of_any_network_never_rises_and_its_weights_stay_finite(decay: float, **of: object) -> None:
    _, plan = random_network(**of)  # type: ignore[arg-type]
    points = random_points(60, plan.features, of["classes"], of["seed"])  # type: ignore[arg-type]
    run = CompiledRun(plan, points, None, lbfgs(50, weight_decay=decay), order_seed=0)
    objectives, stop_reason = [], None
    while stop_reason is None:
        run._steps = 1  # so that the weights are seen after each epoch
        epochs, stop_reason = run.advance()
        if epochs is not None:
            objectives.append(epochs.loss_E[0] + decay / 2 * (run.weights.astype(float) ** 2).sum())
    assert stop_reason in ("completed", "converged")
    assert np.isfinite(run.weights).all()
    assert (np.diff(objectives) <= 1e-6 * np.abs(objectives[:-1]) + 1e-9).all()
    assert run.measure().training_loss == pytest.approx(epochs.loss_E[0], rel=1e-5, abs=1e-6)  # type: ignore[union-attr]


@pytest.mark.parametrize("points", [FLOWER, generate(DatasetSpec(n=6_000))], ids=["one block", "several blocks"])
def test_reported_losses_are_those_of_the_weights_after_each_epoch(points: LabelledPoints) -> None:
    reported: list[float] = []
    network = build(NetworkSpec(), 2, 2, seed=0)
    outcome = train(network, points, lbfgs(7), on_epochs=lambda epochs: reported.extend(epochs.loss_E))
    assert outcome.epochs == len(reported) == 7
    logit_N = network(torch.from_numpy(points.xy_ND))[:, 0]
    loss = nn.functional.binary_cross_entropy_with_logits(logit_N, torch.from_numpy(points.label_N).float())
    assert reported[-1] == pytest.approx(loss.item(), rel=1e-5)


def test_a_training_that_starts_at_the_minimum_has_converged() -> None:
    points = from_rows([[1.0, 0.0], [1.0, 0.0]], [0, 1])
    network = build(LOGISTIC, 2, 2, seed=0)
    nn.init.zeros_(network[0].weight)  # type: ignore[index]
    nn.init.zeros_(network[0].bias)  # type: ignore[index]
    outcome = train(network, points, lbfgs())
    assert (outcome.stop_reason, outcome.epochs) == ("converged", 1)
    assert all((value == 0).all() for value in network.state_dict().values())


def test_points_that_overflow_the_loss_end_the_training_as_diverged_with_the_initial_weights() -> None:
    points = from_rows([[1e30, 1e30], [1e30, 1e30]], [0, 1])
    network = build(NetworkSpec(hidden=(64, 64), activation="identity"), 2, 2, seed=0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1e5)
    start = {key: value.clone() for key, value in network.state_dict().items()}
    outcome = train(network, points, lbfgs())
    assert (outcome.stop_reason, outcome.epochs) == ("diverged", 1)
    assert outcome.advice is not None
    assert "scale=standard" in outcome.advice
    assert "learning_rate" not in outcome.advice
    assert all(torch.equal(start[key], value) for key, value in network.state_dict().items())


def test_a_network_that_the_kernel_cannot_train_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"training\.optimizer"):
        train(nn.Sequential(nn.Linear(2, 4), nn.Dropout(), nn.Linear(4, 1)), FLOWER, lbfgs())


Curve = Callable[[float], tuple[float, float]]
"""Value and slope of a function of the step."""

CURVES: dict[str, Curve] = {
    "a parabola with its minimum far away": lambda t: (1e-6 * t * t - t, 2e-6 * t - 1),
    "a parabola with its minimum near 0": lambda t: (1e4 * t * t - t, 2e4 * t - 1),
    "a quartic": lambda t: ((t - 3) ** 4, 4 * (t - 3) ** 3),
    "a wave": lambda t: (np.cos(3 * t) + t / 4 - t, -3 * np.sin(3 * t) - 0.75),
    "a logarithm that ends": lambda t: (-np.log(1 - t) - 5 * t if t < 1 else np.nan, 1 / (1 - t) - 5 if t < 1 else 0),
    "an overflow": lambda t: (np.exp(min(9 * t, 800)) - 90 * t, 9 * np.exp(min(9 * t, 800)) - 90),
}


def searched(curve: Curve, first_step: float) -> tuple[int, float, int]:
    """Whether the search found a step, that step, and the number of evaluations."""
    line = np.zeros(line_search.FIGURES)
    line_search.begin(line, first_step, *map(float, curve(0.0)))
    for evaluations in range(1, MAX_LBFGS_EVALUATIONS + 1):
        step = line[line_search.NEXT]
        with np.errstate(over="ignore"):
            value, slope = curve(step)
        found = line_search.take(line, float(value), float(slope), evaluations)
        if found != line_search.SEARCHING:
            return found, step, evaluations
    raise AssertionError("the search does not end")


@pytest.mark.slow
@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("first_step", [1e-2, 1.0, 30.0])
def test_the_line_search_ends_at_a_step_that_meets_the_strong_wolfe_conditions(name: str, first_step: float) -> None:
    curve = CURVES[name]
    found, step, evaluations = searched(curve, first_step)
    (start, start_slope), (value, slope) = curve(0.0), curve(step)
    assert found == line_search.FOUND
    assert value <= start + line_search.DECREASE * step * start_slope
    if evaluations <= line_search.MAX_EVALUATIONS:
        assert abs(slope) <= line_search.FLATTENING * abs(start_slope)


@pytest.mark.slow
def test_the_line_search_fails_where_nothing_decreases() -> None:
    found, _, evaluations = searched(lambda t: (1.0 + np.sqrt(t), -1.0), 1.0)  # a slope that is wrong
    assert found == line_search.FAILED
    assert evaluations <= line_search.MAX_EVALUATIONS


@pytest.mark.slow
def test_where_the_decrease_vanishes_in_rounding_the_slope_decides() -> None:
    found, step, evaluations = searched(lambda t: (1.0 + 1e-8 * np.sin(1e3 * t), 1e-9 * (t - 1)), 1.0)
    assert (found, step, evaluations) == (line_search.FOUND, 1.0, 1)


def test_a_state_of_another_optimizer_or_out_of_range_is_refused() -> None:
    network = build(NetworkSpec(), 2, 2, seed=0)
    layout = layout_of(network)
    assert layout is not None
    plan = plan_of_network(network)
    run = CompiledRun(plan, FLOWER, None, lbfgs(), order_seed=0)
    run.advance()
    state = run.state()
    assert state_of(layout, plan)  # the plan itself is not changed
    with pytest.raises(ValueError, match="must have the arrays"):
        CompiledRun(plan, FLOWER, None, TrainingSpec(), order_seed=0, state=state)
    for change in ({"counts": -state["counts"] - 1}, {"counts": state["counts"] + [0, 99, 0, 0, 0, 0, 0]}):
        with pytest.raises(ValueError, match="counts"):
            CompiledRun(plan, FLOWER, None, lbfgs(), order_seed=0, state=state | change)


def test_validation_points_decide_which_epochs_count_as_improvement() -> None:
    noise = from_rows(np.random.default_rng(0).normal(size=(80, 2)).tolist(), [0, 1] * 40)
    seen: list[Epochs] = []
    spec = lbfgs(500, validation_fraction=0.5, patience=6, min_delta=0.0)
    outcome = train(build(NetworkSpec(hidden=(16,)), 2, 2, seed=0), noise, spec, on_epochs=seen.append)
    assert outcome.stop_reason == "early_stopped"
    validation = np.concatenate([epochs.validation_loss_E for epochs in seen])  # type: ignore[misc]
    assert len(validation) == outcome.epochs
    assert validation.argmin() == outcome.epochs - 1 - 6
