"""Passes of a network over points, block by block: forward, the loss, and backward."""

from collections.abc import Callable
from typing import Any

import numpy as np

from models.kernel.activations import TANH, activate, activation_backward
from models.kernel.compiling import loop
from models.kernel.functions import F, exp_negative, log1p_unit, log_above_one
from models.kernel.layers import (
    FROM_BIAS,
    FROM_TARGET,
    FROM_ZERO,
    accumulate_weight_grad,
    linear,
    linear_backward_through_tanh,
)
from models.kernel.structures import BLAS_FROM, SPARE_ROWS

i8 = np.int64
b1 = np.bool_


@loop
def tape_rows(widths):
    """The number of rows of a tape, and the row of the first logit."""
    logit_row = 0
    for layer in range(widths.size - 1):
        logit_row += widths[layer] + 1
    return logit_row + widths[-1] + SPARE_ROWS, logit_row


@loop
def view(vector, rows, n):
    """The start of a vector as rows of n numbers."""
    return vector[: rows * n].reshape(rows, n)


@loop
def block_of(widths, workspace, n):
    """The memory for a block of n points: tape, tape_grad, slopes and product; and the row of the first logit.

    Without activations that store slopes, `slopes` is the tape.
    """
    tape_memory, tape_grad_memory, slopes_memory, product, _ = workspace
    rows, logit_row = tape_rows(widths)
    tape = view(tape_memory, rows, n)
    slopes = view(slopes_memory, rows, n) if slopes_memory.size else tape
    return tape, view(tape_grad_memory, rows, n), slopes, product, logit_row


@loop
def fill_ones(widths, tape):
    """Fills the rows of ones."""
    r = 0
    for layer in range(widths.size - 1):
        r += widths[layer]
        for k in range(tape.shape[1]):
            tape[r, k] = F(1)
        r += 1


@loop
def _load(widths, tape, xy_DN, label_N, order_N, first):
    """Fills the rows of inputs, ones and labels with n points, starting at index `first` of `order_N`."""
    n = tape.shape[1]
    label_row = tape.shape[0] - 1
    if order_N.size:
        index = order_N[first : first + n]
        for d in range(widths[0]):
            for k in range(n):
                tape[d, k] = xy_DN[d, index[k]]
        for k in range(n):
            tape[label_row, k] = label_N[index[k]]
    else:
        xy_Dn = xy_DN[:, first : first + n]
        label_n = label_N[first : first + n]
        for d in range(widths[0]):
            for k in range(n):
                tape[d, k] = xy_Dn[d, k]
        for k in range(n):
            tape[label_row, k] = label_n[k]
    fill_ones(widths, tape)


@loop
def forward(net, tape, slopes, first_layer_ready):
    """Computes all rows from the inputs to the logits. `first_layer_ready`: the first layer's sums are in the tape."""
    widths, codes, has_skip, weights = net
    a = i8(0)
    w = i8(0)
    last = codes.size - 1
    for layer in range(last + 1):
        inputs = widths[layer]
        outputs = widths[layer + 1]
        z = a + inputs + 1
        size = outputs * (inputs + 1)
        if not (first_layer_ready and layer == 0):
            if outputs * inputs >= BLAS_FROM:
                np.dot(weights[w : w + size].reshape(outputs, inputs + 1), tape[a:z], tape[z : z + outputs])
            else:
                linear(i8(FROM_BIAS), tape, z, outputs, weights, w, inputs + 1, i8(1), tape, a, inputs)
        w += size
        if layer == last and has_skip:
            features = widths[0]
            linear(i8(FROM_TARGET), tape, z, outputs, weights, w, features + 1, i8(1), tape, i8(0), features + 1)
        activate(codes[layer], tape, slopes, z, outputs)
        a = z


