"""Functions of one number, from which everything else is made, and the derivatives of the activations.

The coefficients are fits of our own: least squares, reweighted until the greatest error was least (Lawson's method), in
float64, then rounded. docs/decisions/0007-the-compiled-kernel.md tells how; the tests measure every error stated here.

A NaN passes through every function, so that a look at the loss finds it: comparisons are written such that a NaN fails
them.
"""

import numpy as np

from models.kernel.compiling import inline

F = np.float32
I = np.int32  # noqa: E741  # beside F


@inline
def _exp_parts(x):
    """For x <= 0 and x = k ln 2 + r with |r| <= ln(2) / 2: e^r - 1, and 2^k."""
    x = F(-88.1) if x < F(-88.1) else x
    k = np.floor(x * F(1.44269504) + F(0.5))
    r = (x - k * F(0.693359375)) + k * F(2.12194440e-4)  # ln 2 in two parts, the first of few bits
    p = F(0.00138146128)
    p = p * r + F(0.00836871006)
    p = p * r + F(0.041668389)
    p = p * r + F(0.166665211)
    p = p * r + F(0.49999994)
    return p * r * r + r, I((I(k) + I(127)) << I(23)).view(np.float32)


@inline
def exp_negative(x):
    """e^x for x <= 0: relative error below 2e-7 down to -87.3; 0 below -88."""
    m, power = _exp_parts(x)
    return (m + F(1)) * power


@inline
def expm1_negative(x):
    """e^x - 1 for x <= 0: relative error below 3e-7, near 0 too, where the difference would cancel."""
    m, power = _exp_parts(x)
    return m * power + (power - F(1))


@inline
def log1p_unit(x):
    """log(1 + x) for 0 <= x <= 1: relative error below 2e-7."""
    p = F(0.00523267966)
    p = p * x + F(-0.0295051783)
    p = p * x + F(0.0782258511)
    p = p * x + F(-0.136632368)
    p = p * x + F(0.191060022)
    p = p * x + F(-0.248429805)
    p = p * x + F(0.333190978)
    p = p * x + F(-0.499994934)
    p = p * x + F(0.99999994)
    return x * p


@inline
def log_above_one(x):
    """log(x) for x >= 1: error below 2e-7, relative or absolute, whichever is greater."""
    bits = F(x).view(np.int32)
    k = F((bits >> I(23)) - I(127))
    fraction = I((bits & I(0x7FFFFF)) | I(0x3F800000)).view(np.float32)  # x / 2^k, in [1, 2)
    return k * F(0.693147181) + log1p_unit(fraction - F(1)) + F(0) * x  # the bits of a NaN would make a number


@inline
def tanh(x):
    """The hyperbolic tangent, x P(x^2) / Q(x^2) with P and Q of degree 4: error below 4e-7, on average (rms) 7e-8."""
    x = F(-9) if x < F(-9) else x
    x = F(9) if x > F(9) else x
    u = x * x
    p = F(1.33546498e-08)
    p = p * u + F(2.06090754e-05)
    p = p * u + F(0.00349558773)
    p = p * u + F(0.133810252)
    p = p * u + F(1)
    q = F(7.77655373e-07)
    q = q * u + F(0.000328563416)
    q = q * u + F(0.0258769803)
    q = q * u + F(0.467143416)
    q = q * u + F(1)
    return x * p / q


@inline
def sigmoid(x):
    """1 / (1 + e^-x): relative error below 4e-7, far from 0 too."""
    e = exp_negative(-abs(x))
    inverse = F(1) / (F(1) + e)
    return e * inverse if x < F(0) else inverse


@inline
def relu(x):
    """max(x, 0)."""
    return F(0) if x < F(0) else x


@inline
def leaky_relu(x):
    """X, or a hundredth of it below 0."""
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
    """The share of x that the tanh form of GELU lets through: (1 + tanh(v)) / 2 = sigmoid(2 v)."""
    return sigmoid(F(1.5957691216) * (x + F(0.044715) * x * x * x))


# derivatives, from the function's value a


@inline
def relu_slope(a):
    """0 where torch has 0: at and below 0."""
    return F(1) if a > F(0) else F(0)


@inline
def leaky_relu_slope(a):
    """1 above 0, else a hundredth."""
    return F(1) if a > F(0) else F(0.01)


@inline
def elu_slope(a):
    """e^x = a + 1 below 0."""
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
    """That of the logistic function, a (1 - a)."""
    return a * (F(1) - a)
