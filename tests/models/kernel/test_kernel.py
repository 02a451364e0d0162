"""The compiled kernel beside torch: its functions, its gradients, its loss curves, its answers."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from models.datasets import LabelledPoints, generate
from models.inference import compiled, numpy_forward
from models.kernel import functions
from models.kernel.structures import BLAS_FROM
from models.networks.layouts import layout
from models.networks.modules import build, layout_of
from models.networks.plans import Plan, plan_of, state_of
from models.specs import (
    ACTIVATIONS,
    NETWORK_KINDS,
    Activation,
    DatasetSpec,
    InvalidInput,
    NetworkKind,
    NetworkSpec,
    TrainingSpec,
)
from models.training.compiled_run import CompiledRun
from models.training.runs import Epochs
from models.training.train import train

FLOWER = generate(DatasetSpec())


def floats(low: float, high: float) -> np.ndarray:
    """Every 61st float32 from low to high, of one sign."""
    bits = sorted(int(np.float32(edge).view(np.int32)) & 0x7FFFFFFF for edge in (low, high))
    return np.arange(bits[0], bits[1], 61, dtype=np.int32).view(np.float32) * np.float32(-1 if low < 0 else 1)


@pytest.mark.parametrize(
    ("function", "exact", "arguments", "relative", "absolute"),
    [
        (functions.exp_negative, np.exp, floats(-87.3, -1e-30), 2e-7, 0),
        (functions.exp_negative, np.exp, floats(-3e38, -88.1), 0, 1e-38),
        (functions.expm1_negative, np.expm1, floats(-3e38, -1e-30), 3e-7, 0),
        (functions.log1p_unit, np.log1p, floats(1e-30, 1), 2e-7, 0),
        (functions.log_above_one, np.log, floats(1, 1e30), 2e-7, 2e-7),
        (functions.tanh, np.tanh, floats(1e-30, 3e38), 0, 4e-7),
        (functions.tanh, np.tanh, floats(-3e38, -1e-30), 0, 4e-7),
        (functions.tanh, np.tanh, floats(1e-30, 0.1), 4e-7, 0),
        (functions.sigmoid, lambda x: 1 / (1 + np.exp(-x)), floats(-87, -1e-30), 4e-7, 0),
        (functions.sigmoid, lambda x: 1 / (1 + np.exp(-x)), floats(1e-30, 87), 4e-7, 0),
        (functions.softplus, lambda x: np.logaddexp(0, x), floats(-87, -1e-30), 4e-7, 0),
        (functions.softplus, lambda x: np.logaddexp(0, x), floats(1e-30, 3e38), 4e-7, 0),
    ],
)
def test_a_functions_error_is_as_its_docstring_says(
    function: Callable[[Any], Any],
    exact: Callable[[Any], Any],
    arguments: np.ndarray,
    relative: float,
    absolute: float,
) -> None:
    @numba.njit
    def everywhere(x_N: np.ndarray, y_N: np.ndarray) -> None:
        for i in range(x_N.size):
            y_N[i] = function(x_N[i])

    y_N = np.empty_like(arguments)
    everywhere(arguments, y_N)
    assert len(arguments) > 1_000
    np.testing.assert_allclose(y_N, exact(arguments.astype(float)), rtol=relative, atol=absolute)


@pytest.mark.parametrize(
    "function",
    [
        functions.exp_negative, functions.expm1_negative, functions.log1p_unit, functions.log_above_one, functions.tanh,
        functions.sigmoid, functions.relu, functions.leaky_relu, functions.elu, functions.softplus, functions.gelu_gate,
    ],
)  # fmt: skip
def test_what_is_no_number_stays_none(function: Callable[[Any], Any]) -> None:
    @numba.njit
    def everywhere(x_N: np.ndarray, y_N: np.ndarray) -> None:
        for i in range(x_N.size):
            y_N[i] = function(x_N[i])

    x_N = np.full(20, np.nan, np.float32) * np.where(np.arange(20) % 2, 1, -1).astype(np.float32)
    y_N = np.zeros_like(x_N)
    everywhere(x_N, y_N)
    assert np.isnan(y_N).all()


@pytest.mark.parametrize("batch_size", [None, 64, 500])
def test_many_epochs_at_a_time_are_trained_as_one_by_one_in_the_order_of_the_seed(batch_size: int | None) -> None:
    where = plan(build(NetworkSpec(), 2, 2, seed=0))
    spec = TrainingSpec(epochs=500, batch_size=batch_size, learning_rate=0.1)
    run = CompiledRun(where, FLOWER, None, spec, order_seed=4)
    told = []
    ending = None
    while ending is None:
        epochs, ending = run.advance()
        told.append(len(epochs) if epochs else 0)
    assert sum(told) == 500
    assert max(told) > 20
    one_by_one, ending = CompiledRun(where, FLOWER, None, spec, order_seed=4), None
    while ending is None:
        one_by_one._steps = 1  # the least there is
        _, ending = one_by_one.advance()
    assert run.weights.tobytes() == one_by_one.weights.tobytes()


networks = {
    "kind": st.sampled_from(NETWORK_KINDS),
    "hidden": st.lists(st.integers(1, 12), max_size=4),
    "activation": st.sampled_from(ACTIVATIONS),
    "features": st.integers(1, 6),
    "classes": st.integers(2, 5),
    "seed": st.integers(0, 2**31),
}


def some_network(
    kind: NetworkKind, hidden: list[int], activation: Activation, features: int, classes: int, seed: int
) -> tuple[nn.Module, Plan]:
    widths = {"logistic": (), "two_layer": tuple(hidden[:1] or [4])}.get(kind, tuple(hidden))
    spec = NetworkSpec(kind=kind, hidden=widths, activation=activation)
    network = build(spec, features, classes, seed=seed)
    rng = np.random.default_rng(seed)
    with torch.no_grad():  # far from the small weights that some kinds begin with
        for parameter in network.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.7, tuple(parameter.shape)).astype(np.float32)))
    return network, plan(network)


def plan(network: nn.Module) -> Plan:
    where = layout_of(network)
    assert where is not None
    return plan_of(where, {key: value.numpy() for key, value in network.state_dict().items()})


def some_points(count: int, features: int, classes: int, seed: int) -> LabelledPoints:
    rng = np.random.default_rng(seed)
    label_N = np.concatenate([np.arange(classes), rng.integers(0, classes, count)])
    xy_ND = rng.normal(0, 1.5, (len(label_N), features)).astype(np.float32)
    return LabelledPoints(xy_ND, label_N, tuple(range(classes)))


def one_step(plan: Plan, points: LabelledPoints, **training: Any) -> np.ndarray:
    """The parameters after one epoch of SGD with a rate of 1: the old ones less the gradient."""
    run = CompiledRun(plan, points, None, TrainingSpec(epochs=1, learning_rate=1.0, **training), order_seed=0)
    run.advance()
    return run.weights


def loss_of(logit_NO: torch.Tensor, points: LabelledPoints) -> torch.Tensor:
    label_N = torch.from_numpy(points.label_N)
    if logit_NO.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logit_NO[:, 0], label_N.to(logit_NO.dtype))
    return nn.functional.cross_entropy(logit_NO, label_N)


def assert_same_gradient(network: nn.Module, points: LabelledPoints) -> None:
    """Relative to the greatest derivative, and against autograd in float64: float32 sums differ by as much."""
    where = layout_of(network)
    assert where is not None
    before = plan(network)
    after = one_step(before, points)
    exact = network.double()
    loss_of(exact(torch.from_numpy(points.xy_ND).double()), points).backward()
    gradients = {key: value.grad.numpy() for key, value in exact.named_parameters()}  # type: ignore[union-attr]
    for key, moved in state_of(where, replace(before, parameters=after)).items():
        start = state_of(where, before)[key]
        got = start.astype(float) - moved
        scale = max(np.abs(gradients[key]).max(), np.abs(start).max() * 1e-2, 1e-3)
        np.testing.assert_allclose(got, gradients[key], atol=1e-5 * scale, err_msg=key)


@settings(max_examples=150, deadline=None)
@given(**networks, count=st.integers(1, 80))
def test_its_gradient_is_torch_autograds(count: int, **of: Any) -> None:
    network, _ = some_network(**of)
    points = some_points(count, of["features"], of["classes"], of["seed"])
    with torch.no_grad():
        assume(loss_of(network(torch.from_numpy(points.xy_ND)), points) < 30)
    assert_same_gradient(network, points)


@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu"])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_gradient_of_wide_layers_and_of_points_in_several_blocks_is_torch_autograds(
    activation: Activation, classes: int
) -> None:
    wide = NetworkSpec(hidden=(40, 33, 5), activation=activation)
    assert BLAS_FROM <= 40 * 33
    points = some_points(6_001, 3, classes, 7)
    assert_same_gradient(build(wide, 3, classes, seed=1), points)
    residual = NetworkSpec(kind="residual", hidden=(40, 40), activation=activation)
    assert_same_gradient(build(residual, 3, classes, seed=1), points)


def test_a_plain_sequential_with_an_activation_behind_its_last_layer_or_none_between_trains_as_torch_trains_it() -> (
    None
):
    for chain in (
        [nn.Linear(2, 5), nn.Linear(5, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Tanh()],
        [nn.Linear(2, 6), nn.SiLU(), nn.Linear(6, 6), nn.ELU(), nn.Linear(6, 1)],
    ):
        torch.manual_seed(3)
        for layer in chain:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight)
        assert_same_gradient(nn.Sequential(*chain), FLOWER)


@pytest.mark.parametrize("kind", NETWORK_KINDS)
@pytest.mark.parametrize(
    "training",
    [
        {"learning_rate": 0.3},
        {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01},
        {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.01},
        {"learning_rate": 0.1, "batch_size": 64, "validation_fraction": 0.2},
        {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 500},
    ],
    ids=str,
)
@pytest.mark.parametrize("classes", [2, 3])
def test_its_loss_curves_follow_torchs_for_hundreds_of_epochs(
    kind: NetworkKind, training: dict[str, Any], classes: int
) -> None:
    points = FLOWER if classes == 2 else generate(DatasetSpec(dataset="spirals", classes=3, n=300))
    network = NetworkSpec(kind=kind, hidden=None if kind in ("logistic", "two_layer") else (8, 6))
    curves: dict[str, list[np.ndarray]] = {}
    for implementation in ("compiled", "torch"):
        told: list[Epochs] = []
        spec = TrainingSpec(epochs=300, seed=5, implementation=implementation, **training)  # type: ignore[arg-type]
        outcome = train(build(network, 2, classes, seed=5), points, spec, on_epochs=told.append)
        assert outcome.implementation == implementation
        columns = ("loss_E", "accuracy_E", "validation_loss_E", "validation_accuracy_E")
        present = columns if "validation_fraction" in training else columns[:2]
        curves[implementation] = [np.concatenate([getattr(epochs, name) for epochs in told]) for name in present]
    for i, (ours, theirs) in enumerate(zip(curves["compiled"], curves["torch"], strict=True)):
        assert len(ours) == 300
        # points on the line may fall to either side, some more of them while all logits are near 0
        np.testing.assert_allclose(ours, theirs, rtol=0 if i % 2 else 5e-4, atol=0.03 if i % 2 else 0)


def assert_predicts_as_torch(network: nn.Module, plan: Plan, xy_ND: np.ndarray) -> None:
    """Within a millionth of the exact answer, or nearer to it than torch's own float32 is."""

    def by_torch(network: nn.Module, xy_ND: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            logit_NO = network(xy_ND)
        if logit_NO.shape[1] > 1:
            return torch.softmax(logit_NO, dim=1).numpy()
        return torch.cat([torch.sigmoid(-logit_NO), torch.sigmoid(logit_NO)], dim=1).numpy()

    theirs_NK = by_torch(network, torch.from_numpy(xy_ND))
    exact_NK = by_torch(network.double(), torch.from_numpy(xy_ND).double())
    ours_NK = compiled.probabilities(plan, xy_ND)
    assert ours_NK.dtype == np.float32
    assert np.abs(ours_NK - exact_NK).max() <= max(1e-6, np.abs(theirs_NK - exact_NK).max())
    np.testing.assert_allclose(ours_NK.sum(axis=1), 1.0, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(**networks, count=st.integers(1, 60))
def test_its_predictions_are_as_exact_as_torchs(count: int, **of: Any) -> None:
    network, plan = some_network(**of)
    xy_ND = np.random.default_rng(of["seed"]).normal(0, 1, (count, of["features"])).astype(np.float32)
    assert_predicts_as_torch(network, plan, xy_ND)


def test_the_tutorials_network_as_trained_predicts_as_exactly_as_torch() -> None:
    network = build(NetworkSpec(), 2, 2, seed=0)
    train(network, FLOWER, TrainingSpec())
    xy_N2 = np.random.default_rng(0).uniform(-5, 5, (100_000, 2)).astype(np.float32)
    assert_predicts_as_torch(network, plan(network), xy_N2)


@pytest.mark.parametrize("kind", ["logistic", "sequential", "residual"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("response", ["probability", "logit", "label", "entropy"])
def test_a_grid_by_the_kernel_is_the_grid_by_numpy(kind: NetworkKind, classes: int, response: Any) -> None:
    spec = NetworkSpec(kind=kind, hidden=None if kind == "logistic" else (6, 5))
    where = plan(build(spec, 2, classes, seed=2))
    x_W, y_H = np.linspace(-3, 4, 4_500), np.linspace(-2, 5, 9)
    mesh = np.stack(np.meshgrid(x_W, y_H), axis=-1).reshape(-1, 2).astype(np.float32)
    logit_NO = numpy_forward.logits(where, mesh)
    for k in range(classes):
        got = compiled.responses(where, x_W, y_H, response=response, class_index=k).ravel()
        if response == "label":
            assert got.dtype == np.int64
            assert (got != numpy_forward.probabilities(logit_NO).argmax(axis=1)).mean() < 1e-4
        elif response == "probability":
            np.testing.assert_allclose(got, numpy_forward.probabilities(logit_NO)[:, k], atol=1e-6)
        elif response == "entropy":
            np.testing.assert_allclose(got, numpy_forward.entropy(logit_NO), atol=1e-6)
        else:
            expected = logit_NO[:, k] if classes == 3 else logit_NO[:, 0] * (1 if k else -1)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)

    every_OHW = compiled.outputs(where, x_W, y_H)
    np.testing.assert_allclose(every_OHW.reshape(len(every_OHW), -1).T, logit_NO, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("size", [1e-3, 1.0, 20.0, 200.0, 3e38])
def test_entropy_is_that_of_float64_by_numpy_and_by_the_kernel(classes: int, size: float) -> None:
    rng = np.random.default_rng(classes)
    outputs = 1 if classes == 2 else classes
    weight_O1 = (rng.uniform(-1, 1, (outputs, 1)) * size).astype(np.float32)
    parameters = np.column_stack([weight_O1, np.zeros((outputs, 2), np.float32)]).ravel().astype(np.float32)
    x_W = np.linspace(-1, 1, 1_001)
    linear = Plan((2, outputs), ("identity",), has_skip=False, parameters=parameters)
    logit_NO = numpy_forward.logits(linear, np.column_stack([x_W, 0 * x_W]).astype(np.float32))
    exact_NO = logit_NO.astype(np.longdouble)
    if outputs == 1:
        exact_NO = np.column_stack([0 * exact_NO, exact_NO])
    below_NK = exact_NO - exact_NO.max(axis=1, keepdims=True)
    prob_NK = np.exp(below_NK)
    log_sum_N = np.log1p(np.sort(prob_NK, axis=1)[:, :-1].sum(axis=1))  # the greatest is 1
    prob_NK /= prob_NK.sum(axis=1, keepdims=True)
    mean_N = np.where(prob_NK > 0, prob_NK * below_NK, 0).sum(axis=1)
    expected = ((log_sum_N - mean_N) / np.log(np.longdouble(2))).astype(float)
    by_numpy = numpy_forward.entropy(logit_NO)
    by_kernel = compiled.responses(linear, x_W, np.zeros(1), response="entropy", class_index=0)[0]
    for got in (by_numpy, by_kernel):
        assert got.dtype == np.float32
        assert got.min() >= 0
        np.testing.assert_allclose(got, expected, rtol=0 if outputs > 1 else 1e-6, atol=1e-6 if outputs > 1 else 1e-30)


def test_what_overflows_is_refused() -> None:
    steep = Plan((2, 1), ("identity",), has_skip=False, parameters=np.array([1e30, 0, 0], np.float32))
    with pytest.raises(InvalidInput):
        compiled.probabilities(steep, np.full((3, 2), 1e30, np.float32))
    with pytest.raises(InvalidInput):
        compiled.responses(steep, np.array([0, 1e30]), np.array([0.0]), response="logit", class_index=1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_number_that_is_none_is_not_lost_on_its_way_to_the_loss(activation: Activation) -> None:
    network = build(NetworkSpec(hidden=(3, 3), activation=activation), 2, 2, seed=0)
    with torch.no_grad():
        next(network.parameters())[0, 0] = float("nan")
    where = layout(NetworkSpec(hidden=(3, 3), activation=activation), 2, 2)
    parts = [np.column_stack([*arrays]) for arrays in zip(*[iter(map(_rows, network.parameters()))] * 2, strict=True)]
    broken = Plan((2, 3, 3, 1), (activation, activation, "identity"), False, np.concatenate([p.ravel() for p in parts]))
    assert len(broken.parameters) == where.weights
    _, ending = CompiledRun(broken, FLOWER, None, TrainingSpec(epochs=3), order_seed=0).advance()
    assert ending == "diverged"


def _rows(parameter: nn.Parameter) -> np.ndarray:
    return parameter.detach().numpy().reshape(len(parameter), -1)


def test_the_same_recipe_gives_the_same_bits_whatever_runs_beside_it() -> None:
    spec = TrainingSpec(epochs=400, batch_size=150, validation_fraction=0.2, seed=3)

    networks = [build(NetworkSpec(hidden=(40, 40)), 2, 2, seed=3) for _ in range(7)]

    def run(network: nn.Module) -> bytes:
        train(network, FLOWER, spec)
        return b"".join(value.numpy().tobytes() for value in network.state_dict().values())

    alone = run(networks.pop())
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(run, networks)) == {alone}


def copied(tmp_path: Path) -> Path:
    import models

    shutil.copytree(Path(models.__file__).parent, tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "models" / "kernel"


def stamp_and_place(tmp_path: Path, **environment: str) -> tuple[str, Path]:
    """What the cache of a copy of the kernel is known by, and where it is."""
    program = (
        "from models.kernel import steps, compiling\n"
        "print(steps.advance._cache._impl.locator.get_source_stamp().hex(), steps.advance._cache.cache_path)"
    )
    command = [sys.executable, "-c", program]
    given = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=True)
    stamp, place = done.stdout.split()
    return stamp, Path(place)


def test_a_change_of_any_file_of_the_kernel_has_it_compiled_anew(tmp_path: Path) -> None:
    kernel = copied(tmp_path)
    stamp, place = stamp_and_place(tmp_path)
    assert place == kernel / "__pycache__", "it is kept beside the code where that can be written"
    with (kernel / "functions.py").open("a") as file:
        file.write("\n# changed\n")
    assert stamp_and_place(tmp_path)[0] != stamp


def test_a_cache_elsewhere_begins_with_what_was_compiled_beside_the_code(tmp_path: Path) -> None:
    kernel = copied(tmp_path)
    (kernel / "__pycache__").mkdir()
    (kernel / "__pycache__" / "steps.advance-1.py311.nbi").write_bytes(b"as shipped")
    _, place = stamp_and_place(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert place.is_relative_to(tmp_path / "cache")
    assert [file.name for file in place.iterdir()] == ["steps.advance-1.py311.nbi"]
    assert (place / "steps.advance-1.py311.nbi").read_bytes() == b"as shipped"
    (place / "steps.advance-1.py311.nbi").write_bytes(b"as compiled here")
    stamp_and_place(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert (place / "steps.advance-1.py311.nbi").read_bytes() == b"as compiled here"
