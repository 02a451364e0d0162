"""Every way to evaluate a plan applies the plan's input transform, exactly once."""

from dataclasses import replace

import numpy as np
import pytest

from models.boundary import slices
from models.boundary.certified.bounds import output_bounds
from models.boundary.certified.nearest import nearest
from models.inference import compiled, dispatch, numpy_forward, scalar_codegen
from models.networks.layouts import layout
from models.networks.modules import arrays_of, build
from models.networks.plans import Plan, plan_of
from models.networks.transforms import IDENTITY, Shift
from models.specs import NetworkSpec

POINTS = (np.random.default_rng(0).integers(-3_000, 3_000, (200, 2)) / 1024).astype(np.float32)
"""So coarse that a difference from `OFFSET` is exact in float32."""

X_W, Y_H = np.linspace(-3, 3, 7), np.linspace(-2, 2, 5)


OFFSET = np.array([1.5, -0.25])


@pytest.fixture(params=["sequential", "residual"])
def plan(request: pytest.FixtureRequest) -> Plan:
    spec = NetworkSpec(kind=request.param)
    return plan_of(layout(spec, 2, 2), arrays_of(build(spec, 2, 2, seed=0)))


@pytest.fixture
def shifted(plan: Plan) -> Plan:
    return replace(plan, transform=Shift(tuple(OFFSET)))


def test_a_plan_uses_coordinates_as_they_are_by_default(plan: Plan) -> None:
    assert plan.transform == IDENTITY
    np.testing.assert_array_equal(plan.transform.points(POINTS.astype(np.float64)), POINTS)


def test_the_answers_for_points_are_those_of_transformed_points(plan: Plan, shifted: Plan) -> None:
    for answer in (numpy_forward.logits, compiled.probabilities, dispatch.logits, dispatch.probabilities):
        np.testing.assert_array_equal(answer(shifted, POINTS), answer(plan, POINTS - OFFSET))
    ours, expected = scalar_codegen.function(shifted), scalar_codegen.function(plan)
    assert ours is not None
    assert expected is not None
    assert ours(1.0, -2.0) == expected(-0.5, -1.75)


def test_the_answers_on_a_grid_are_those_on_a_transformed_grid(plan: Plan, shifted: Plan) -> None:
    for module in (compiled, dispatch):
        np.testing.assert_array_equal(
            module.outputs(shifted, X_W, Y_H), module.outputs(plan, X_W - OFFSET[0], Y_H - OFFSET[1])
        )
        for response in ("probability", "logit"):
            np.testing.assert_array_equal(
                module.responses(shifted, X_W, Y_H, response=response, class_index=1),
                module.responses(plan, X_W - OFFSET[0], Y_H - OFFSET[1], response=response, class_index=1),
            )


def test_bounds_are_those_of_transformed_boxes(plan: Plan, shifted: Plan) -> None:
    low_MD = POINTS.astype(np.float64)
    ours, expected = (
        output_bounds(shifted, low_MD, low_MD + 0.1),
        output_bounds(plan, low_MD - OFFSET, low_MD + 0.1 - OFFSET),
    )
    np.testing.assert_array_equal(ours.center_OM, expected.center_OM)
    np.testing.assert_array_equal(ours.radius_OM, expected.radius_OM)


def test_a_plan_cut_off_at_a_hidden_layer_keeps_its_transform(plan: Plan, shifted: Plan) -> None:
    np.testing.assert_array_equal(
        numpy_forward.logits(slices.hidden(shifted, 0), POINTS),
        numpy_forward.logits(slices.hidden(plan, 0), POINTS - OFFSET),
    )


@pytest.mark.parametrize("axes", [(0,), (1,), (1, 0)])
def test_a_slice_has_the_transform_of_its_features(shifted: Plan, axes: tuple[int, ...]) -> None:
    others = [d for d in range(2) if d not in axes]
    sliced = slices.sliced(shifted, axes, POINTS[0, others].tolist())
    whole_N2 = POINTS.copy()
    whole_N2[:, others] = POINTS[0, others]
    expected_N1 = numpy_forward.logits(shifted, whole_N2)
    np.testing.assert_allclose(numpy_forward.logits(sliced, POINTS[:, list(axes)]), expected_N1, atol=1e-5)
    if len(axes) == 1:
        wide = slices.with_unused_feature(sliced)
        np.testing.assert_allclose(
            numpy_forward.logits(wide, np.column_stack([POINTS[:, axes[0]], POINTS[:, 0]])), expected_N1, atol=1e-5
        )


def test_the_nearest_change_is_that_of_transformed_points(plan: Plan, shifted: Plan) -> None:
    points_N2 = POINTS[:20].astype(np.float64)
    ours = nearest(shifted, points_N2, radius=3.0)
    expected = nearest(plan, points_N2 - OFFSET, radius=3.0)
    np.testing.assert_array_equal(ours.distance_N, expected.distance_N)
    np.testing.assert_array_equal(ours.xy_N2, expected.xy_N2 + OFFSET)


def test_an_offset_keeps_the_differences_of_coordinates_that_are_equal_in_float32() -> None:
    offset = 1_700_000_000.0
    xy_N1 = offset + np.array([[0.0], [30.0], [30.25]])
    assert len(np.unique(xy_N1.astype(np.float32))) == 1
    np.testing.assert_array_equal(Shift((offset,)).points(xy_N1), [[0.0], [30.0], [30.25]])
