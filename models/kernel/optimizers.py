"""The optimizers that step along each gradient, as torch defines them: each has a code number and an update function.

L-BFGS is not one of them, see `models.kernel.lbfgs`.
"""

import numpy as np

from models.kernel.compiling import loop
from models.kernel.functions import F
from models.kernel.structures import UPDATES
from models.specs import Optimizer

SGD, ADAM = range(2)

CODES: dict[Optimizer, int] = {"sgd": SGD, "adam": ADAM}


@loop
def update(weights, weight_grad, first, second, counts, settings):
    """One step of an optimizer, in place. `first` and `second` are its moments, 0 before the first step."""
    decay = F(settings.weight_decay)
    if decay > F(0):
        for i in range(weights.size):
            weight_grad[i] += decay * weights[i]
    counts[UPDATES] += 1
    if settings.optimizer == ADAM:
        _adam(weights, weight_grad, first, second, counts[UPDATES], settings.learning_rate)
    elif settings.momentum > 0.0:
        _sgd_with_momentum(weights, weight_grad, first, F(settings.learning_rate), F(settings.momentum))
    else:
        _sgd(weights, weight_grad, F(settings.learning_rate))


@loop
def _sgd(weights, weight_grad, rate):
    for i in range(weights.size):
        weights[i] -= rate * weight_grad[i]


@loop
def _sgd_with_momentum(weights, weight_grad, first, rate, momentum):
    for i in range(weights.size):
        first[i] = momentum * first[i] + weight_grad[i]
        weights[i] -= rate * first[i]


@loop
def _adam(weights, weight_grad, first, second, updates, learning_rate):
    """Kingma and Ba 2015, with betas 0.9 and 0.999 and an epsilon of 1e-8."""
    size = F(learning_rate / (1.0 - 0.9**updates))
    correction = F(1.0 / np.sqrt(1.0 - 0.999**updates))
    for i in range(weights.size):
        g = weight_grad[i]
        first[i] += F(0.1) * (g - first[i])
        second[i] = F(0.999) * second[i] + F(0.001) * g * g
    for i in range(weights.size):
        weights[i] -= size * first[i] / (np.sqrt(second[i]) * correction + F(1e-8))
