"""Training by the compiled kernel.

Importing this module loads numba: half a second and some 60 MiB.
"""

import math
import time
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.datasets import DoubleArray, FloatArray, IntArray, LabelledPoints
from models.kernel import lbfgs, line_search, optimizers, steps, structures
from models.kernel.buffers import SMALLEST, net_of, no_points, points_of, unweighted, workspace_for
from models.kernel.structures import Points, Record, Settings, State
from models.limits import LBFGS_MEMORY, MAX_LBFGS_EVALUATIONS
from models.networks.plans import Plan
from models.recipes import class_weights
from models.specs import Optimizer, TrainingSpec
from models.training import run_state
from models.training.run_state import RunState
from models.training.runs import Epochs, Metrics, StopReason

SLICE_S = 0.02
"""About how long each call of the kernel takes; between calls a training can be stopped."""

MAX_SLICE_EPOCHS = 16_384
"""Maximum number of epochs in one call of the kernel."""

DRAWN_INDICES = 2**18
"""About how many indices of points, 2 MiB, are drawn in advance for mini-batches."""

_STOP_REASONS: dict[int, StopReason | None] = {
    structures.CONTINUES: None,
    structures.EARLY_STOPPED: "early_stopped",
    structures.CONVERGED: "converged",
    structures.DIVERGED: "diverged",
}


