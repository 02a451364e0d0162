from itertools import pairwise

import numpy as np
import pytest

from service.render import palette


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(palette._lab(one) - palette._lab(other)))


def test_two_classes_are_the_tutorials_red_and_blue() -> None:
    assert palette.hexadecimal(palette.of_classes(2)) == ["#c8372d", "#2f6fb3"]


@pytest.mark.parametrize("count", [3, 8, 20])
def test_no_two_classes_look_alike(count: int) -> None:
    of_classes = palette.of_classes(count)
    assert of_classes.shape == (count, 3)
    pairs = [distance(of_classes[i], of_classes[j]) for i in range(count) for j in range(i)]
    assert min(pairs) > 0.02, "twice what the eye just notices"


def test_the_steps_of_a_scale_look_equal_and_end_in_its_colours() -> None:
    red, blue = palette.of_classes(2)
    scale = palette.scale(red, blue, steps=65)
    assert (scale[0] == red).all()
    assert (scale[-1] == blue).all()
    assert scale[32].min() > 235
    for half in (scale[:33], scale[32:]):
        steps = [distance(one, other) for one, other in pairwise(half)]
        assert max(steps) < 1.7 * min(steps)  # rounding to bytes is most of the difference


def test_white_black_and_grey_are_what_they_are_in_oklab() -> None:
    np.testing.assert_allclose(palette._lab(np.array([255, 255, 255], np.uint8)), [1, 0, 0], atol=1e-4)
    np.testing.assert_allclose(palette._lab(np.array([0, 0, 0], np.uint8)), [0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(palette._lab(np.array([255, 0, 0], np.uint8)), [0.628, 0.225, 0.126], atol=1e-3)
