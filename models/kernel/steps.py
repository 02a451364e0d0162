"""Training: steps of an optimizer, epoch by epoch."""

import numpy as np

from models.kernel.compiling import entry, loop
from models.kernel.functions import F
from models.kernel.optimizers import update
from models.kernel.passes import b1, block_loss_and_grad, block_of, i8, loss_and_grad, total_weight
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
def copy(source, target):
    """Copies a vector."""
    for i in range(source.size):
        target[i] = source[i]


@loop
def _epoch_is_finite(weights, loss):
    total = F(0)
    for w in range(weights.size):
        total += weights[w]
    return np.isfinite(loss) and np.isfinite(total)


@loop
def stops_early(watched, settings, counts, sums):
    """Takes the watched loss of an epoch. Returns whether it has not improved for `patience` epochs."""
    if watched < sums[BEST] - settings.min_delta:
        sums[BEST] = watched
        counts[SINCE_BEST] = 0
    else:
        counts[SINCE_BEST] += 1
    return settings.patience > 0 and counts[SINCE_BEST] >= settings.patience


@loop
def keep_snapshot(record, epoch, weights):
    """Copies the weights to the record if the epoch is one of its snapshot epochs."""
    index = np.searchsorted(record.snapshot_epochs, epoch)
    if index < record.snapshot_epochs.size and record.snapshot_epochs[index] == epoch:
        copy(weights, record.snapshots[index])


@entry
def advance(net, settings, training, validation, workspace, state, record, order_EN, steps):
    """Trains for `steps` steps, or fewer if the training ends. Returns `CONTINUES`, `EARLY_STOPPED` or `DIVERGED`.

    Each epoch that completes fills a column of `record.history`. `order_EN` (int64) is the order of the points in the
    current epoch and in each epoch that the steps reach; empty if each step takes all points.
    `state.starts[state.counts[LAST_FINITE]]` are the last weights known to have a finite loss.
    """
    weights = net.weights
    weight_grad, first, second, starts, counts, sums, _, _, _ = state
    history = record.history
    no_order, no_grad = net.codes[:0], weights[:0]
    count = training.label_N.size
    validation_count = validation.label_N.size
    total = total_weight(training, no_order, i8(0), count)
    validation_total = total_weight(validation, no_order, i8(0), validation_count)
    batch = settings.batch_size if settings.batch_size > 0 else count
    fits_one_block = batch >= count and count <= workspace.block and validation_count == 0
    block = block_of(net.widths, workspace, count if fits_one_block else i8(0))
    column = 0
    for step in range(steps):
        if counts[STEP] == 0:
            copy(weights, starts[1 - counts[LAST_FINITE]])
            sums[LOSS] = 0.0
            sums[CORRECT] = 0.0
        first_point = counts[STEP] * batch
        size = min(batch, count - first_point)
        for w in range(weights.size):
            weight_grad[w] = F(0)
        if fits_one_block and step > 0:  # the tape still holds all points
            loss, correct = block_loss_and_grad(net, block, training.weight_K, weight_grad, total, b1(True), F(0))
        else:
            order_N = order_EN[column] if order_EN.size else no_order
            of_step = total_weight(training, order_N, first_point, size)
            loss, correct = loss_and_grad(net, training, order_N, workspace, weight_grad, first_point, size, of_step)
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
        history[0, column] = watched = sums[LOSS] / total
        history[1, column] = sums[CORRECT] / count
        if validation_count:
            loss, correct = loss_and_grad(
                net, validation, no_order, workspace, no_grad, i8(0), validation_count, validation_total
            )
            history[2, column] = watched = loss / validation_total
            history[3, column] = correct / validation_count
        column += 1
        keep_snapshot(record, counts[EPOCH], weights)
        if stops_early(watched, settings, counts, sums):
            return EARLY_STOPPED
    return CONTINUES


@entry
def measure(net, points, workspace):
    """The mean loss and the accuracy on some points, whose classes all have the weight 1."""
    count = points.label_N.size
    no_order, no_grad = net.codes[:0], net.weights[:0]
    loss, correct = loss_and_grad(net, points, no_order, workspace, no_grad, i8(0), count, np.float64(count))
    return loss / count, correct / count