@loop
def _backward(net, block, weight_grad, is_first):
    """Adds the gradient of the loss to `weight_grad`, from the derivatives by the logits in `tape_grad`.

    `is_first`: `weight_grad` is still zero, so products may be written instead of added.
    """
    widths, codes, has_skip, weights = net
    tape, tape_grad, slopes, product, z = block
    last = codes.size - 1
    w = 0
    for layer in range(last + 1):
        w += widths[layer + 1] * (widths[layer] + 1)
    through_activation = False
    for layer in range(last, -1, -1):
        inputs = widths[layer]
        outputs = widths[layer + 1]
        a = z - inputs - 1
        size = outputs * (inputs + 1)
        if not through_activation:
            activation_backward(codes[layer], tape_grad, tape, slopes, z, outputs)
        through_activation = False
        if layer == last and has_skip:
            features = widths[0]
            accumulate_weight_grad(weight_grad, w, tape_grad, z, outputs, tape, i8(0), features + 1)
        w -= size
        if outputs * inputs >= BLAS_FROM:
            back = tape_grad[z : z + outputs]
            target = weight_grad[w : w + size] if is_first else product[:size]
            np.dot(back, tape[a:z].T, target.reshape(outputs, inputs + 1))
            if not is_first:
                for i in range(size):
                    weight_grad[w + i] += product[i]
            if layer > 0:
                np.dot(weights[w : w + size].reshape(outputs, inputs + 1).T, back, tape_grad[a:z])
        else:
            accumulate_weight_grad(weight_grad, w, tape_grad, z, outputs, tape, a, inputs + 1)
            if layer > 0 and outputs == 1 and codes[layer - 1] == TANH:
                linear_backward_through_tanh(tape_grad, a, inputs, weights, w, z, tape)
                through_activation = True
            elif layer > 0:
                linear(i8(FROM_ZERO), tape_grad, a, inputs, weights, w, i8(1), inputs + 1, tape_grad, z, outputs)
        z = a


@loop
def _binary_loss(tape, tape_grad, logit_row, scale, zero):
    """Binary cross-entropy of one logit, summed, and the number of correct answers.

    Writes the derivatives times `scale` into `tape_grad`.
    """
    label_row = tape.shape[0] - 1
    exp_row = tape.shape[0] - SPARE_ROWS
    for k in range(tape.shape[1]):
        x = tape[logit_row, k]
        e = exp_negative(-abs(x))
        tape[exp_row, k] = e
        inverse = F(1) / (F(1) + e)
        tape_grad[logit_row, k] = ((e * inverse if x < F(0) else inverse) - tape[label_row, k]) * scale
    loss = zero
    wrong = F(0)
    for k in range(tape.shape[1]):
        x = tape[logit_row, k]
        off = (F(1) if x > F(0) else F(0)) - tape[label_row, k]  # 0 for a correct answer
        loss += x * off + log1p_unit(tape[exp_row, k])
        wrong += off * off
    return loss, F(tape.shape[1]) - wrong


@loop
def find_max(tape, logit_row, classes):
    """Writes the greatest logit of each point into the first spare row, and the first class with it into the second."""
    n = tape.shape[1]
    max_row = tape.shape[0] - SPARE_ROWS
    for k in range(n):
        tape[max_row, k] = tape[logit_row, k]
        tape[max_row + 1, k] = F(0)
    for o in range(1, classes):
        for k in range(n):
            more = tape[logit_row + o, k] > tape[max_row, k]
            tape[max_row + 1, k] = F(o) if more else tape[max_row + 1, k]
            tape[max_row, k] = tape[logit_row + o, k] if more else tape[max_row, k]


@loop
def _softmax_loss(tape, tape_grad, logit_row, classes, scale, zero):
    """Softmax cross-entropy, summed, and the number of correct answers.

    Writes the derivatives times `scale` into `tape_grad`.
    """
    n = tape.shape[1]
    max_row = tape.shape[0] - SPARE_ROWS
    sum_row = max_row + 1
    label_row = max_row + 2
    find_max(tape, logit_row, classes)
    correct = F(0)
    for k in range(n):
        correct += F(1) if tape[sum_row, k] == tape[label_row, k] else F(0)
        tape[sum_row, k] = F(0)
    loss = zero
    for o in range(classes):
        for k in range(n):
            below = tape[logit_row + o, k] - tape[max_row, k]
            e = exp_negative(below)
            tape_grad[logit_row + o, k] = e
            tape[sum_row, k] += e
            loss -= below if tape[label_row, k] == F(o) else F(0)
    for k in range(n):
        loss += log_above_one(tape[sum_row, k])
        tape[sum_row, k] = F(1) / tape[sum_row, k]
    for o in range(classes):
        for k in range(n):
            label = F(1) if tape[label_row, k] == F(o) else F(0)
            tape_grad[logit_row + o, k] = (tape_grad[logit_row + o, k] * tape[sum_row, k] - label) * scale
    return loss, correct


