"""Training: step after step of an optimiser, epoch after epoch."""

import numpy as np

from models.kernel.compiling import entry, loop
from models.kernel.functions import F
from models.kernel.passes import b1, i8, learn, run_pass, tape_rows, view
from models.kernel.structures import (
    ADAM_STEPS,
    BEST,
    DIVERGED,
    EPOCH,
    GOING_ON,
    GOOD,
    LOSS,
    RIGHT,
    SINCE,
    STALLED,
    STEP,
)


@loop
def _move(weights, gradient, first, second, counts, settings):
    """The optimisers of torch: SGD with momentum; Adam with betas 0.9 and 0.999 and an epsilon of 1e-8."""
    rate = F(settings.learning_rate)
    decay = F(settings.weight_decay)
    if decay > F(0):
        for i in range(weights.size):
            gradient[i] += decay * weights[i]
    if settings.adam:
        counts[ADAM_STEPS] += 1
        steps = counts[ADAM_STEPS]
        size = F(settings.learning_rate / (1.0 - 0.9**steps))
        correction = F(1.0 / np.sqrt(1.0 - 0.999**steps))
        for i in range(weights.size):
            g = gradient[i]
            first[i] += F(0.1) * (g - first[i])
            second[i] = F(0.999) * second[i] + F(0.001) * g * g
        for i in range(weights.size):
            weights[i] -= size * first[i] / (np.sqrt(second[i]) * correction + F(1e-8))
    elif settings.momentum > 0.0:
        momentum = F(settings.momentum)
        for i in range(weights.size):
            first[i] = momentum * first[i] + gradient[i]
            weights[i] -= rate * first[i]
    else:
        for i in range(weights.size):
            weights[i] -= rate * gradient[i]


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
def _stalled(watched, settings, counts, sums):
    if watched < sums[BEST] - settings.min_delta:
        sums[BEST] = watched
        counts[SINCE] = 0
    else:
        counts[SINCE] += 1
    return settings.patience > 0 and counts[SINCE] >= settings.patience


@loop
def _only_block(widths, memory, n):
    """The tape of n points and what goes with it."""
    tapes, all_backs, all_slopes, product, _ = memory
    rows, logits = tape_rows(widths)
    tape = view(tapes, rows, n)
    slopes = view(all_slopes, rows, n) if all_slopes.size else tape
    return tape, view(all_backs, rows, n), slopes, product, logits


@entry
def advance(net, settings, training, validation, memory, state, history, order_EN, steps):
    """Some steps more, fewer if the training ends; says whether it does.

    Epochs that end meanwhile are written into the columns of `history`, float64 (4, steps): loss, right answers, and
    those of the validation points. `order_EN` (int64) is the order of the points in this epoch and in each of the next
    that the steps reach; empty if each step takes all points. The last weights that are known to have a finite loss are
    `state.starts[state.counts[GOOD]]`.
    """
    widths, codes, skip, weights = net
    gradient, first, second, starts, counts, sums = state
    nothing = weights[:0]
    count = training.label_N.size
    held_out = validation.label_N.size
    batch = settings.batch_size if settings.batch_size > 0 else count
    stays = batch >= count and count <= memory.block and held_out == 0
    tape, backs, slopes, product, logits = _only_block(widths, memory, count if stays else i8(0))
    place = 0
    for step in range(steps):
        if counts[STEP] == 0:
            _copy(weights, starts[1 - counts[GOOD]])
            sums[LOSS] = 0.0
            sums[RIGHT] = 0.0
        done = counts[STEP] * batch
        size = min(batch, count - done)
        for w in range(weights.size):
            gradient[w] = F(0)
        if stays and step > 0:  # the points stand in the tape already
            loss, right = learn(
                widths, codes, skip, weights, tape, backs, slopes, product, gradient, logits, count, b1(True)
            )
        else:
            order_N = order_EN[place] if order_EN.size else codes[:0]
            loss, right = run_pass(widths, codes, skip, weights, training, order_N, memory, gradient, done, size)
        sums[LOSS] += loss
        sums[RIGHT] += right
        _move(weights, gradient, first, second, counts, settings)
        counts[STEP] += 1
        if done + size < count:
            continue
        if np.isfinite(sums[LOSS]):
            counts[GOOD] = 1 - counts[GOOD]
        if not _epoch_is_finite(weights, sums[LOSS]):
            return DIVERGED
        counts[STEP] = 0
        counts[EPOCH] += 1
        history[0, place] = watched = sums[LOSS] / count
        history[1, place] = sums[RIGHT] / count
        if held_out:
            loss, right = run_pass(
                widths, codes, skip, weights, validation, codes[:0], memory, nothing, i8(0), held_out
            )
            history[2, place] = watched = loss / held_out
            history[3, place] = right / held_out
        place += 1
        if _stalled(watched, settings, counts, sums):
            return STALLED
    return GOING_ON


@entry
def measure(net, points, memory):
    """The mean loss of some points, and the share of right answers."""
    widths, codes, skip, weights = net
    count = points.label_N.size
    loss, right = run_pass(widths, codes, skip, weights, points, codes[:0], memory, weights[:0], i8(0), count)
    return loss / count, right / count