class CompiledRun:
    """A training of a plan's network by the kernel; see `models.training.runs.Run`. The plan itself is not changed."""

    def __init__(
        self,
        plan: Plan,
        training: LabelledPoints,
        validation: LabelledPoints | None,
        spec: TrainingSpec,
        *,
        order_seed: int,
        state: RunState | None = None,
        snapshot_epochs: Sequence[int] = (),
    ) -> None:
        """Prepares the training. All arguments must fit together: the kernel checks no index.

        `snapshot_epochs` are the epochs, ascending, whose parameters `weights_after` returns.

        Raises:
            ValueError: the state does not belong to an unfinished training of such a network.
        """
        assert training.features == plan.features
        self._net = net_of(plan)._replace(weights=plan.parameters.copy())
        weight_K = class_weights(spec, training)
        self._training = points_of(training, weight_K)
        self._validation = points_of(validation, weight_K) if validation else no_points(plan.features, weight_K)
        self._epochs = spec.epochs
        count = len(training.label_N)
        batch = spec.batch_size or count
        shuffles = batch < count  # a step that takes all points leaves them in their order
        self._batches = math.ceil(count / batch)
        self._settings = Settings(
            optimizers.CODES.get(spec.optimizer, 0),
            spec.epochs,
            float(spec.rate),  # numba would compile everything again for an int
            float(spec.momentum or 0.0),
            float(spec.weight_decay),
            batch if shuffles else 0,
            spec.patience or 0,
            float(spec.min_delta),
        )
        self._workspace = workspace_for(self._net, count, for_training=True)
        self._is_lbfgs = spec.optimizer == "lbfgs"
        self._state = _initial_state(plan.parameters, is_lbfgs=self._is_lbfgs)
        self._order_seed = order_seed
        self._drawn: list[IntArray] = []  # the orders of the current epoch and of some that follow
        self._max_drawn = max(1, DRAWN_INDICES // count) if shuffles else MAX_SLICE_EPOCHS
        self._record = Record(
            np.empty((4, min(spec.epochs, MAX_SLICE_EPOCHS))),
            np.array(snapshot_epochs, np.int64),
            np.empty((len(snapshot_epochs), plan.parameters.size), np.float32),
        )
        self._steps = 1
        if state is not None:
            self._restore(state)

    @cached_property
    def _rng(self) -> np.random.Generator:
        """Draws the orders of points; made when needed, which takes as long as several steps."""
        return np.random.default_rng(self._order_seed)

    @property
    def _validates(self) -> bool:
        return self._validation.label_N.size > 0

    @property
    def epochs_started(self) -> int:
        """Number of epochs started, including the current one."""
        counts = self._state.counts
        return int(counts[structures.EPOCH]) + int(counts[structures.STEP] > 0)

    @property
    def weights(self) -> FloatArray:
        """The current parameters, float32 (P,), in a plan's order. Not a copy."""
        return self._net.weights

    def weights_after(self, epoch: int) -> FloatArray:
        """The parameters after a completed snapshot epoch. Not a copy."""
        weights_P: FloatArray = self._record.snapshots[self._record.snapshot_epochs.searchsorted(epoch)]
        return weights_P

    def advance(self) -> tuple[Epochs | None, StopReason | None]:
        """Trains for some more steps, for about `SLICE_S`."""
        counts = self._state.counts
        before = int(counts[structures.EPOCH])
        step_count = self._slice()
        order_EN = self._orders(step_count)
        began = time.perf_counter()
        train = lbfgs.advance if self._is_lbfgs else steps.advance
        verdict = train(
            self._net,
            self._settings,
            self._training,
            self._validation,
            self._workspace,
            self._state,
            self._record,
            order_EN,
            step_count,
        )
        taken_s = time.perf_counter() - began
        self._steps = max(1, min(8 * self._steps, int(step_count * SLICE_S / taken_s)))
        completed = int(counts[structures.EPOCH])
        del self._drawn[: completed - before]
        stop_reason = _STOP_REASONS[verdict]
        if stop_reason is None and completed == self._epochs:
            stop_reason = "completed"
        return self._epochs_since(before), stop_reason

    def _slice(self) -> int:
        """Number of steps for the next call, limited by the last epoch, the history, and the orders drawn ahead."""
        counts = self._state.counts
        left = self._epochs - int(counts[structures.EPOCH])
        if self._is_lbfgs:  # which stops after the last epoch by itself; an epoch takes at least one step
            return max(1, min(self._steps, MAX_SLICE_EPOCHS, left))
        epochs = min(left, MAX_SLICE_EPOCHS, self._max_drawn)
        return min(self._steps, epochs * self._batches - int(counts[structures.STEP]))

    def _orders(self, step_count: int) -> IntArray:
        """The order of the points in each epoch that the next steps reach, (E, N); empty if a step takes all points."""
        if not self._settings.batch_size:
            return np.empty((0, 0), np.int64)
        count = len(self._training.label_N)
        epochs = -(-(int(self._state.counts[structures.STEP]) + step_count) // self._batches)
        while len(self._drawn) < epochs:
            self._drawn.append(self._rng.permutation(count))
        return np.stack(self._drawn[:epochs])

    def _epochs_since(self, before: int) -> Epochs | None:
        completed = int(self._state.counts[structures.EPOCH]) - before
        if completed == 0:
            return None
        loss_E, accuracy_E, *validation = self._record.history[: 4 if self._validates else 2, :completed].copy()
        if validation:
            validation[1] = _exact_share(validation[1], self._validation)
        return Epochs(before + 1, loss_E, _exact_share(accuracy_E, self._training), *(validation or (None, None)))

    def state(self) -> RunState:
        """Copies of the weights, the optimizer's state, the counts, and the orders that are already drawn."""
        arrays = {"weights": self._net.weights, **self._state._asdict()}
        del arrays["weight_grad"]  # every step sets it to 0 first
        return {
            **{name: array.copy() for name, array in arrays.items() if array.size},
            "order_EN": np.array(self._drawn, np.int64).reshape(-1, len(self._training.label_N)),
            "generator": run_state.generator_state(self._rng),
        }

    def _restore(self, state: RunState) -> None:
        expected = self.state()
        drawn = state["order_EN"].shape[:1] if "order_EN" in state else ()
        expected["order_EN"] = np.empty((*drawn, len(self._training.label_N)), np.int64)
        run_state.check(state, expected)
        run_state.check_orders(state["order_EN"])
        self._check_counts(state["counts"], len(state["order_EN"]))
        self._rng = run_state.restored_generator(state["generator"])
        self._drawn = [order_N.copy() for order_N in state["order_EN"]]
        self._net.weights[:] = state["weights"]
        for name, array in self._state._asdict().items():
            if name in state:
                array[:] = state[name]

    def _check_counts(self, counts: IntArray, drawn: int) -> None:
        is_unfinished = (counts >= 0).all() and counts[structures.EPOCH] < self._epochs
        step = counts[structures.STEP]
        if self._is_lbfgs:
            is_valid_step = step < MAX_LBFGS_EVALUATIONS
        else:
            is_valid_step = step == 0 or (step < self._batches and drawn > 0)
        if not (is_unfinished and is_valid_step and counts[structures.LAST_FINITE] in (0, 1)):
            raise ValueError("the state's counts must be those of an unfinished training")

    def measure(self) -> Metrics:
        """Loss and accuracy of the current weights, with all classes of weight 1."""
        validation = self._measure(self._validation) if self._validates else (None, None)
        return Metrics(*self._measure(self._training), *validation)

    def _measure(self, points: Points) -> tuple[float, float]:
        loss, accuracy = steps.measure(self._net, unweighted(points), self._workspace)
        return loss, float(_exact_share(accuracy, points))

    def divide_logits(self, temperature: float) -> None:
        """Divides all logits: the output layer and the skip connection are the last parameters."""
        inputs, before, outputs = self._net.widths[0], self._net.widths[-2], self._net.widths[-1]
        rows = before + 1 + (inputs + 1 if self._net.has_skip else 0)
        self._net.weights[-outputs * rows :] /= np.float32(temperature)

    def restore_last_finite(self) -> None:
        """Restores the last weights known to have a finite loss."""
        self._net.weights[:] = self._state.starts[self._state.counts[structures.LAST_FINITE]]


def _exact_share(share_E: npt.ArrayLike, points: Points) -> DoubleArray:
    """Shares of points as a division gives them. The kernel multiplies by 1 / N, after which 49 of 49 are below 1."""
    count = len(points.label_N)
    shares_E: DoubleArray = np.rint(np.multiply(share_E, count)) / count
    return shares_E


def _initial_state(weights: FloatArray, *, is_lbfgs: bool) -> State:
    memory = LBFGS_MEMORY if is_lbfgs else 0
    return State(
        weight_grad=np.zeros_like(weights),
        first=np.zeros_like(weights),
        second=np.zeros_like(weights),
        starts=np.stack([weights, weights]),
        counts=np.zeros(structures.FLAT + 1 if is_lbfgs else structures.UPDATES + 1, np.int64),
        sums=np.array([0.0, 0.0, math.inf]),
        pairs=np.zeros((2, memory, weights.size), np.float32),
        curvature=np.zeros(memory),
        line=np.zeros(line_search.FIGURES if is_lbfgs else 0),
    )


def warm_up_training(chosen: Sequence[Optimizer] = ("sgd", "lbfgs")) -> None:
    """Loads the training part of the kernel; compiles it if this machine has not done so yet.

    `chosen` names an optimizer for each loop: `sgd` and `adam` share one.
    """
    points = LabelledPoints(np.zeros((2, 2), np.float32), np.array([0, 1]), (0, 1))
    for optimizer in chosen:
        run = CompiledRun(SMALLEST, points, None, TrainingSpec(epochs=1, optimizer=optimizer), order_seed=0)
        run.advance()
        run.measure()
