"""One block of points after the other through a network: forward, the loss, and backward."""

import numpy as np

from models.kernel.compiling import loop
from models.kernel.functions import F, exp_negative, log1p_unit, log_above_one
from models.kernel.layers import (
    FROM_BIAS,
    FROM_TARGET,
    FROM_ZERO,
    activate,
    combine,
    correlate,
    deactivate,
    spread_to_tanh,
)
from models.kernel.structures import BLAS_FROM, SPARE_ROWS, TANH

i8 = np.int64
b1 = np.bool_


@loop
def tape_rows(widths):
    """How many rows a tape has, and which is the first logit's."""
    logits = 0
    for layer in range(widths.size - 1):
        logits += widths[layer] + 1
    return logits + widths[-1] + SPARE_ROWS, logits


@loop
def view(vector, rows, n):
    """The first of a vector's numbers as rows of n."""
    return vector[: rows * n].reshape(rows, n)


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
    """Fills the rows of the inputs, of the ones and of the labels; the points from `first` on, in the order given."""
    n = tape.shape[1]
    labels = tape.shape[0] - 1
    if order_N.size:
        chosen = order_N[first : first + n]
        for d in range(widths[0]):
            for k in range(n):
                tape[d, k] = xy_DN[d, chosen[k]]
        for k in range(n):
            tape[labels, k] = label_N[chosen[k]]
    else:
        xy_Dn = xy_DN[:, first : first + n]
        label_n = label_N[first : first + n]
        for d in range(widths[0]):
            for k in range(n):
                tape[d, k] = xy_Dn[d, k]
        for k in range(n):
            tape[labels, k] = label_n[k]
    fill_ones(widths, tape)


@loop
def forward(widths, codes, skip, weights, tape, slopes, placed):
    """From the inputs to the logits. `placed`: the first layer's sums stand in their rows already."""
    a = i8(0)
    w = i8(0)
    last = codes.size - 1
    for layer in range(last + 1):
        inputs = widths[layer]
        outputs = widths[layer + 1]
        z = a + inputs + 1
        size = outputs * (inputs + 1)
        if not (placed and layer == 0):
            if outputs * inputs >= BLAS_FROM:
                np.dot(weights[w : w + size].reshape(outputs, inputs + 1), tape[a:z], tape[z : z + outputs])
            else:
                combine(i8(FROM_BIAS), tape, z, outputs, weights, w, inputs + 1, i8(1), tape, a, inputs)
        w += size
        if layer == last and skip:
            features = widths[0]
            combine(i8(FROM_TARGET), tape, z, outputs, weights, w, features + 1, i8(1), tape, i8(0), features + 1)
        activate(codes[layer], tape, slopes, z, outputs)
        a = z


@loop
def _backward(widths, codes, skip, weights, tape, backs, slopes, product, gradient, logits, is_first):
    """Adds the gradient of the loss, whose derivatives by the logits stand in `backs`.

    `is_first`: the gradient is zero so far, and products may be written in the place of added.
    """
    z = logits
    last = codes.size - 1
    w = 0
    for layer in range(last + 1):
        w += widths[layer + 1] * (widths[layer] + 1)
    deactivated = False
    for layer in range(last, -1, -1):
        inputs = widths[layer]
        outputs = widths[layer + 1]
        a = z - inputs - 1
        size = outputs * (inputs + 1)
        if not deactivated:
            deactivate(codes[layer], backs, tape, slopes, z, outputs)
        deactivated = False
        if layer == last and skip:
            features = widths[0]
            correlate(gradient, w, backs, z, outputs, tape, i8(0), features + 1)
        w -= size
        if outputs * inputs >= BLAS_FROM:
            back = backs[z : z + outputs]
            target = gradient[w : w + size] if is_first else product[:size]
            np.dot(back, tape[a:z].T, target.reshape(outputs, inputs + 1))
            if not is_first:
                for i in range(size):
                    gradient[w + i] += product[i]
            if layer > 0:
                np.dot(weights[w : w + size].reshape(outputs, inputs + 1).T, back, backs[a:z])
        else:
            correlate(gradient, w, backs, z, outputs, tape, a, inputs + 1)
            if layer > 0 and outputs == 1 and codes[layer - 1] == TANH:
                spread_to_tanh(backs, a, inputs, weights, w, z, tape)
                deactivated = True
            elif layer > 0:
                combine(i8(FROM_ZERO), backs, a, inputs, weights, w, i8(1), inputs + 1, backs, z, outputs)
        z = a


