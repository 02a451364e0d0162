"""What layers do to the rows of a tape: activations, sums of rows, and products of rows."""

from collections.abc import Callable
from typing import Any

from models.kernel import functions
from models.kernel.compiling import loop
from models.kernel.functions import F, gelu_gate, sigmoid
from models.kernel.structures import ELU, GELU, LEAKY_RELU, RELU, SIGMOID, SILU, SOFTPLUS, TANH

FROM_ZERO, FROM_BIAS, FROM_TARGET = range(3)
"""What `combine` starts a sum from."""


def _each(function: Callable[..., Any]) -> Callable[..., Any]:
    """The loop that replaces each value of some rows by the function of it."""

    def rows_of(tape, top, rows):
        for r in range(top, top + rows):
            for k in range(tape.shape[1]):
                tape[r, k] = function(tape[r, k])

    return loop(rows_of)


def _chain(slope: Callable[..., Any]) -> Callable[..., Any]:
    """The chain rule as a loop: multiplies derivatives by the slope of the activation that made the tape's values."""

    def rows_of(backs, tape, top, rows):
        for r in range(top, top + rows):
            for k in range(tape.shape[1]):
                backs[r, k] *= slope(tape[r, k])

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
def correlate(gradient, g, backs, b, outputs, tape, a, rows):
    """Adds to a gradient, from place g on, the products of `outputs` rows of `backs` with `rows` rows of a tape.

    Two by four at a time. Where fewer are left, the last is taken again and its products are dropped.
    """
    for o in range(0, outputs, 2):
        p = b + o
        q = min(p + 1, b + outputs - 1)
        for i in range(0, rows, 4):
            last = rows - 1
            r0 = a + i
            r1 = a + min(i + 1, last)
            r2 = a + min(i + 2, last)
            r3 = a + min(i + 3, last)
            p0 = p1 = p2 = p3 = q0 = q1 = q2 = q3 = F(0)
            for k in range(tape.shape[1]):
                x = backs[p, k]
                y = backs[q, k]
                p0 += x * tape[r0, k]
                q0 += y * tape[r0, k]
                p1 += x * tape[r1, k]
                q1 += y * tape[r1, k]
                p2 += x * tape[r2, k]
                q2 += y * tape[r2, k]
                p3 += x * tape[r3, k]
                q3 += y * tape[r3, k]
            w = g + o * rows + i
            _add(gradient, w, rows - i, p0, p1, p2, p3)
            if q > p:
                _add(gradient, w + rows, rows - i, q0, q1, q2, q3)


@loop
def _add(gradient, w, many, s0, s1, s2, s3):
    gradient[w] += s0
    if many > 1:
        gradient[w + 1] += s1
    if many > 2:
        gradient[w + 2] += s2
    if many > 3:
        gradient[w + 3] += s3
