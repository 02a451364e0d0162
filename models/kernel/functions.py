"""Exponentials, logarithms, tanh and the logistic function of one float32 number.

The coefficients were fitted for this project: least squares in float64, reweighted to minimize the greatest
error (Lawson's method), then rounded; see docs/decisions/0007-the-compiled-kernel.md. The tests measure every error
stated here.

A NaN passes through every function, so that a check of the loss finds it: comparisons are written such that they are
false for a NaN.
"""

import numpy as np

from models.kernel.compiling import inline

F = np.float32
I = np.int32  # noqa: E741  # beside F


@inline
def _exp_parts(x):
    """Splits x <= 0 into k ln 2 + r with |r| <= ln(2) / 2. Returns e^r - 1 and 2^k."""
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
    """e^x - 1 for x <= 0: relative error below 3e-7, also near 0, where the difference would cancel."""
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
    """log(x) for x >= 1: error below 2e-7, relative or absolute, whichever is larger."""
    bits = F(x).view(np.int32)
    k = F((bits >> I(23)) - I(127))
    fraction = I((bits & I(0x7FFFFF)) | I(0x3F800000)).view(np.float32)  # x / 2^k, in [1, 2)
    return k * F(0.693147181) + log1p_unit(fraction - F(1)) + F(0) * x  # 0 * x keeps a NaN


@inline
def tanh(x):
    """The hyperbolic tangent, x P(x^2) / Q(x^2) with P and Q of degree 4: error below 4e-7, root mean square 7e-8."""
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
    """1 / (1 + e^-x): relative error below 4e-7, also far from 0."""
    e = exp_negative(-abs(x))
    inverse = F(1) / (F(1) + e)
    return e * inverse if x < F(0) else inverse