@loop
def _binary_loss(tape, backs, logits, scale):
    """Binary cross-entropy of one logit: its sum, the right answers, and into `backs` its derivatives times `scale`."""
    labels = tape.shape[0] - 1
    small = tape.shape[0] - SPARE_ROWS
    for k in range(tape.shape[1]):
        x = tape[logits, k]
        e = exp_negative(-abs(x))
        tape[small, k] = e
        inverse = F(1) / (F(1) + e)
        backs[logits, k] = ((e * inverse if x < F(0) else inverse) - tape[labels, k]) * scale
    loss = F(0)
    wrong = F(0)
    for k in range(tape.shape[1]):
        x = tape[logits, k]
        off = (F(1) if x > F(0) else F(0)) - tape[labels, k]  # 0 when the answer is right
        loss += x * off + log1p_unit(tape[small, k])
        wrong += off * off
    return loss, F(tape.shape[1]) - wrong


@loop
def find_greatest(tape, logits, classes):
    """Into the first spare row the greatest logit of each point, into the second the first class that has it."""
    n = tape.shape[1]
    greatest = tape.shape[0] - SPARE_ROWS
    for k in range(n):
        tape[greatest, k] = tape[logits, k]
        tape[greatest + 1, k] = F(0)
    for o in range(1, classes):
        for k in range(n):
            more = tape[logits + o, k] > tape[greatest, k]
            tape[greatest + 1, k] = F(o) if more else tape[greatest + 1, k]
            tape[greatest, k] = tape[logits + o, k] if more else tape[greatest, k]


@loop
def _softmax_loss(tape, backs, logits, classes, scale):
    """Softmax cross-entropy: its sum, the right answers, and into `backs` its derivatives times `scale`."""
    n = tape.shape[1]
    greatest = tape.shape[0] - SPARE_ROWS
    total = greatest + 1
    labels = greatest + 2
    find_greatest(tape, logits, classes)
    right = F(0)
    for k in range(n):
        right += F(1) if tape[total, k] == tape[labels, k] else F(0)
        tape[total, k] = F(0)
    loss = F(0)
    for o in range(classes):
        for k in range(n):
            below = tape[logits + o, k] - tape[greatest, k]
            e = exp_negative(below)
            backs[logits + o, k] = e
            tape[total, k] += e
            loss -= below if tape[labels, k] == F(o) else F(0)
    for k in range(n):
        loss += log_above_one(tape[total, k])
        tape[total, k] = F(1) / tape[total, k]
    for o in range(classes):
        for k in range(n):
            label = F(1) if tape[labels, k] == F(o) else F(0)
            backs[logits + o, k] = (backs[logits + o, k] * tape[total, k] - label) * scale
    return loss, right


@loop
def _loss(outputs, tape, backs, logits, scale):
    if outputs == 1:
        return _binary_loss(tape, backs, logits, scale)
    return _softmax_loss(tape, backs, logits, outputs, scale)


@loop
def learn(widths, codes, skip, weights, tape, backs, slopes, product, gradient, logits, count, is_first):
    """The loss of the points that stand in a tape and how many are right, as sums; adds to an unempty `gradient`.

    The gradient is that of the mean loss of `count` points. `is_first`: it is zero so far.
    """
    forward(widths, codes, skip, weights, tape, slopes, b1(False))
    loss, right = _loss(widths[-1], tape, backs, logits, F(1) / F(count))
    if gradient.size:
        _backward(widths, codes, skip, weights, tape, backs, slopes, product, gradient, logits, is_first)
    return loss, right


@loop
def run_pass(widths, codes, skip, weights, points, order_N, memory, gradient, first, count):
    """The same for `count` points, block after block.

    They are those from `first` on, in the order given, or as they stand if `order_N` is empty.
    """
    xy_DN, label_N = points
    tapes, all_backs, all_slopes, product, block = memory
    rows, logits = tape_rows(widths)
    loss_sum = 0.0
    right_sum = 0.0
    for start in range(0, count, block):
        n = min(block, count - start)
        tape = view(tapes, rows, n)
        backs = view(all_backs, rows, n)
        slopes = view(all_slopes, rows, n) if all_slopes.size else tape
        _load(widths, tape, xy_DN, label_N, order_N, first + start)
        loss, right = learn(
            widths, codes, skip, weights, tape, backs, slopes, product, gradient, logits, count, start == 0
        )
        loss_sum += loss
        right_sum += right
    return loss_sum, right_sum
