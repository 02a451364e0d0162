"""Every way to evaluate a plan applies the plan's input transform, exactly once."""

from dataclasses import replace

import numpy as np
import pytest

from models.boundary import slices
from models.boundary.certified.bounds import output_bounds
from models.datasets import DoubleArray, FloatArray
from models.inference import compiled, dispatch, numpy_forward, scalar_codegen
from models.networks.layouts import layout
from models.networks.modules import arrays_of, build
from models.networks.plans import Plan, plan_of
from models.networks.transforms import IDENTITY, Identity
from models.specs import NetworkSpec

POINTS = np.random.default_rng(0).uniform(-3, 3, (200, 2)).astype(np.float32)
X_W, Y_H = np.linspace(-3, 3, 7), np.linspace(-2, 2, 5)


class Halve(Identity):
    """Halves every coordinate, which is exact."""

    def points(self, xy_ND: DoubleArray | FloatArray) -> FloatArray:
        return super().points(xy_ND) / 2

    def axes(self, x_W: DoubleArray, y_H: DoubleArray) -> tuple[FloatArray, FloatArray]:
        return super().axes(x_W / 2, y_H / 2)

    def boxes(self, low_DM: DoubleArray, high_DM: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        return super().boxes(low_DM / 2, high_DM / 2)

    def expressions(self, names: list[str]) -> list[str]:
        return [f"{name} - 0.5 * {name}" for name in names]


@pytest.fixture(params=["sequential", "residual"])
def plan(request: pytest.FixtureRequest) -> Plan:
    spec = NetworkSpec(kind=request.param)
    return plan_of(layout(spec, 2, 2), arrays_of(build(spec, 2, 2, seed=0)))


@pytest.fixture
def halved(plan: Plan) -> Plan:
    return replace(plan, transform=Halve())


def test_a_plan_uses_coordinates_as_they_are_by_default(plan: Plan) -> None:
    assert plan.transform == IDENTITY
    np.testing.assert_array_equal(plan.transform.points(POINTS.astype(np.float64)), POINTS)


def test_the_answers_for_points_are_those_of_transformed_points(plan: Plan, halved: Plan) -> None:
    for answer in (numpy_forward.logits, compiled.probabilities, dispatch.logits, dispatch.probabilities):
        np.testing.assert_array_equal(answer(halved, POINTS), answer(plan, POINTS / 2))
    ours, expected = scalar_codegen.function(halved), scalar_codegen.function(plan)
    assert ours is not None
    assert expected is not None
    assert ours(1.0, -2.0) == expected(0.5, -1.0)


def test_the_answers_on_a_grid_are_those_on_a_transformed_grid(plan: Plan, halved: Plan) -> None:
    for module in (compiled, dispatch):
        np.testing.assert_array_equal(module.outputs(halved, X_W, Y_H), module.outputs(plan, X_W / 2, Y_H / 2))
        for response in ("probability", "logit"):
            np.testing.assert_array_equal(
                module.responses(halved, X_W, Y_H, response=response, class_index=1),
                module.responses(plan, X_W / 2, Y_H / 2, response=response, class_index=1),
            )


def test_bounds_are_those_of_transformed_boxes(plan: Plan, halved: Plan) -> None:
    low_MD = POINTS.astype(np.float64)
    ours, expected = output_bounds(halved, low_MD, low_MD + 0.1), output_bounds(plan, low_MD / 2, (low_MD + 0.1) / 2)
    np.testing.assert_array_equal(ours.centre_OM, expected.centre_OM)
    np.testing.assert_array_equal(ours.radius_OM, expected.radius_OM)


def test_a_plan_cut_off_at_a_hidden_layer_keeps_its_transform(plan: Plan, halved: Plan) -> None:
    np.testing.assert_array_equal(
        numpy_forward.logits(slices.hidden(halved, 0), POINTS), numpy_forward.logits(slices.hidden(plan, 0), POINTS / 2)
    )
