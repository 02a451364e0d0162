"""Training by the compiled kernel.

Importing this module loads numba, half a second and some 60 MiB.
"""

import math
import time

import numpy as np

from models.datasets import FloatArray, IntArray, LabelledPoints
from models.kernel import steps, structures
from models.kernel.buffers import SMALLEST, memory_for, net_of, no_points, points_of
from models.kernel.structures import Settings, State
from models.networks.plans import Plan
from models.specs import TrainingSpec
from models.training import run_state
from models.training.run_state import RunState
from models.training.runs import Ending, Epochs, Metrics

SLICE_S = 0.02
"""About how long the kernel goes on before it is asked whether to stop."""

HISTORY = 16_384
"""Most epochs between two such questions."""

DRAWN = 2**18
"""About how many indices of points, 2 MiB, are drawn ahead for mini-batches."""

_VERDICTS: dict[int, Ending | None] = {
    structures.GOING_ON: None,
    structures.STALLED: "stalled",
    structures.DIVERGED: "diverged",
}


class CompiledRun:
    """A training of a plan's network by the kernel; see `models.training.runs.Run`. The plan itself stays as it is."""

    def __init__(
        self,
        plan: Plan,
        training: LabelledPoints,
        validation: LabelledPoints | None,
        spec: TrainingSpec,
        *,
        order_seed: int,
        state: RunState | None = None,
    ) -> None:
        """Nothing is trained yet. The kernel checks no index: what does not fit must not come to it.

        Raises:
            ValueError: the state is not one of a training of such a network, or not one that can go on.
        """
        assert training.features == plan.features
        self._net = net_of(plan)._replace(weights=plan.parameters.copy())
        self._training = points_of(training)
        self._validation = points_of(validation) if validation else no_points(plan.features)
        self._epochs = spec.epochs
        count = len(training.label_N)
        batch = spec.batch_size or count
        in_order = batch < count  # else all take part in a step, and their order is left as it is
        self._batches = math.ceil(count / batch)
        self._settings = Settings(
            spec.optimizer == "adam",
            float(spec.learning_rate),  # for a whole number numba would compile everything once more
            float(spec.momentum),
            float(spec.weight_decay),
            batch if in_order else 0,
            spec.patience or 0,
            float(spec.min_delta),
        )
        self._memory = memory_for(self._net, count, learns=True)
        self._state = State(
            gradient=np.zeros_like(plan.parameters),
            first=np.zeros_like(plan.parameters),
            second=np.zeros_like(plan.parameters),
            starts=np.stack([plan.parameters, plan.parameters]),
            counts=np.zeros(5, np.int64),
            sums=np.array([0.0, 0.0, math.inf]),
        )
        self._rng = np.random.default_rng(order_seed)
        self._drawn: list[IntArray] = []  # the orders of this epoch and of some that follow
        self._most_drawn = max(1, DRAWN // count) if in_order else HISTORY
        self._history = np.empty((4, HISTORY))
        self._steps = 1
        if state is not None:
            self._go_on_from(state)

    @property
    def _validates(self) -> bool:
        return self._validation.label_N.size > 0

    @property
    def begun(self) -> int:
        """Epochs begun."""
        counts = self._state.counts
        return int(counts[structures.EPOCH]) + int(counts[structures.STEP] > 0)

    @property
    def weights(self) -> FloatArray:
        """The parameters as they are now, float32 (P,), a plan's order."""
        return self._net.weights

    def advance(self) -> tuple[Epochs | None, Ending | None]:
        """Some steps more, for about `SLICE_S`."""
        counts = self._state.counts
        before = int(counts[structures.EPOCH])
        some = self._slice()
        order_EN = self._orders(some)
        began = time.perf_counter()
        verdict = steps.advance(
            self._net,
            self._settings,
            self._training,
            self._validation,
            self._memory,
            self._state,
            self._history,
            order_EN,
            some,
        )
        taken_s = time.perf_counter() - began
        self._steps = max(1, min(8 * self._steps, int(some * SLICE_S / taken_s)))
        done = int(counts[structures.EPOCH])
        del self._drawn[: done - before]
        ending = _VERDICTS[verdict]
        if ending is None and done == self._epochs:
            ending = "finished"
        return self._epochs_since(before), ending

    def _slice(self) -> int:
        """How many steps to take at once: not beyond the last epoch, nor what there is room to note and to draw for."""
        counts = self._state.counts
        epochs = min(self._epochs - int(counts[structures.EPOCH]), HISTORY, self._most_drawn)
        return min(self._steps, epochs * self._batches - int(counts[structures.STEP]))

    def _orders(self, some: int) -> IntArray:
        """The order of the points in each epoch that the next steps reach, (E, N); empty if a step takes them all."""
        if not self._settings.batch_size:
            return np.empty((0, 0), np.int64)
        count = len(self._training.label_N)
        epochs = -(-(int(self._state.counts[structures.STEP]) + some) // self._batches)
        while len(self._drawn) < epochs:
            self._drawn.append(self._rng.permutation(count))
        return np.stack(self._drawn[:epochs])

    def _epochs_since(self, before: int) -> Epochs | None:
        done = int(self._state.counts[structures.EPOCH]) - before
        if done == 0:
            return None
        loss_E, accuracy_E, *validation = self._history[: 4 if self._validates else 2, :done].copy()
        return Epochs(before + 1, loss_E, accuracy_E, *(validation or (None, None)))

    def state(self) -> RunState:
        """Copies of the weights, of what goes with them from step to step, and of the orders that are drawn already."""
        arrays = {"weights": self._net.weights, **self._state._asdict()}
        del arrays["gradient"]  # begins at 0 in every step
        return {
            **{name: array.copy() for name, array in arrays.items()},
            "order_EN": np.array(self._drawn, np.int64).reshape(-1, len(self._training.label_N)),
            "generator": run_state.generator_state(self._rng),
        }

    def _go_on_from(self, state: RunState) -> None:
        expected = self.state()
        drawn = state["order_EN"].shape[:1] if "order_EN" in state else ()
        expected["order_EN"] = np.empty((*drawn, len(self._training.label_N)), np.int64)
        run_state.check(state, expected)
        run_state.check_orders(state["order_EN"])
        self._check_counts(state["counts"], len(state["order_EN"]))
        self._rng = run_state.generator_at(state["generator"])
        self._drawn = [order_N.copy() for order_N in state["order_EN"]]
        self._net.weights[:] = state["weights"]
        for name, array in self._state._asdict().items():
            if name in state:
                array[:] = state[name]

    def _check_counts(self, counts: IntArray, drawn: int) -> None:
        goes_on = 0 <= counts[structures.EPOCH] < self._epochs
        step = counts[structures.STEP]
        in_epoch = step == 0 or (0 < step < self._batches and drawn > 0)
        if not (goes_on and in_epoch and counts[structures.GOOD] in (0, 1)):
            raise ValueError("the state's counts must be those of a training that can go on")

    def measure(self) -> Metrics:
        """The loss and accuracy of the weights as they are now."""
        training = steps.measure(self._net, self._training, self._memory)
        validation = steps.measure(self._net, self._validation, self._memory) if self._validates else (None, None)
        return Metrics(*training, *validation)

    def step_back(self) -> None:
        """Goes back to the last weights that are known to have a finite loss."""
        self._net.weights[:] = self._state.starts[self._state.counts[structures.GOOD]]


def warm_up_training() -> None:
    """Has the kernel's training part loaded, or compiled if this machine has not done so yet."""
    points = LabelledPoints(np.zeros((2, 2), np.float32), np.array([0, 1]), (0, 1))
    run = CompiledRun(SMALLEST, points, None, TrainingSpec(epochs=1), order_seed=0)
    run.advance()
    run.measure()
