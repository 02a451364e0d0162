"""The activations in compiled loops: their codes, values and derivatives.

A new activation needs its functions and a row of `_LOOPS`. Everything else about it is one row of
`models.networks.activations`.
"""

from collections.abc import Callable
from typing import Any

from models.kernel.compiling import inline, loop
from models.kernel.functions import F, exp_negative, expm1_negative, log1p_unit, sigmoid, tanh
from models.specs import Activation


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

    def rows_of(tape, _, top, rows):
        values = tape[top : top + rows].reshape(rows * tape.shape[1])
        for i in range(values.size):
            values[i] = function(values[i])

    rows_of.__qualname__ = f"{function.__name__}_rows"  # see `loop`
    return loop(rows_of)


def _chain(slope: Callable[..., Any]) -> Callable[..., Any]:
    """The chain rule as a loop: multiplies derivatives by the slope at each value."""

    def rows_of(tape_grad, tape, _, top, rows):
        values = tape[top : top + rows].reshape(rows * tape.shape[1])
        derivatives = tape_grad[top : top + rows].reshape(rows * tape.shape[1])
        for i in range(values.size):
            derivatives[i] *= slope(values[i])

    rows_of.__qualname__ = f"{slope.__name__}_rows"  # see `loop`
    return loop(rows_of)


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
def _stored_chain(tape_grad, _, slopes, top, rows):
    for r in range(top, top + rows):
        for k in range(tape_grad.shape[1]):
            tape_grad[r, k] *= slopes[r, k]


_LOOPS: dict[Activation, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "relu": (_each(relu), _chain(relu_slope)),
    "leaky_relu": (_each(leaky_relu), _chain(leaky_relu_slope)),
    "elu": (_each(elu), _chain(elu_slope)),
    "silu": (_silu_rows, _stored_chain),
    "gelu": (_gelu_rows, _stored_chain),
    "softplus": (_each(softplus), _chain(softplus_slope)),
    "tanh": (_each(tanh), _chain(tanh_slope)),
    "sigmoid": (_each(sigmoid), _chain(sigmoid_slope)),
}
"""The loops of each activation over the rows of a tape: its values, and the chain rule. The identity needs none."""

CODES: dict[Activation, int] = {"identity": 0, **{name: code for code, name in enumerate(_LOOPS, start=1)}}

TANH = CODES["tanh"]

STORING_SLOPES = (CODES["silu"], CODES["gelu"])
"""Activations whose derivative does not follow from their value: the forward pass stores it in `slopes`."""


@inline
def activate(code, tape, slopes, top, rows):
    """Replaces the arguments of an activation, in `rows` rows from `top` on, by its values."""


@inline
def activation_backward(code, tape_grad, tape, slopes, top, rows):
    """Turns derivatives by the values of an activation into derivatives by its arguments."""


def _values_case(own_code: int, own: Callable[..., Any], others: Callable[..., Any]) -> Callable[..., Any]:
    def run(code, tape, slopes, top, rows):
        if code == own_code:
            own(tape, slopes, top, rows)
        else:
            others(code, tape, slopes, top, rows)

    return inline(run)


def _chain_case(own_code: int, own: Callable[..., Any], others: Callable[..., Any]) -> Callable[..., Any]:
    def run(code, tape_grad, tape, slopes, top, rows):
        if code == own_code:
            own(tape_grad, tape, slopes, top, rows)
        else:
            others(code, tape_grad, tape, slopes, top, rows)

    return inline(run)


# The functions above are the case of the identity. Inlined into each other, the cases compile like one if statement.
for _name, (_values, _slopes) in reversed(_LOOPS.items()):
    activate = _values_case(CODES[_name], _values, activate)
    activation_backward = _chain_case(CODES[_name], _slopes, activation_backward)
