"""The activations in compiled loops: their codes, values and derivatives.

A new activation needs a code, its functions, and a case in `activate` and `activation_backward`. Everything else about
it is one row of `models.networks.activations`.
"""

from collections.abc import Callable
from typing import Any

from models.kernel.compiling import inline, loop
from models.kernel.functions import F, exp_negative, expm1_negative, log1p_unit, sigmoid, tanh
from models.specs import Activation

IDENTITY, RELU, LEAKY_RELU, ELU, SILU, GELU, SOFTPLUS, TANH, SIGMOID = range(9)

CODES: dict[Activation, int] = {
    "identity": IDENTITY,
    "relu": RELU,
    "leaky_relu": LEAKY_RELU,
    "elu": ELU,
    "silu": SILU,
    "gelu": GELU,
    "softplus": SOFTPLUS,
    "tanh": TANH,
    "sigmoid": SIGMOID,
}

STORING_SLOPES = (SILU, GELU)
"""Activations whose derivative does not follow from their value: the forward pass stores it in `slopes`."""


@inline
def relu(x):
    """max(x, 0)."""
    return F(0) if x < F(0) else x


@inline
def leaky_relu(x):
    """X, or x / 100 below 0."""
    return F(0.01) * x if x < F(0) else x


@inline
def elu(x):
    """X, or e^x - 1 below 0."""
    below = expm1_negative(F(0) if x > F(0) else x)
    return x if x > F(0) else below


@inline
def softplus(x):
    """log(1 + e^x)."""
    return (F(0) if x < F(0) else x) + log1p_unit(exp_negative(-abs(x)))


@inline
def gelu_gate(x):
    """The factor of x in the tanh form of GELU: (1 + tanh(v)) / 2 = sigmoid(2 v)."""
    return sigmoid(F(1.5957691216) * (x + F(0.044715) * x * x * x))


# derivatives, from the value a of the activation


@inline
def relu_slope(a):
    """1 above 0, else 0, as in torch."""
    return F(1) if a > F(0) else F(0)


@inline
def leaky_relu_slope(a):
    """1 above 0, else 0.01."""
    return F(1) if a > F(0) else F(0.01)


@inline
def elu_slope(a):
    """1 above 0, else e^x = a + 1."""
    return F(1) if a > F(0) else a + F(1)


@inline
def softplus_slope(a):
    """sigmoid(x) = 1 - e^-a."""
    return -expm1_negative(-a)


@inline
def tanh_slope(a):
    """1 - a^2."""
    return F(1) - a * a


@inline
def sigmoid_slope(a):
    """A (1 - a)."""
    return a * (F(1) - a)


def _each(function: Callable[..., Any]) -> Callable[..., Any]:
    """A loop that replaces each value of some rows by the function of it."""

    def rows_of(tape, top, rows):
        values = tape[top : top + rows].reshape(rows * tape.shape[1])
        for i in range(values.size):
            values[i] = function(values[i])

    return loop(rows_of)


def _chain(slope: Callable[..., Any]) -> Callable[..., Any]:
    """The chain rule as a loop: multiplies derivatives by the slope at each value."""

    def rows_of(tape_grad, tape, top, rows):
        values = tape[top : top + rows].reshape(rows * tape.shape[1])
        derivatives = tape_grad[top : top + rows].reshape(rows * tape.shape[1])
        for i in range(values.size):
            derivatives[i] *= slope(values[i])

    return loop(rows_of)


_relu_rows = _each(relu)
_leaky_relu_rows = _each(leaky_relu)
_elu_rows = _each(elu)
_softplus_rows = _each(softplus)
_tanh_rows = _each(tanh)
_sigmoid_rows = _each(sigmoid)

_relu_chain = _chain(relu_slope)
_leaky_relu_chain = _chain(leaky_relu_slope)
_elu_chain = _chain(elu_slope)
_softplus_chain = _chain(softplus_slope)
_tanh_chain = _chain(tanh_slope)
_sigmoid_chain = _chain(sigmoid_slope)


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
def _stored_chain(tape_grad, slopes, top, rows):
    for r in range(top, top + rows):
        for k in range(tape_grad.shape[1]):
            tape_grad[r, k] *= slopes[r, k]


@loop
def activate(code, tape, slopes, top, rows):
    """Replaces the arguments of an activation, in `rows` rows from `top` on, by its values."""
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
def activation_backward(code, tape_grad, tape, slopes, top, rows):
    """Turns derivatives by the values of an activation into derivatives by its arguments."""
    if code == RELU:
        _relu_chain(tape_grad, tape, top, rows)
    elif code == LEAKY_RELU:
        _leaky_relu_chain(tape_grad, tape, top, rows)
    elif code == ELU:
        _elu_chain(tape_grad, tape, top, rows)
    elif code in STORING_SLOPES:
        _stored_chain(tape_grad, slopes, top, rows)
    elif code == SOFTPLUS:
        _softplus_chain(tape_grad, tape, top, rows)
    elif code == TANH:
        _tanh_chain(tape_grad, tape, top, rows)
    elif code == SIGMOID:
        _sigmoid_chain(tape_grad, tape, top, rows)
