"""Lines of functions whose lines are known."""

import numpy as np
import pytest

from models.boundary.contours import Line, at_levels, between_classes
from models.boundary.grids import Outputs
from models.specs import InvalidInput


def sampled(*functions: object, resolution: tuple[int, int] = (81, 61)) -> Outputs:
    """Logits over [-2, 2] x [-1.5, 1.5], with one function for each output."""
    x_W, y_H = np.linspace(-2, 2, resolution[0]), np.linspace(-1.5, 1.5, resolution[1])
    x_HW, y_HW = np.meshgrid(x_W, y_H)
    values = [np.broadcast_to(function(x_HW, y_HW), x_HW.shape) for function in functions]  # type: ignore[operator]
    return Outputs(x_W, y_H, np.stack(values).astype(np.float32))


def length(line: Line) -> float:
    return float(np.hypot(*np.diff(line.xy_V2, axis=0).T).sum())


def test_a_circular_boundary_is_one_closed_line() -> None:
    (line,) = between_classes(sampled(lambda x, y: 1 - x * x - y * y))
    assert (line.classes, line.level, line.closed) == ((0, 1), 0.5, True)
    assert (line.xy_V2[0] == line.xy_V2[-1]).all()
    np.testing.assert_allclose(np.hypot(*line.xy_V2.T), 1, atol=1e-3)
    assert length(line) == pytest.approx(2 * np.pi, rel=1e-3)


@pytest.mark.parametrize("class_index", [0, 1])
def test_levels_of_two_classes_are_interpolated_in_log_odds(class_index: int) -> None:
    lines = at_levels(sampled(lambda x, y: 4 * x), class_index, [0.01, 0.6])
    for line, level in zip(lines, [0.01, 0.6], strict=True):
        expected = np.log(level / (1 - level)) / 4 * (1 if class_index else -1)
        np.testing.assert_allclose(line.xy_V2[:, 0], expected, atol=1e-6)
        assert np.ptp(line.xy_V2[:, 1]) == pytest.approx(3)
        assert (line.classes, line.level, line.closed) == ((0, 1), level, False)


def test_a_level_of_one_of_several_classes_is_its_softmax_probability() -> None:
    logits = sampled(lambda x, y: 2 * x, lambda x, y: 2 * y, lambda x, y: -x - y, resolution=(401, 301))
    (line,) = at_levels(logits, 1, [0.7])
    x_V, y_V = line.xy_V2.T
    exp_3V = np.exp([2 * x_V, 2 * y_V, -x_V - y_V])
    np.testing.assert_allclose(exp_3V[1] / exp_3V.sum(axis=0), 0.7, atol=1e-4)
    assert line.classes == (1,)


def test_boundaries_of_linear_logits_are_straight_and_end_where_three_classes_meet() -> None:
    corners = np.array([[0.0, 1.0], [-0.9, -0.5], [0.9, -0.5]])
    lines = between_classes(sampled(*[lambda x, y, c=c: c[0] * x + c[1] * y for c in corners]))
    assert [line.classes for line in lines] == [(0, 1), (0, 2), (1, 2)]
    for line in lines:
        i, j = line.classes
        np.testing.assert_allclose(line.xy_V2 @ (corners[i] - corners[j]), 0, atol=1e-6)
        assert np.hypot(*line.xy_V2.T).min() < 1e-6, "each line ends at the origin"
        assert (line.level, line.closed) == (None, False)


def test_a_ring_is_clipped_where_a_third_class_covers_it() -> None:
    logits = sampled(lambda x, y: 0 * x, lambda x, y: 1 - x * x - y * y, lambda x, y: 8 * x - 4, resolution=(161, 121))
    by_pair = {line.classes: line for line in between_classes(logits)}
    assert set(by_pair) == {(0, 1), (0, 2), (1, 2)}
    ring = by_pair[0, 1]
    assert not ring.closed
    assert ring.xy_V2[:, 0].max() == pytest.approx(0.5, abs=1e-3)
    assert length(ring) == pytest.approx(2 * np.pi * (1 - 1 / 3), rel=1e-3)
    np.testing.assert_allclose(np.hypot(*ring.xy_V2.T), 1, atol=2e-3)


def test_a_class_inside_another_has_a_closed_line() -> None:
    logits = sampled(lambda x, y: 0 * x, lambda x, y: 0.25 - x * x - y * y, lambda x, y: 8 * x - 12)
    lines = between_classes(logits)
    assert [(line.classes, line.closed) for line in lines] == [((0, 1), True), ((0, 2), False)]


def test_a_single_class_has_no_lines() -> None:
    assert between_classes(sampled(lambda x, y: 1 + 0 * x)) == []
    assert between_classes(sampled(lambda x, y: 1 + 0 * x, lambda x, y: 0 * x, lambda x, y: 0 * x)) == []
    assert at_levels(sampled(lambda x, y: 0 * x), 1, [0.5]) == []


@pytest.mark.slow
def test_lines_with_too_many_vertices_are_refused() -> None:
    noise = np.random.default_rng(0).normal(size=(1, 1_000, 1_000)).astype(np.float32)
    axis = np.linspace(0, 1, 1_000)
    with pytest.raises(InvalidInput) as refused:
        between_classes(Outputs(axis, axis, noise))
    assert refused.value.field == "resolution"
