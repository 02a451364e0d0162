"""The answer of an ensemble from the logits of its networks: the mean of their probabilities, and their spread."""

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np

from models.datasets import FloatArray
from models.inference import numpy_forward


def mean_logits(logits: Sequence[FloatArray]) -> FloatArray:
    """The logits whose probabilities are the mean over some networks, float32 (N, O).

    With the mean p of the probabilities of each class, that is log p_2 - log p_1 for two classes, and log p for more.
    All logarithms are float64, and no probability is rounded to 0 on the way.

    Args:
        logits: of each network, float32 (N, O).
    """
    total_NK = reduce(np.logaddexp, map(numpy_forward.log_probabilities, logits))
    if logits[0].shape[1] == 1:
        return (total_NK[:, 1:] - total_NK[:, :1]).astype(np.float32)
    return (total_NK - math.log(len(logits))).astype(np.float32)


def spread(logits: Sequence[FloatArray]) -> FloatArray:
    """The standard deviation of the probability of each class over the networks, float32 (N, K), from 0 to 1/2.

    It is the population standard deviation: the square root of the mean squared deviation from the mean.
    """
    prob_MNK = np.stack([np.exp(numpy_forward.log_probabilities(one)) for one in logits])
    spread_NK: FloatArray = prob_MNK.std(axis=0).astype(np.float32)
    return spread_NK
