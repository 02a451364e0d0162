"""What layers do to the rows of a tape: activations, sums of rows, and products of rows."""

from collections.abc import Callable
from typing import Any

from models.kernel import functions
from models.kernel.compiling import loop
from models.kernel.functions import F, gelu_gate, sigmoid, tanh_slope
from models.kernel.structures import ELU, GELU, LEAKY_RELU, RELU, SIGMOID, SILU, SOFTPLUS, TANH

FROM_ZERO, FROM_BIAS, FROM_TARGET = range(3)
"""What `combine` starts a sum from."""


def _each(function: Callable[..., Any]) -> Callable[..., Any]:
    """The loop that replaces each value of some rows by the function of it."""

    def rows_of(tape, top, rows):
        values = tape[top : top + rows].reshape(rows * tape.shape[1])
        for i in range(values.size):
            values[i] = function(values[i])

    return loop(rows_of)


def _chain(slope: Callable[..., Any]) -> Callable[..., Any]:
    """The chain rule as a loop: multiplies derivatives by the slope of the activation that made the values."""

    def rows_of(backs, tape, top, rows):
        values = tape[top : top + rows].reshape(rows * tape.shape[1])
        derivatives = backs[top : top + rows].reshape(rows * tape.shape[1])
        for i in range(values.size):
            derivatives[i] *= slope(values[i])

    return loop(rows_of)


_relu_rows = _each(functions.relu)
_leaky_relu_rows = _each(functions.leaky_relu)
_elu_rows = _each(functions.elu)
_softplus_rows = _each(functions.softplus)
_tanh_rows = _each(functions.tanh)
_sigmoid_rows = _each(functions.sigmoid)

_relu_chain = _chain(functions.relu_slope)
_leaky_relu_chain = _chain(functions.leaky_relu_slope)
_elu_chain = _chain(functions.elu_slope)
_softplus_chain = _chain(functions.softplus_slope)
_tanh_chain = _chain(functions.tanh_slope)
_sigmoid_chain = _chain(functions.sigmoid_slope)


@loop
def _silu_rows(tape, slopes, top, rows):
    for r in range(top, top + rows):
        for k in range(tape.shape[1]):
            x = tape[r, k]
            gate = sigmoid(x)
            tape[r, k] = x * gate
            slopes[r, k] = gate * (F(1) + x * (F(1) - gate))


@loop
def _gelu_rows(tape, slopes, top, rows):
    for r in range(top, top + rows):
        for k in range(tape.shape[1]):
            x = tape[r, k]
            gate = gelu_gate(x)
            tape[r, k] = x * gate
            inner = F(1.5957691216) * (F(1) + F(3 * 0.044715) * x * x)
            slopes[r, k] = gate + x * gate * (F(1) - gate) * inner


@loop
def _known_chain(backs, slopes, top, rows):
    for r in range(top, top + rows):
        for k in range(backs.shape[1]):
            backs[r, k] *= slopes[r, k]


@loop
def activate(code, tape, slopes, top, rows):
    """Replaces the arguments of an activation by its values."""
    if code == RELU:
        _relu_rows(tape, top, rows)
    elif code == LEAKY_RELU:
        _leaky_relu_rows(tape, top, rows)
    elif code == ELU:
        _elu_rows(tape, top, rows)
    elif code == SILU:
        _silu_rows(tape, slopes, top, rows)
    elif code == GELU:
        _gelu_rows(tape, slopes, top, rows)
    elif code == SOFTPLUS:
        _softplus_rows(tape, top, rows)
    elif code == TANH:
        _tanh_rows(tape, top, rows)
    elif code == SIGMOID:
        _sigmoid_rows(tape, top, rows)


@loop
def deactivate(code, backs, tape, slopes, top, rows):
    """From derivatives by an activation's values to derivatives by its arguments."""
    if code == RELU:
        _relu_chain(backs, tape, top, rows)
    elif code == LEAKY_RELU:
        _leaky_relu_chain(backs, tape, top, rows)
    elif code == ELU:
        _elu_chain(backs, tape, top, rows)
    elif code in (SILU, GELU):
        _known_chain(backs, slopes, top, rows)
    elif code == SOFTPLUS:
        _softplus_chain(backs, tape, top, rows)
    elif code == TANH:
        _tanh_chain(backs, tape, top, rows)
    elif code == SIGMOID:
        _sigmoid_chain(backs, tape, top, rows)


@loop
def combine(start, target, t, targets, weights, w, target_step, source_step, source, s, sources):
    """For each o below `targets`: target[t + o] = the sum over i of a weight times source[s + i].

    The weight is weights[w + o * target_step + i * source_step]. `start` says what the sum starts from: 0, the weight
    behind the last (`FROM_BIAS`), or what stands in the target already (`FROM_TARGET`).

    Four rows at a time: as many as the compiler will prove apart from the target before it runs eight points at once.
    """
    n = target.shape[1]
    for o in range(targets):
        z = t + o
        v = w + o * target_step
        bias = weights[v + sources * source_step] if start == FROM_BIAS else F(0)
        for i in range(0, sources, 4):
            many = min(4, sources - i)
            r = s + i
            w0 = weights[v + i * source_step]
            w1 = weights[v + (i + 1) * source_step] if many > 1 else F(0)
            w2 = weights[v + (i + 2) * source_step] if many > 2 else F(0)
            w3 = weights[v + (i + 3) * source_step] if many > 3 else F(0)
            if i > 0 or start == FROM_TARGET:
                if many == 1:
                    for k in range(n):
                        target[z, k] += w0 * source[r, k]
                elif many == 2:
                    for k in range(n):
                        target[z, k] += w0 * source[r, k] + w1 * source[r + 1, k]
                elif many == 3:
                    for k in range(n):
                        target[z, k] += w0 * source[r, k] + (w1 * source[r + 1, k] + w2 * source[r + 2, k])
                else:
                    for k in range(n):
                        target[z, k] += (w0 * source[r, k] + w1 * source[r + 1, k]) + (
                            w2 * source[r + 2, k] + w3 * source[r + 3, k]
                        )
            elif many == 1:
                for k in range(n):
                    target[z, k] = bias + w0 * source[r, k]
            elif many == 2:
                for k in range(n):
                    target[z, k] = (bias + w0 * source[r, k]) + w1 * source[r + 1, k]
            elif many == 3:
                for k in range(n):
                    target[z, k] = (bias + w0 * source[r, k]) + (w1 * source[r + 1, k] + w2 * source[r + 2, k])
            else:
                for k in range(n):
                    target[z, k] = ((bias + w0 * source[r, k]) + w1 * source[r + 1, k]) + (
                        w2 * source[r + 2, k] + w3 * source[r + 3, k]
                    )


