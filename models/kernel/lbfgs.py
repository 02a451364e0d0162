"""Training by L-BFGS: full batch, without a learning rate.

Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989; algorithms 7.4 and 7.5 of
Nocedal and Wright, "Numerical Optimization", 2006. The objective is the mean loss, weighted by class if asked for, plus
half the weight decay times the sum of squared weights. Its gradient is the one that the other optimizers follow.

An epoch is one iteration: a direction, and a line search along it. A step is one evaluation of loss and gradient.
"""

import numpy as np

from models.kernel.compiling import entry, loop
from models.kernel.functions import F
from models.kernel.line_search import (
    FOUND,
    NEXT,
    SEARCHING,
    START,
    begin,
    take,
)
from models.kernel.passes import (
    b1,
    block_loss_and_grad,
    block_of,
    i8,
    loss_and_grad,
    precise_loss_and_grad,
    total_weight,
)
from models.kernel.steps import copy, keep_snapshot, stops_early
from models.kernel.structures import (
    CONTINUES,
    CONVERGED,
    CORRECT,
    DIVERGED,
    EARLY_STOPPED,
    EPOCH,
    FLAT,
    LOSS,
    PAIRS,
    STEP,
    UPDATES,
    Net,
)

STEPS, CHANGES = range(2)
"""Indices of `State.pairs`: steps, and the changes of the gradient in them."""

TOLERANCE, LEAST_OBJECTIVE = 1e-10, 1e-3
"""A training has converged when the slope along the direction, which predicts twice the decrease, is less than this
share of the objective, or of the least objective if that is larger."""

FLAT_SHARE, MAX_FLAT = 1e-7, 5
"""A training has also converged after this many epochs in a row with less than this share of decrease: the rounding."""

MIN_CURVATURE = 1e-7
"""Pairs are stored only if step and change of the gradient have at least this cosine."""


@loop
def dot(a, b):
    """The scalar product of two float32 vectors, summed in float64."""
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(b[i])
    return total


@loop
def _add(a, factor, b):
    """A += factor * b."""
    factor = F(factor)
    for i in range(a.size):
        a[i] += factor * b[i]


@loop
def _pair_dot(pairs, kind, slot, a):
    """The scalar product of a stored step or change with a vector, summed in float64."""
    total = 0.0
    for i in range(a.size):
        total += np.float64(pairs[kind, slot, i]) * np.float64(a[i])
    return total


@loop
def _add_pair(a, factor, pairs, kind, slot):
    """A += factor * a stored step or change."""
    factor = F(factor)
    for i in range(a.size):
        a[i] += factor * pairs[kind, slot, i]


@loop
def _direct(direction, gradient, pairs, curvature, stored, share):
    """Writes the direction: minus the inverse Hessian, estimated from the pairs, times the gradient.

    Without pairs that is minus the gradient. `share`, float64 (M,), is work space.
    """
    for i in range(gradient.size):
        direction[i] = -gradient[i]
    if stored == 0:
        return
    memory = pairs.shape[1]
    oldest = stored - min(stored, memory)
    for number in range(stored - 1, oldest - 1, -1):
        slot = number % memory
        share[slot] = _pair_dot(pairs, STEPS, slot, direction) / curvature[slot]
        _add_pair(direction, -share[slot], pairs, CHANGES, slot)
    slot = (stored - 1) % memory
    squared_change = 0.0
    for i in range(direction.size):
        squared_change += np.float64(pairs[CHANGES, slot, i]) * np.float64(pairs[CHANGES, slot, i])
    scale = F(curvature[slot] / squared_change)
    for i in range(direction.size):
        direction[i] *= scale
    for number in range(oldest, stored):
        slot = number % memory
        back = _pair_dot(pairs, CHANGES, slot, direction) / curvature[slot]
        _add_pair(direction, share[slot] - back, pairs, STEPS, slot)


@loop
def _aim(direction, gradient, pairs, curvature, counts, line, objective, share):
    """Computes the next direction and starts a search along it. Returns whether the training has converged."""
    _direct(direction, gradient, pairs, curvature, counts[PAIRS], share)
    slope = dot(gradient, direction)
    if counts[PAIRS] > 0 and not slope < 0.0:  # rounding has spoilt the estimate
        counts[PAIRS] = 0
        _direct(direction, gradient, pairs, curvature, counts[PAIRS], share)
        slope = dot(gradient, direction)
    first_step = 1.0 if counts[PAIRS] > 0 else 1.0 / max(1.0, np.sqrt(-slope))
    begin(line, first_step, objective, slope)
    return not -slope > TOLERANCE * max(abs(objective), LEAST_OBJECTIVE)


