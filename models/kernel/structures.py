"""What the kernel's functions are given, and the numbers that mean something."""

from typing import NamedTuple

from models.datasets import DoubleArray, FloatArray, IntArray

IDENTITY, RELU, LEAKY_RELU, ELU, SILU, GELU, SOFTPLUS, TANH, SIGMOID = range(9)
"""Activation codes."""

LOGIT, PROBABILITY, LABEL, ENTROPY = range(4)
"""Response codes of a grid."""

GOING_ON, STALLED, DIVERGED = range(3)
"""What `steps.advance` answers."""

EPOCH, STEP, GOOD, SINCE, ADAM_STEPS = range(5)
"""Places in `State.counts`: epochs done; steps done of the next one; which of `State.starts` was last found to have a
finite loss; epochs since the watched loss improved; steps of Adam."""

LOSS, RIGHT, BEST = range(3)
"""Places in `State.sums`: of the epoch so far, the sum of the losses and the right answers; the least loss watched."""

BLAS_FROM = 1_024
"""Weights of a layer from which BLAS multiplies faster than the loops (measured: 24 x 24 no, 32 x 32 yes)."""

SPARE_ROWS = 3
"""Rows of a tape behind the logits: two for the loss to work in, and the labels."""


class Net(NamedTuple):
    """A network: widths int64 (L + 1,), activation codes int64 (L,), whether it has a skip, weights float32 (P,)."""

    widths: IntArray
    codes: IntArray
    skip: bool
    weights: FloatArray


class Points(NamedTuple):
    """Points float32 (D, N), and class indices as float32 (N,)."""

    xy_DN: FloatArray
    label_N: FloatArray


class Settings(NamedTuple):
    """`TrainingSpec` in numbers: a `batch_size` of 0 takes all points at once, a `patience` of 0 never stops early."""

    adam: bool
    learning_rate: float
    momentum: float
    weight_decay: float
    batch_size: int
    patience: int
    min_delta: float


class Memory(NamedTuple):
    """What a pass works in: float32 vectors of R x `block` values, `product` of P; a tape takes `block` points at most.

    `slopes` is for the activations whose derivative does not follow from their value, and may be empty without them.
    """

    tape: FloatArray
    backs: FloatArray
    slopes: FloatArray
    product: FloatArray
    block: int


class State(NamedTuple):
    """What a training carries from step to step: float32 (P,), but `starts` (2, P), `counts` int64, `sums` float64.

    `first` and `second` are the optimiser's moments; `starts` the weights that the last two epochs began with.
    """

    gradient: FloatArray
    first: FloatArray
    second: FloatArray
    starts: FloatArray
    counts: IntArray
    sums: DoubleArray