@loop
def spread_to_tanh(backs, a, inputs, weights, w, z, tape):
    """What `combine` and `deactivate` do for one output above a layer of tanh, in one loop: the tutorial's case."""
    for i in range(inputs):
        weight = weights[w + i]
        r = a + i
        for k in range(tape.shape[1]):
            backs[r, k] = weight * backs[z, k] * tanh_slope(tape[r, k])


@loop
def correlate(gradient, g, backs, b, outputs, tape, a, rows):
    """Adds to a gradient, from place g on, the products of `outputs` rows of `backs` with `rows` rows of a tape.

    As many at a time as the processor has places for: of one row with eight, of four with three, or of two with four.
    Where fewer are left, the last is taken again and its products are dropped.
    """
    if outputs == 1:
        for i in range(0, rows, 8):
            _one_by_eight(gradient, g + i, backs, b, tape, a + i, min(rows - i, 8))
    elif rows <= 3:
        for o in range(0, outputs, 4):
            _four_by_three(gradient, g + o * rows, backs, b + o, min(outputs - o, 4), tape, a, rows)
    else:
        for o in range(0, outputs, 2):
            for i in range(0, rows, 4):
                many = min(rows - i, 4)
                _two_by_four(gradient, g + o * rows + i, rows, backs, b + o, min(outputs - o, 2), tape, a + i, many)


@loop
def _one_by_eight(gradient, g, backs, b, tape, a, rows):
    last = a + rows - 1
    a1, a2, a3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
    a4, a5, a6, a7 = min(a + 4, last), min(a + 5, last), min(a + 6, last), min(a + 7, last)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = F(0)
    for k in range(tape.shape[1]):
        x = backs[b, k]
        s0 += x * tape[a, k]
        s1 += x * tape[a1, k]
        s2 += x * tape[a2, k]
        s3 += x * tape[a3, k]
        s4 += x * tape[a4, k]
        s5 += x * tape[a5, k]
        s6 += x * tape[a6, k]
        s7 += x * tape[a7, k]
    _add(gradient, g, rows, s0, s1, s2, s3)
    if rows > 4:
        _add(gradient, g + 4, rows - 4, s4, s5, s6, s7)


@loop
def _four_by_three(gradient, g, backs, b, outputs, tape, a, rows):
    last = b + outputs - 1
    b1, b2, b3 = min(b + 1, last), min(b + 2, last), min(b + 3, last)
    a1, a2 = a + min(1, rows - 1), a + min(2, rows - 1)
    p0 = p1 = p2 = q0 = q1 = q2 = r0 = r1 = r2 = s0 = s1 = s2 = F(0)
    for k in range(tape.shape[1]):
        x = tape[a, k]
        y = tape[a1, k]
        z = tape[a2, k]
        p0 += backs[b, k] * x
        p1 += backs[b, k] * y
        p2 += backs[b, k] * z
        q0 += backs[b1, k] * x
        q1 += backs[b1, k] * y
        q2 += backs[b1, k] * z
        r0 += backs[b2, k] * x
        r1 += backs[b2, k] * y
        r2 += backs[b2, k] * z
        s0 += backs[b3, k] * x
        s1 += backs[b3, k] * y
        s2 += backs[b3, k] * z
    _add(gradient, g, rows, p0, p1, p2, F(0))
    if outputs > 1:
        _add(gradient, g + rows, rows, q0, q1, q2, F(0))
    if outputs > 2:
        _add(gradient, g + 2 * rows, rows, r0, r1, r2, F(0))
    if outputs > 3:
        _add(gradient, g + 3 * rows, rows, s0, s1, s2, F(0))


@loop
def _two_by_four(gradient, g, stride, backs, b, outputs, tape, a, rows):
    b1 = b + outputs - 1
    last = a + rows - 1
    a1, a2, a3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
    p0 = p1 = p2 = p3 = q0 = q1 = q2 = q3 = F(0)
    for k in range(tape.shape[1]):
        x = backs[b, k]
        y = backs[b1, k]
        p0 += x * tape[a, k]
        q0 += y * tape[a, k]
        p1 += x * tape[a1, k]
        q1 += y * tape[a1, k]
        p2 += x * tape[a2, k]
        q2 += y * tape[a2, k]
        p3 += x * tape[a3, k]
        q3 += y * tape[a3, k]
    _add(gradient, g, rows, p0, p1, p2, p3)
    if outputs > 1:
        _add(gradient, g + stride, rows, q0, q1, q2, q3)


@loop
def _add(gradient, g, many, s0, s1, s2, s3):
    gradient[g] += s0
    if many > 1:
        gradient[g + 1] += s1
    if many > 2:
        gradient[g + 2] += s2
    if many > 3:
        gradient[g + 3] += s3