@loop
def _store_pair(weights, trial, gradient, weight_grad, pairs, curvature, counts):
    """Stores the step from `weights` to `trial` and the change of the gradient, if the curvature is positive."""
    both = squared_step = squared_change = 0.0
    for i in range(weights.size):
        step = np.float64(trial[i]) - np.float64(weights[i])
        change = np.float64(weight_grad[i]) - np.float64(gradient[i])
        both += step * change
        squared_step += step * step
        squared_change += change * change
    if both > MIN_CURVATURE * np.sqrt(squared_step * squared_change):
        slot = counts[PAIRS] % pairs.shape[1]
        for i in range(weights.size):
            pairs[STEPS, slot, i] = trial[i] - weights[i]
            pairs[CHANGES, slot, i] = weight_grad[i] - gradient[i]
        curvature[slot] = both
        counts[PAIRS] += 1


@loop
def _evaluate(net, training, total, workspace, block, is_loaded, weight_grad, decay):
    """Writes the gradient of the objective. Returns the objective, the summed loss, and the number of correct answers.

    `is_loaded`: the tape of `block` holds all points already.
    """
    count = training.label_N.size
    for i in range(weight_grad.size):
        weight_grad[i] = F(0)
    if is_loaded:
        loss, correct = block_loss_and_grad(net, block, training.weight_K, weight_grad, total, b1(True), 0.0)
    else:
        no_order = net.codes[:0]
        loss, correct = precise_loss_and_grad(net, training, no_order, workspace, weight_grad, i8(0), count, total)
    objective = loss / total
    if decay > 0.0:
        objective += 0.5 * decay * dot(net.weights, net.weights)
        _add(weight_grad, decay, net.weights)
    return objective, loss, correct


@entry
def advance(net, settings, training, validation, workspace, state, record, _, steps):
    """Trains for `steps` evaluations, or fewer if the training ends.

    Arguments and results are the same as for `models.kernel.steps.advance`, but the order of the points is not used. An
    epoch's figures belong to its final weights. May also return `CONVERGED`: no further decrease can be expected or
    measured. `net.weights` are always the weights of the last completed epoch.
    """
    weights = net.weights
    weight_grad, direction, gradient, starts, counts, sums, pairs, curvature, line = state
    history = record.history
    trial = starts[1]
    trial_net = Net(net.widths, net.codes, net.has_skip, trial)
    share = np.empty(pairs.shape[1])
    count = training.label_N.size
    validation_count = validation.label_N.size
    total = total_weight(training, net.codes[:0], i8(0), count)
    validation_total = total_weight(validation, net.codes[:0], i8(0), validation_count)
    fits_one_block = count <= workspace.block and validation_count == 0
    block = block_of(net.widths, workspace, count if fits_one_block else i8(0))
    column = 0
    for evaluation in range(steps):
        step = line[NEXT]
        for i in range(weights.size):
            trial[i] = F(weights[i] + step * direction[i])
        is_loaded = fits_one_block and evaluation > 0
        objective, loss, correct = _evaluate(
            trial_net, training, total, workspace, block, is_loaded, weight_grad, settings.weight_decay
        )
        slope = dot(weight_grad, direction)
        counts[STEP] += 1
        counts[UPDATES] += 1
        if counts[UPDATES] == 1:  # the initial weights
            if not (np.isfinite(objective) and np.isfinite(dot(weight_grad, weight_grad))):
                return DIVERGED
            copy(weight_grad, gradient)
            sums[LOSS], sums[CORRECT] = loss, correct
            _aim(direction, gradient, pairs, curvature, counts, line, objective, share)
            continue
        found = take(line, objective, slope, counts[STEP] - (counts[EPOCH] == 0))
        if found == SEARCHING:
            continue
        converged = False
        if found == FOUND:
            _store_pair(weights, trial, gradient, weight_grad, pairs, curvature, counts)
            copy(trial, weights)
            copy(trial, starts[0])
            copy(weight_grad, gradient)
            sums[LOSS], sums[CORRECT] = loss, correct
            is_flat = line[START] - objective <= FLAT_SHARE * abs(line[START])
            counts[FLAT] = counts[FLAT] + 1 if is_flat else 0
            converged = counts[FLAT] >= MAX_FLAT
        else:  # try once along the gradient itself
            objective = line[START]
            converged = counts[PAIRS] == 0
            counts[PAIRS] = 0
        counts[STEP] = 0
        counts[EPOCH] += 1
        history[0, column] = watched = sums[LOSS] / total
        history[1, column] = sums[CORRECT] / count
        if validation_count:
            loss, correct = loss_and_grad(
                net, validation, net.codes[:0], workspace, weights[:0], i8(0), validation_count, validation_total
            )
            history[2, column] = watched = loss / validation_total
            history[3, column] = correct / validation_count
        column += 1
        keep_snapshot(record, counts[EPOCH], weights)
        if stops_early(watched, settings, counts, sums):
            return EARLY_STOPPED
        if _aim(direction, gradient, pairs, curvature, counts, line, objective, share) or converged:
            return CONVERGED
        if counts[EPOCH] == settings.epochs:
            return CONTINUES
    return CONTINUES
