"""Training compared with the tutorial's loop, torch.compile, scikit-learn, JAX, SciPy, and several processes."""

import importlib.util
import os
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from rich.table import Table
from scipy.optimize import minimize
from torch import nn

from benchmarks.tables import Row, console, medians, table
from models.datasets import LabelledPoints, generate
from models.networks.modules import Builder, build, layout_of
from models.networks.plans import plan_of
from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from models.training.compiled_run import CompiledRun
from models.training.restarts import train_best
from models.training.train import train

RATE = 0.5


class EagerTorch:
    """The tutorial's loop in eager torch: linear layers and tanh, full batch, plain SGD."""

    def __init__(self, hidden: tuple[int, ...], n: int) -> None:
        """Prepares `n` points of the flower."""
        points = generate(DatasetSpec(n=n))
        self.x = torch.from_numpy(points.xy_ND)
        self.y = torch.from_numpy(points.label_N).float().reshape(-1, 1)
        self.network = build(NetworkSpec(hidden=hidden), 2, 2, seed=0)
        self.optimizer = torch.optim.SGD(self.network.parameters(), RATE)
        self.criterion = nn.BCEWithLogitsLoss()

    def epochs(self, count: int) -> None:
        for _ in range(count):
            loss = self.criterion(self.network(self.x), self.y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


class CompiledTorch:
    """The same step by torch.compile, gradient and update in one function."""

    def __init__(self, hidden: tuple[int, ...], n: int) -> None:
        """Prepares the function. The first run compiles it, which takes a minute."""
        eager = EagerTorch(hidden, n)
        network = build(NetworkSpec(hidden=hidden), 2, 2, seed=0)
        self.weights = {name: value.detach() for name, value in network.named_parameters()}

        def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
            return eager.criterion(torch.func.functional_call(network, weights, (eager.x,)), eager.y)

        def step(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            gradient = torch.func.grad(loss)(weights)
            return {name: value - RATE * gradient[name] for name, value in weights.items()}

        self.step = torch.compile(step)

    def epochs(self, count: int) -> None:
        weights = self.weights
        for _ in range(count):
            weights = self.step(weights)


class ScikitLearn:
    """MLPClassifier with the same layers, learning rate and batch."""

    def __init__(self, hidden: tuple[int, ...], n: int) -> None:
        """Prepares `n` points of the flower."""
        self.hidden, self.points = hidden, generate(DatasetSpec(n=n))

    def epochs(self, count: int) -> None:
        from sklearn.neural_network import MLPClassifier

        classifier = MLPClassifier(
            self.hidden, activation="tanh", solver="sgd", alpha=0.0, batch_size=len(self.points.label_N),
            learning_rate_init=RATE, momentum=0.0, max_iter=count, tol=0.0, n_iter_no_change=count, shuffle=False,
            random_state=0,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning that it has not converged
            classifier.fit(self.points.xy_ND, self.points.label_N)


class Jax:
    """The same loss by jax.grad, with all epochs in one jitted scan. Compilation is not measured."""

    def __init__(self, hidden: tuple[int, ...], n: int) -> None:
        """Prepares `n` points of the flower."""
        import jax
        import jax.numpy as jnp

        points = generate(DatasetSpec(n=n))
        x_N2, y_N = jnp.asarray(points.xy_ND), jnp.asarray(points.label_N, jnp.float32)
        rng = np.random.default_rng(0)
        sizes = (2, *hidden, 1)
        self.weights = [
            (jnp.asarray(rng.normal(0, 0.5, (o, i)), jnp.float32), jnp.zeros(o)) for i, o in pairwise(sizes)
        ]

        def loss(weights):  # type: ignore[no-untyped-def]
            a = x_N2
            for w, b in weights[:-1]:
                a = jnp.tanh(a @ w.T + b)
            w, b = weights[-1]
            z = (a @ w.T + b)[:, 0]
            return (jnp.maximum(z, 0) - z * y_N + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean()

        def step(weights, _):  # type: ignore[no-untyped-def]
            value, gradient = jax.value_and_grad(loss)(weights)
            return jax.tree.map(lambda w, g: w - RATE * g, weights, gradient), value

        def run(weights, count):  # type: ignore[no-untyped-def]
            return jax.lax.scan(step, weights, length=count)

        self.run = jax.jit(run, static_argnums=1)

    def epochs(self, count: int) -> None:
        self.run(self.weights, count)[1].block_until_ready()


class Ours:
    """`models.training.train`, including all that it reports and checks in every epoch."""

    def __init__(self, hidden: tuple[int, ...], n: int) -> None:
        """Prepares `n` points of the flower."""
        self.network, self.points = build(NetworkSpec(hidden=hidden), 2, 2, seed=0), generate(DatasetSpec(n=n))

    def epochs(self, count: int) -> None:
        train(self.network, self.points, TrainingSpec(epochs=count, learning_rate=RATE))


SIZES: list[tuple[tuple[int, ...], int, int, int]] = [
    # hidden layers, points, number of epochs to measure for a peer, and for `Ours`
    ((4,), 400, 200, 10_000),
    ((8, 8), 400, 200, 3_000),
    ((32, 32), 400, 100, 300),
    ((128, 128), 400, 30, 60),
    ((512, 512), 400, 5, 8),
    ((4,), 100_000, 10, 60),
    ((32, 32), 100_000, 2, 4),
]


def main() -> None:
    """Prints a table for each size of network, then one of restarts on several cores."""
    cores = sorted(os.sched_getaffinity(0))
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.sched_setaffinity(0, cores[:1])  # all use one core, whatever threads they start
    torch.set_num_threads(1)
    peers: dict[str, type[EagerTorch | ScikitLearn | Jax]] = {"the tutorial's loop, eager torch": EagerTorch}
    if importlib.util.find_spec("sklearn"):
        peers["scikit-learn MLPClassifier"] = ScikitLearn
    if importlib.util.find_spec("jax"):
        peers["JAX, jit and scan"] = Jax
    for hidden, n, theirs, ours in SIZES:
        rows = {}
        for name, peer in peers.items():
            rows[name] = Row(_run(peer(hidden, n), theirs), theirs)
        if hidden == (4,) and n == 400:
            rows["torch.compile"] = Row(_run(CompiledTorch(hidden, n), theirs), theirs)
        rows["models.training.train"] = Row(_run(Ours(hidden, n), ours), ours)
        table(f"training {'-'.join(map(str, (2, *hidden, 1)))} on {n:,} points, per epoch, one core", rows)
    lbfgs()
    os.sched_setaffinity(0, cores)
    tutorials_loss(len(cores))
    restarts(len(cores))


def _run(one: EagerTorch | CompiledTorch | ScikitLearn | Jax | Ours, count: int) -> Callable[[], object]:
    return lambda: one.epochs(count)


TUTORIALS_LOSS = 0.1001
"""The loss of the tutorial's network after its 10,000 epochs of SGD."""

SEEDS = range(12)
LBFGS_EPOCHS = 100


@dataclass(frozen=True)
class Descent:
    """A training by L-BFGS: evaluations until the loss was at most the tutorial's, None if never; the final loss."""

    evaluations: int | None
    loss: float


def lbfgs() -> None:
    """Compares L-BFGS in the kernel with SciPy's on the tutorial's data and network."""
    title = f"L-BFGS to the loss {TUTORIALS_LOSS} on the tutorial's data, {LBFGS_EPOCHS} iterations at most, one core"
    shown = Table(title=title, title_justify="left")
    for heading in ("seed", "kernel: evaluations", "final loss", "SciPy: evaluations", "final loss"):
        shown.add_column(heading, justify="right")
    for seed in SEEDS:
        found = (_kernel_descent(seed), _scipy_descent(seed))
        cells = [cell for one in found for cell in (str(one.evaluations or "never"), f"{one.loss:.4f}")]
        shown.add_row(str(seed), *cells)
    console.print(shown)

    runs = {seed: _run_of(seed, TrainingSpec(optimizer="lbfgs", epochs=LBFGS_EPOCHS)) for seed in SEEDS}

    def kernel(seed: int) -> None:
        run = runs[seed]()
        while run.advance()[1] is None:
            pass

    rows = {
        "SciPy, 12 trainings": Row(lambda: [_scipy_descent(seed) for seed in SEEDS], len(SEEDS)),
        "kernel, 12 trainings": Row(lambda: [kernel(seed) for seed in SEEDS], len(SEEDS)),
    }
    table(f"{LBFGS_EPOCHS} iterations of L-BFGS, one core", rows)


def tutorials_loss(cores: int) -> None:
    """Measures how long the loss of the tutorial's 10,000 epochs takes, from the seeds to the trained network.

    The trainings by L-BFGS end after as many iterations as the median seed needs. Eight restarts make bad seeds
    harmless.
    """
    points = generate(DatasetSpec())
    builder = Builder(NetworkSpec(), 2, 2)
    eager = EagerTorch((4,), 400)
    needed = sorted((found, seed) for seed in SEEDS if (found := _iterations_needed(seed)) is not None)
    epochs, middle = needed[len(needed) // 2]

    def lbfgs(restarts: int, seed: int, threads: int) -> Callable[[], object]:
        spec = TrainingSpec(optimizer="lbfgs", epochs=epochs, restarts=restarts, seed=seed)

        def work() -> None:
            found = train_best(builder, points, spec, threads=threads).best
            assert found is not None
            assert found.outcome.metrics is not None
            assert found.outcome.metrics.training_loss <= TUTORIALS_LOSS
            _ = found.network  # as a module

        return work

    rows = {
        "the tutorial's loop, 10,000 epochs of eager torch": Row(lambda: eager.epochs(10_000)),
        f"kernel, L-BFGS, {epochs} iterations": Row(lbfgs(1, middle, 1)),
        "kernel, best of 8 such trainings": Row(lbfgs(8, 0, 1)),
    }
    if cores > 1:
        rows[f"the same on {cores} threads"] = Row(lbfgs(8, 0, cores))
    table(f"to the loss {TUTORIALS_LOSS} on the tutorial's data and network", rows)


def _iterations_needed(seed: int) -> int | None:
    """Iterations of L-BFGS until the loss is at most the tutorial's; None if it is not reached."""
    run = _run_of(seed, TrainingSpec(optimizer="lbfgs", epochs=LBFGS_EPOCHS))()
    stop_reason = None
    while stop_reason is None:
        run._steps = 1  # one evaluation
        epochs, stop_reason = run.advance()
        if epochs is not None and epochs.loss_E[-1] <= TUTORIALS_LOSS:
            return run.epochs_started
    return None


def _run_of(seed: int, spec: TrainingSpec) -> Callable[[], CompiledRun]:
    network = build(NetworkSpec(), 2, 2, seed=seed)
    layout = layout_of(network)
    assert layout is not None
    points: LabelledPoints = generate(DatasetSpec())
    plan = plan_of(layout, {key: value.numpy() for key, value in network.state_dict().items()})
    return lambda: CompiledRun(plan, points, None, spec, order_seed=0)


def _kernel_descent(seed: int) -> Descent:
    run = _run_of(seed, TrainingSpec(optimizer="lbfgs", epochs=LBFGS_EPOCHS))()
    evaluations, reached, stop_reason, loss = 0, None, None, np.inf
    while stop_reason is None:
        run._steps = 1  # one evaluation
        epochs, stop_reason = run.advance()
        evaluations += 1
        if epochs is not None:
            loss = epochs.loss_E[-1]
            reached = reached or (evaluations if loss <= TUTORIALS_LOSS else None)
    return Descent(reached, loss)


def _scipy_descent(seed: int) -> Descent:
    """The same network in float64 by NumPy, and `scipy.optimize.minimize`."""
    points = generate(DatasetSpec())
    x_N2, y_N = points.xy_ND.astype(float), points.label_N.astype(float)
    start = [value.numpy().astype(float) for value in build(NetworkSpec(), 2, 2, seed=seed).state_dict().values()]
    ends = np.cumsum([part.size for part in start])[:-1]
    evaluations, reached = 0, None

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal evaluations, reached
        evaluations += 1
        w1, b1, w2, b2 = (part.reshape(like.shape) for part, like in zip(np.split(flat, ends), start, strict=True))
        hidden_N4 = np.tanh(x_N2 @ w1.T + b1)
        z_N = hidden_N4 @ w2[0] + b2[0]
        loss = (np.logaddexp(0, z_N) - z_N * y_N).mean()
        reached = reached or (evaluations if loss <= TUTORIALS_LOSS else None)
        error_N = (1 / (1 + np.exp(-z_N)) - y_N) / len(y_N)
        back_N4 = np.outer(error_N, w2[0]) * (1 - hidden_N4**2)
        parts = (back_N4.T @ x_N2, back_N4.sum(0), error_N @ hidden_N4, error_N.sum())
        return loss, np.concatenate([np.ravel(part) for part in parts])

    flat = np.concatenate([part.ravel() for part in start])
    found = minimize(loss_and_gradient, flat, jac=True, method="L-BFGS-B", options={"maxiter": LBFGS_EPOCHS})
    return Descent(reached, found.fun)


def restarts(cores: int) -> None:
    """Measures restarts on one thread and on all cores, and how independent processes scale on this machine."""
    points = generate(DatasetSpec())
    spec = TrainingSpec(restarts=64)

    def run(threads: int) -> Callable[[], object]:
        return lambda: train_best(lambda seed: build(NetworkSpec(), 2, 2, seed=seed), points, spec, threads=threads)

    table(
        "64 restarts of 2-4-1, 10,000 epochs each",
        {"one thread": Row(run(1)), f"{cores} threads": Row(run(cores))},
    )
    console.print(f"{cores} independent processes train {_together(cores):.2f} times as much as one\n")


def _spin(_: int) -> float:
    """Seconds of one training, measured in its own process."""
    found = medians("", {"": Row(_whole)}, repetitions=8)
    return statistics.median(found.values())


def _whole() -> None:
    run = _run_of(0, TrainingSpec(epochs=10_000))()
    while run.advance()[1] is None:
        pass


def _together(cores: int) -> float:
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        pool.map(_spin, range(cores), chunksize=1)  # warms up
        alone = pool.apply(_spin, (0,))
        together = max(pool.map(_spin, range(cores), chunksize=1))
    return cores * alone / together
