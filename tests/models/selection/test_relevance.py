"""The factors of features by their relevance to a network."""

import numpy as np
import pytest

from models.networks.plans import Plan
from models.selection import relevance

FIRST = [[3.0, 0.0, 0.0, 9.0], [4.0, 1.0, 0.0, 9.0]]
"""Two units that take three inputs; the last number of each is its bias."""


def plan(first: list[list[float]], skip: list[float] | None = None) -> Plan:
    """A network with these weights of its first layer, and perhaps of a skip connection."""
    numbers = [*np.ravel(first), 7.0, 7.0, 7.0, *(skip or [])]
    return Plan((3, 2, 1), ("tanh", "identity"), skip is not None, np.array(numbers, np.float32))


@pytest.mark.parametrize(("skip", "norms"), [(None, [5, 1, 0]), ([0.0, 0.0, 2.0, 9.0], [5, 1, 2])])
def test_the_norm_of_an_input_covers_the_first_layer_and_the_skip_connection(
    skip: list[float] | None, norms: list[int]
) -> None:
    np.testing.assert_allclose(relevance.norms(plan(FIRST, skip)), norms)


def test_factors_have_the_ratios_of_the_norms_a_mean_square_of_1_and_a_lower_bound() -> None:
    large_D, none_D = relevance.factors(np.array([[500.0, 100.0, 0.0], [0.0, 0.0, 0.0]]))
    assert np.square(large_D).mean() == pytest.approx(1)
    assert large_D[0] / large_D[1] == pytest.approx(5)
    assert large_D[2] == pytest.approx(relevance.MIN_FACTOR, rel=1e-3)
    assert none_D == pytest.approx(1), "a network that uses no feature prefers none"


def test_the_combined_factors_of_several_networks_have_three_significant_digits() -> None:
    factor_FD = np.array([[1.5, 0.5, 0.3], [1.4, 0.9, 0.03]])
    found = relevance.combined(factor_FD)
    assert [float(f"{factor:.3g}") for factor in found] == list(found)
    assert np.square(found).mean() == pytest.approx(1, rel=0.01)
    ratio = np.hypot(1.5, 1.4) / np.hypot(0.3, 0.03)
    assert found[0] / found[2] == pytest.approx(ratio, rel=0.01)
