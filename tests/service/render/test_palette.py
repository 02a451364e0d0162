"""Colors of classes and scales, checked in Oklab."""

from itertools import pairwise

import numpy as np
import pytest

from service.render import palette, png


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(palette._lab(one) - palette._lab(other)))


def test_two_classes_have_the_red_and_blue_of_the_tutorial() -> None:
    assert palette.hex_codes(palette.class_palette(2)) == ["#c8372d", "#2f6fb3"]


@pytest.mark.parametrize(("count", "least"), [(2, 0.2), (3, 0.15), (8, 0.06), (12, 0.06), (20, 0.02)])
def test_no_two_classes_look_alike(count: int, least: float) -> None:
    colors = palette.class_palette(count)
    assert colors.shape == (count, 3)
    pairs = [distance(colors[i], colors[j]) for i in range(count) for j in range(i)]
    assert min(pairs) > least, "the eye notices differences of 0.01"


DEFICIENCIES = {
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What remains of linear RGB: Machado, Oliveira and Fernandes 2009, severity 1."""


def as_seen(colors_C3: np.ndarray, deficiency: str) -> np.ndarray:
    """The colors as people with this deficiency see them, (C, 3) from 0 to 255."""
    value = colors_C3 / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(DEFICIENCIES[deficiency]).T, 0, 1)
    return 255 * np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize(("count", "least"), [(2, 0.2), (8, 0.065)])
def test_color_blind_people_can_distinguish_the_first_classes(deficiency: str, count: int, least: float) -> None:
    colors = as_seen(palette.class_palette(count), deficiency)
    pairs = [distance(colors[i], colors[j]) for i in range(count) for j in range(i)]
    assert min(pairs) > least


def luminance(colors_C3: np.ndarray) -> np.ndarray:
    """Relative luminance as WCAG 2.2 defines it, (C,)."""
    value = colors_C3 / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    of_colors: np.ndarray = linear @ [0.2126, 0.7152, 0.0722]
    return of_colors


def contrast(ones_A3: np.ndarray, others_B3: np.ndarray) -> np.ndarray:
    """The contrast ratio of WCAG 2.2 of each color with each other color, (A, B)."""
    one_A1, other_1B = luminance(ones_A3)[:, None], luminance(others_B3)[None]
    return (np.maximum(one_A1, other_1B) + 0.05) / (np.minimum(one_A1, other_1B) + 0.05)


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_points_stand_out_from_the_regions_of_all_classes_and_from_their_rims(count: int) -> None:
    points, white, mark = palette.class_palette(count), np.array([png.EDGE]), np.array([png.MARK])
    regions = palette.calm(points)
    assert contrast(points, regions).min() >= 3, "WCAG 2.2, 1.4.11, for graphics"
    assert contrast(points, white).min() >= 4
    assert contrast(mark, regions).min() >= 10
    assert contrast(mark, white).min() >= 15, "the mark is seen without seeing colors"
    own = [distance(point, region) for point, region in zip(points, regions, strict=True)]
    assert min(own) > 0.3


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_points_stand_out_from_every_step_of_the_calm_scales(count: int) -> None:
    points = palette.class_palette(count)
    ends = palette.calm(np.array([*points, palette.DARK, palette.OTHERS], np.uint8))
    for end in ends:
        steps = np.concatenate(
            [palette.opaque_scale(None, end, steps=16), palette.opaque_scale(ends[0], end, steps=16)]
        )
        assert contrast(points, steps).min() >= 3


@pytest.mark.parametrize("count", [2, 3, 12])
def test_neighboring_calm_regions_can_be_distinguished(count: int) -> None:
    regions = palette.calm(palette.class_palette(min(count, 8)))
    pairs = [distance(regions[i], regions[j]) for i in range(len(regions)) for j in range(i)]
    assert min(pairs) > 0.02


def test_points_fade_towards_the_pale_gray() -> None:
    red = palette.class_palette(2)[:1]
    assert (palette.faded(red, 1) == red).all()
    assert palette.faded(red, 0).min() > 235
    from_red = [distance(palette.faded(red, opacity)[0], red[0]) for opacity in (1, 0.75, 0.5, 0.25, 0)]
    assert from_red == sorted(from_red)
    assert np.diff(from_red) == pytest.approx([from_red[-1] / 4] * 4, abs=0.01)


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
