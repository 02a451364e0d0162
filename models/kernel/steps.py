"""Training: steps of an optimiser, epoch by epoch."""

import numpy as np

from models.kernel.compiling import entry, loop
from models.kernel.functions import F
from models.kernel.optimizers import update
from models.kernel.passes import b1, block_loss_and_grad, i8, loss_and_grad, tape_rows, view
from models.kernel.structures import (
    BEST,
    CONTINUES,
    CORRECT,
    DIVERGED,
    EARLY_STOPPED,
    EPOCH,
    LAST_FINITE,
    LOSS,
    SINCE_BEST,
    STEP,
)


@loop
def _copy(source, target):
    for i in range(source.size):
        target[i] = source[i]


@loop
def _epoch_is_finite(weights, loss):
    total = F(0)
    for w in range(weights.size):
        total += weights[w]
    return np.isfinite(loss) and np.isfinite(total)


@loop
def _stops_early(watched, settings, counts, sums):
    if watched < sums[BEST] - settings.min_delta:
        sums[BEST] = watched
        counts[SINCE_BEST] = 0
    else:
        counts[SINCE_BEST] += 1
    return settings.patience > 0 and counts[SINCE_BEST] >= settings.patience


@loop
def _single_block(widths, workspace, n):
    """The tape of a training whose n points fit into one block, and the memory beside it."""
    tape_memory, tape_grad_memory, slopes_memory, product, _ = workspace
    rows, logit_row = tape_rows(widths)
    tape = view(tape_memory, rows, n)
    slopes = view(slopes_memory, rows, n) if slopes_memory.size else tape
    return tape, view(tape_grad_memory, rows, n), slopes, product, logit_row


@entry
def advance(net, settings, training, validation, workspace, state, history, order_EN, steps):
    """Trains for `steps` steps, or fewer if the training ends. Returns `CONTINUES`, `EARLY_STOPPED` or `DIVERGED`.

    Each epoch that completes fills a column of `history`, float64 (4, steps): loss and accuracy of the training points,
    then of the validation points. `order_EN` (int64) is the order of the points in the current epoch and in each epoch
    that the steps reach; empty if each step takes all points. `state.starts[state.counts[LAST_FINITE]]` are the last
    weights known to have a finite loss.
    """
    widths, codes, has_skip, weights = net
    weight_grad, first, second, starts, counts, sums = state
    nothing = weights[:0]
    count = training.label_N.size
    validation_count = validation.label_N.size
    batch = settings.batch_size if settings.batch_size > 0 else count
    fits_one_block = batch >= count and count <= workspace.block and validation_count == 0
    tape, tape_grad, slopes, product, logit_row = _single_block(widths, workspace, count if fits_one_block else i8(0))
    column = 0
    for step in range(steps):
        if counts[STEP] == 0:
            _copy(weights, starts[1 - counts[LAST_FINITE]])
            sums[LOSS] = 0.0
            sums[CORRECT] = 0.0
        first_point = counts[STEP] * batch
        size = min(batch, count - first_point)
        for w in range(weights.size):
            weight_grad[w] = F(0)
        if fits_one_block and step > 0:  # the tape still holds all points
            loss, correct = block_loss_and_grad(
                widths, codes, has_skip, weights,
                tape, tape_grad, slopes, product, weight_grad, logit_row, count, b1(True),
            )  # fmt: skip
        else:
            order_N = order_EN[column] if order_EN.size else codes[:0]
            loss, correct = loss_and_grad(
                widths, codes, has_skip, weights, training, order_N, workspace, weight_grad, first_point, size
            )
        sums[LOSS] += loss
        sums[CORRECT] += correct
        update(weights, weight_grad, first, second, counts, settings)
        counts[STEP] += 1
        if first_point + size < count:
            continue
        if np.isfinite(sums[LOSS]):
            counts[LAST_FINITE] = 1 - counts[LAST_FINITE]
        if not _epoch_is_finite(weights, sums[LOSS]):
            return DIVERGED
        counts[STEP] = 0
        counts[EPOCH] += 1
        history[0, column] = watched = sums[LOSS] / count
        history[1, column] = sums[CORRECT] / count
        if validation_count:
            loss, correct = loss_and_grad(
                widths, codes, has_skip, weights, validation, codes[:0], workspace, nothing, i8(0), validation_count
            )
            history[2, column] = watched = loss / validation_count
            history[3, column] = correct / validation_count
        column += 1
        if _stops_early(watched, settings, counts, sums):
            return EARLY_STOPPED
    return CONTINUES


@entry
def measure(net, points, workspace):
    """The mean loss and the accuracy on some points."""
    widths, codes, has_skip, weights = net
    count = points.label_N.size
    loss, correct = loss_and_grad(
        widths, codes, has_skip, weights, points, codes[:0], workspace, weights[:0], i8(0), count
    )
    return loss / count, correct / count