@loop
def _weigh_binary(tape, tape_grad, logit_row, weight_K, zero):
    """After `_binary_loss`: multiplies the derivatives by the weights of the classes. Returns the weighted loss."""
    label_row = tape.shape[0] - 1
    exp_row = tape.shape[0] - SPARE_ROWS
    first, second = weight_K[0], weight_K[1]
    loss = zero
    for k in range(tape.shape[1]):
        x = tape[logit_row, k]
        weight = second if tape[label_row, k] > F(0) else first
        off = (F(1) if x > F(0) else F(0)) - tape[label_row, k]
        loss += weight * (x * off + log1p_unit(tape[exp_row, k]))
        tape_grad[logit_row, k] *= weight
    return loss


@loop
def _weigh_softmax(tape, tape_grad, logit_row, weight_K, zero):
    """After `_softmax_loss`: multiplies the derivatives by the weights of the classes. Returns the weighted loss."""
    n = tape.shape[1]
    weight_row = tape.shape[0] - SPARE_ROWS  # the row of the maxima
    inverse_row = weight_row + 1
    label_row = weight_row + 2
    loss = zero
    for k in range(n):
        label = np.int64(tape[label_row, k])
        below = tape[logit_row + label, k] - tape[weight_row, k]
        tape[weight_row, k] = weight_K[label]
        loss += weight_K[label] * (log_above_one(F(1) / tape[inverse_row, k]) - below)
    for o in range(logit_row, logit_row + weight_K.size):
        for k in range(n):
            tape_grad[o, k] *= tape[weight_row, k]
    return loss


@loop
def _loss(outputs, tape, tape_grad, logit_row, weight_K, scale, zero):
    if outputs == 1:
        loss, correct = _binary_loss(tape, tape_grad, logit_row, scale, zero)
        if weight_K.size:
            loss = _weigh_binary(tape, tape_grad, logit_row, weight_K, zero)
    else:
        loss, correct = _softmax_loss(tape, tape_grad, logit_row, outputs, scale, zero)
        if weight_K.size:
            loss = _weigh_softmax(tape, tape_grad, logit_row, weight_K, zero)
    return loss, correct


@loop
def block_loss_and_grad(net, block, weight_K, weight_grad, total, is_first, zero):
    """The summed loss of the points in a block, see `block_of`, and the number of correct answers.

    Each loss is multiplied by the weight of its class, unless `weight_K` is empty. Adds the gradient of the summed loss
    divided by `total`, float64, to `weight_grad`; an empty `weight_grad` skips this. `is_first` means
    that `weight_grad` is zero. `zero` is 0 in the type that the losses are summed in: `F(0)`, or `np.float64(0)` for a
    sum whose rounding is no larger than the rounding of its terms.
    """
    tape, tape_grad, slopes, _, logit_row = block
    forward(net, tape, slopes, b1(False))
    loss, correct = _loss(net.widths[-1], tape, tape_grad, logit_row, weight_K, F(1) / F(total), zero)
    if weight_grad.size:
        _backward(net, block, weight_grad, is_first)
    return loss, correct


@loop
def total_weight(points, order_N, first, count):
    """The summed weights of the points that `loss_and_grad` takes, float64: `count` if all classes weigh the same."""
    _, label_N, weight_K = points
    if weight_K.size == 0:
        return np.float64(count)
    total = 0.0
    for k in range(first, first + count):
        total += weight_K[np.int64(label_N[order_N[k] if order_N.size else k])]
    return total


def _over_blocks(zero: np.floating[Any]) -> Callable[..., Any]:
    """A function that calls `block_loss_and_grad` block by block, with this `zero`."""

    def blocks_loss_and_grad(net, points, order_N, workspace, weight_grad, first, count, total):
        xy_DN, label_N, weight_K = points
        loss_sum = 0.0
        correct_sum = 0.0
        for start in range(0, count, workspace.block):
            block = block_of(net.widths, workspace, min(workspace.block, count - start))
            _load(net.widths, block[0], xy_DN, label_N, order_N, first + start)
            loss, correct = block_loss_and_grad(net, block, weight_K, weight_grad, total, start == 0, zero)
            loss_sum += loss
            correct_sum += correct
        return loss_sum, correct_sum

    blocks_loss_and_grad.__qualname__ = f"blocks_loss_and_grad_{zero.dtype}"  # see `loop`
    return loop(blocks_loss_and_grad)


loss_and_grad = _over_blocks(F(0))
"""The summed weighted loss of `count` points and the number of correct answers, computed block by block.

These are the points from index `first` on, in the order `order_N`, or in their own order if that is empty. Adds the
gradient of their summed loss divided by `total` to `weight_grad`, unless that is empty; see `total_weight`.
"""

precise_loss_and_grad = _over_blocks(np.float64(0))
"""The same, with the losses of each block summed in float64."""
