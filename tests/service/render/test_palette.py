"""Colors of classes and scales, checked in Oklab."""

from itertools import pairwise

import numpy as np
import pytest

from service.render import palette


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(palette._lab(one) - palette._lab(other)))


def test_two_classes_have_the_red_and_blue_of_the_tutorial() -> None:
    assert palette.hex_codes(palette.class_palette(2)) == ["#c8372d", "#2f6fb3"]


@pytest.mark.parametrize("count", [3, 8, 20])
def test_no_two_classes_look_alike(count: int) -> None:
    colors = palette.class_palette(count)
    assert colors.shape == (count, 3)
    pairs = [distance(colors[i], colors[j]) for i in range(count) for j in range(i)]
    assert min(pairs) > 0.02, "twice the smallest difference that the eye notices"


def test_the_steps_of_a_scale_look_equal_and_its_ends_are_the_colors_given() -> None:
    red, blue = palette.class_palette(2)
    scale = palette.opaque_scale(red, blue, steps=65)
    assert (scale[0] == red).all()
    assert (scale[-1] == blue).all()
    assert scale[32].min() > 235
    for half in (scale[:33], scale[32:]):
        steps = [distance(one, other) for one, other in pairwise(half)]
        assert max(steps) < 1.7 * min(steps)  # most of the difference is rounding to bytes


def test_a_mixture_lies_between_its_colors_in_the_shares_given() -> None:
    red, blue = palette.class_palette(2)
    pair = np.stack([red, blue])
    assert (palette.mixture(pair, [1, 0]) == red).all()
    assert (palette.mixture(pair, [0, 1]) == blue).all()
    for share in (0.25, 0.5, 0.9):
        mixed = palette.mixture(pair, [1 - share, share])
        assert distance(red, mixed) == pytest.approx(share * distance(red, blue), abs=0.005)
        assert distance(blue, mixed) == pytest.approx((1 - share) * distance(red, blue), abs=0.005)


def test_white_black_and_red_have_their_published_coordinates_in_oklab() -> None:
    np.testing.assert_allclose(palette._lab(np.array([255, 255, 255], np.uint8)), [1, 0, 0], atol=1e-4)
    np.testing.assert_allclose(palette._lab(np.array([0, 0, 0], np.uint8)), [0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(palette._lab(np.array([255, 0, 0], np.uint8)), [0.628, 0.225, 0.126], atol=1e-3)
