"""The arguments of the kernel's functions, and its codes and constants."""

from typing import NamedTuple

from models.datasets import DoubleArray, FloatArray, IntArray

LOGIT, PROBABILITY, LABEL, ENTROPY = range(4)
"""Response codes of a grid."""

CONTINUES, EARLY_STOPPED, CONVERGED, DIVERGED = range(4)
"""What `steps.advance` and `lbfgs.advance` return."""

EPOCH, STEP, LAST_FINITE, SINCE_BEST, UPDATES, PAIRS, FLAT = range(7)
"""Indices of `State.counts`: epochs completed; steps completed of the current epoch; the index of the `State.starts`
whose loss was last found to be finite; epochs since the watched loss improved; updates made by the optimizer. L-BFGS
also has: pairs stored since it last started anew; epochs in a row without a measurable decrease."""

LOSS, CORRECT, BEST = range(3)
"""Indices of `State.sums`: the sum of losses and the number of correct answers in the current epoch (of L-BFGS: at the
current weights); the least watched loss."""

BLAS_FROM = 1_024
"""Weights of a layer from which BLAS multiplies faster than the loops (measured: 24 x 24 no, 32 x 32 yes)."""

SPARE_ROWS = 3
"""Rows of a tape after the logits: two for the loss to work in, and the labels."""


class Net(NamedTuple):
    """A network: widths int64 (L + 1,), activation codes int64 (L,), whether it has a skip connection, weights (P,)."""

    widths: IntArray
    codes: IntArray
    has_skip: bool
    weights: FloatArray


class Points(NamedTuple):
    """Points float32 (D, N), class indices as float32 (N,), and the weight of each class in the loss, float32 (K,).

    The weights are empty if all are 1.
    """

    xy_DN: FloatArray
    label_N: FloatArray
    weight_K: FloatArray


class Settings(NamedTuple):
    """`TrainingSpec` in numbers.

    `optimizer` is a code of `models.kernel.optimizers`. A `batch_size` of 0 takes all points at once, a `patience` of 0
    never stops early. L-BFGS uses neither `optimizer` nor what a line search replaces; it alone uses `epochs`.
    """

    optimizer: int
    epochs: int
    learning_rate: float
    momentum: float
    weight_decay: float
    batch_size: int
    patience: int
    min_delta: float


class Workspace(NamedTuple):
    """Memory for the loops: float32 vectors of R x `block` values, `product` of P. A tape takes `block` points at most.

    `slopes` is for activations whose derivative does not follow from their value, and may be empty without them.
    """

    tape: FloatArray
    tape_grad: FloatArray
    slopes: FloatArray
    product: FloatArray
    block: int


class State(NamedTuple):
    """What a training carries from step to step: float32 (P,), but `starts` (2, P), `counts` int64, `sums` float64.

    `first` and `second` are the optimizer's moments; of L-BFGS the search direction, and the gradient at the current
    weights. `starts` are the weights at the start of the last two epochs; of L-BFGS the current weights, and those that
    its line search tries. L-BFGS alone has the rest, which is empty otherwise: `pairs`, float32 (2, M, P), the last M
    steps and the changes of the gradient in them; `curvature`, float64 (M,), the scalar product of each pair; `line`,
    float64, its line search, see `models.kernel.line_search`.
    """

    weight_grad: FloatArray
    first: FloatArray
    second: FloatArray
    starts: FloatArray
    counts: IntArray
    sums: DoubleArray
    pairs: FloatArray
    curvature: DoubleArray
    line: DoubleArray


class Record(NamedTuple):
    """What a training records after its epochs.

    `history`, float64 (4, steps): loss and accuracy of the training points, then of the validation points, a column for
    each epoch of the current call. `snapshots`, float32 (S, P): the weights after each of the `snapshot_epochs`, int64
    (S,), ascending.
    """

    history: DoubleArray
    snapshot_epochs: IntArray
    snapshots: FloatArray
