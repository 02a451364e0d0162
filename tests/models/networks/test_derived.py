"""A network with derived inputs equals the same network on inputs that plain NumPy computes, on every path."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.boundary import embeddings, grids, slices
from models.boundary.certified import quadtree
from models.boundary.certified.bounds import certified_labels, computed_labels, output_bounds
from models.boundary.certified.nearest import nearest
from models.datasets import LabelledPoints, from_rows
from models.inference import compiled, dispatch, numpy_forward, scalar_codegen
from models.networks.derived import Derived
from models.networks.layouts import layout
from models.networks.modules import arrays_of, build
from models.networks.plans import Plan, plan_of
from models.networks.terms import parse
from models.recipes import Recipe
from models.specs import GridSpec, InvalidInput, NetworkSpec, TrainingSpec
from models.training.train import train

SEVEN = ("x", "y", "x^2", "y^2", "x*y", "sin x", "sin y")
EVERY = (*SEVEN, "cos x", "cos y")
MOONS_AT = ((692_000.0, 5_334_000.0), (3.0, 0.5))
"""Offset and divisor of coordinates that float32 cannot tell apart."""


def by_numpy(text: str, s_ND: np.ndarray) -> np.ndarray:
    """A term of scaled coordinates `x1`, `x2`, ..., computed from its text."""
    named = {f"x{d + 1}": column for d, column in enumerate(s_ND.T)} | {"x": s_ND[:, 0], "y": s_ND[:, -1]}
    if text.startswith(("sin ", "cos ")):
        return (np.sin if text[0] == "s" else np.cos)(named[text[4:]])
    first, _, second = text.partition("*")
    if second:
        return named[first] * named[second]
    return named[text.removesuffix("^2")] ** (2 if text.endswith("^2") else 1)


def scaled(plan: Plan, xy_ND: np.ndarray) -> np.ndarray:
    assert isinstance(plan.transform, Derived)
    return (np.asarray(xy_ND, np.float64) - plan.transform.offset) / plan.transform.divisor


def inputs_of(plan: Plan, inputs: tuple[str, ...], xy_ND: np.ndarray) -> np.ndarray:
    return np.column_stack([by_numpy(text, scaled(plan, xy_ND)) for text in inputs]).astype(np.float32)


def plan_for(
    inputs: tuple[str, ...],
    *,
    features: int = 2,
    hidden: tuple[int, ...] = (5,),
    outputs: int = 1,
    skip: bool = False,
    seed: int = 0,
    place: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
) -> tuple[Plan, Plan]:
    """A plan with derived inputs, and the plan of the same network that takes these inputs directly."""
    rng = np.random.default_rng(seed)
    offset, divisor = place or (tuple(rng.normal(0, 3, features)), tuple(rng.uniform(0.3, 3, features)))
    transform = Derived(parse(inputs, features), offset, divisor)
    widths = (len(transform.terms), *hidden, outputs)
    size = sum((i + 1) * o for i, o in itertools.pairwise(widths)) + skip * (widths[0] + 1) * outputs
    activations = ("tanh",) * len(hidden) + ("identity",)
    plain = Plan(widths, activations, skip, rng.normal(0, 1, size).astype(np.float32))
    return replace(plain, transform=transform), plain


def points_near(plan: Plan, count: int, *, spread: float = 2.0, seed: int = 1) -> np.ndarray:
    assert isinstance(plan.transform, Derived)
    s_ND = np.random.default_rng(seed).normal(0, spread, (count, plan.features))
    return s_ND * plan.transform.divisor + plan.transform.offset


def texts_of(features: int) -> list[str]:
    names = [f"x{d + 1}" for d in range(features)]
    pairs = [f"{a}*{b}" for a, b in itertools.combinations(names, 2)]
    return [*names, *(f"{a}^2" for a in names), *pairs, *(f"sin {a}" for a in names), *(f"cos {a}" for a in names)]


@st.composite
def cases(draw: st.DrawFn, *, features: int | None = None) -> tuple[Plan, Plan, tuple[str, ...]]:
    count = draw(st.integers(1, 4)) if features is None else features
    inputs = tuple(draw(st.lists(st.sampled_from(texts_of(count)), min_size=1, max_size=8, unique=True)))
    derived, plain = plan_for(
        inputs,
        features=count,
        hidden=tuple(draw(st.lists(st.integers(1, 6), max_size=2))),
        outputs=draw(st.sampled_from([1, 3])),
        skip=draw(st.booleans()),
        seed=draw(st.integers(0, 2**32 - 1)),
        place=draw(st.sampled_from([None, MOONS_AT])) if count == 2 else None,
    )
    return derived, plain, inputs


@pytest.mark.slow
@settings(max_examples=60)
@given(case=cases())
def test_the_answers_for_points_are_those_of_the_inputs(case: tuple[Plan, Plan, tuple[str, ...]]) -> None:
    derived, plain, inputs = case
    xy_ND = points_near(derived, 50)
    input_NI = inputs_of(derived, inputs, xy_ND)
    assert derived.features == xy_ND.shape[1]
    for answer in (numpy_forward.logits, dispatch.logits, dispatch.probabilities, compiled.probabilities):
        np.testing.assert_allclose(answer(derived, xy_ND), answer(plain, input_NI), rtol=2e-5, atol=2e-6)
    one_by_one = scalar_codegen.function(derived)
    assert (one_by_one is None) == (plain.parameters.size > scalar_codegen.MAX_PARAMETERS)
    if one_by_one:
        expected_NK = numpy_forward.probabilities(numpy_forward.logits(plain, input_NI))
        np.testing.assert_allclose([one_by_one(*xy) for xy in xy_ND.tolist()], expected_NK, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@settings(max_examples=40)
@given(case=cases(), data=st.data())
def test_a_slice_answers_as_the_whole_network_does_on_its_plane_or_line(
    case: tuple[Plan, Plan, tuple[str, ...]], data: st.DataObject
) -> None:
    derived, plain, inputs = case
    order = data.draw(st.permutations(range(derived.features)))
    axes = tuple(order[: data.draw(st.integers(1, min(2, derived.features)))])
    xy_ND = points_near(derived, 30)
    others = [d for d in range(derived.features) if d not in axes]
    xy_ND[:, others] = xy_ND[0, others]
    expected_NO = numpy_forward.logits(plain, inputs_of(derived, inputs, xy_ND))
    sliced = slices.sliced(derived, axes, xy_ND[0, others].tolist())
    assert sliced.features == len(axes)
    assert sliced.inputs <= 9, "fixed coordinates cost nothing"
    np.testing.assert_allclose(numpy_forward.logits(sliced, xy_ND[:, list(axes)]), expected_NO, rtol=1e-4, atol=1e-4)
    if len(axes) == 1:
        unused = slices.with_unused_feature(sliced)
        both_N2 = np.column_stack([xy_ND[:, axes[0]], xy_ND[::-1, 0]])
        np.testing.assert_allclose(numpy_forward.logits(unused, both_N2), expected_NO, rtol=1e-4, atol=1e-4)


WINDOW = GridSpec(x_min=-4.0, x_max=3.0, y_min=-2.0, y_max=5.0, width=23, height=17)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("skip", [False, True])
def test_grids_are_those_of_the_inputs_by_numpy_and_by_the_kernel(outputs: int, skip: bool) -> None:
    derived, plain = plan_for(EVERY, outputs=outputs, skip=skip)
    axes = grids.axes_of(WINDOW)
    assert axes.y_H is not None
    xy_N2 = np.stack(np.meshgrid(axes.x_W, axes.y_H), axis=-1).reshape(-1, 2)
    logit_NO = numpy_forward.logits(plain, inputs_of(derived, EVERY, xy_N2))
    expected_OHW = logit_NO.T.reshape(outputs, 17, 23)
    prob_HWK = numpy_forward.probabilities(logit_NO).reshape(17, 23, -1)
    expected = {
        "probability": prob_HWK[..., 1],
        "logit": expected_OHW[1 % outputs],
        "entropy": numpy_forward.entropy(logit_NO).reshape(17, 23),
        "label": prob_HWK.argmax(axis=2),
    }
    for module in (dispatch, compiled):
        np.testing.assert_allclose(module.outputs(derived, axes.x_W, axes.y_H), expected_OHW, rtol=1e-4, atol=1e-4)
        for response, values_HW in expected.items():
            output_OHW = np.empty((outputs, 17, 23), np.float32)
            ours_HW = module.responses(
                derived, axes.x_W, axes.y_H, response=response, class_index=1, output_OHW=output_OHW
            )
            np.testing.assert_allclose(ours_HW, values_HW, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(output_OHW, expected_OHW, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_last_of_many_points_and_the_last_row_of_a_large_grid_are_those_of_a_small_one() -> None:
    derived, _ = plan_for(EVERY, hidden=(2,))
    x_W, y_H = np.linspace(-4, 3, 1_000), np.linspace(-2, 5, 1_000)
    assert len(EVERY) * x_W.size * y_H.size > compiled.BLOCK_VALUES, "these are several blocks"
    large_OHW, last_OhW = compiled.outputs(derived, x_W, y_H), compiled.outputs(derived, x_W, y_H[-2:])
    np.testing.assert_allclose(large_OHW[:, -2:], last_OhW, rtol=1e-5, atol=1e-5)
    xy_N2 = np.stack(np.meshgrid(x_W, y_H), axis=-1).reshape(-1, 2)
    many_NK, few_NK = compiled.probabilities(derived, xy_N2), compiled.probabilities(derived, xy_N2[-50:])
    np.testing.assert_allclose(many_NK[-50:], few_NK, rtol=1e-5, atol=1e-6)


def test_hidden_units_and_embeddings_are_those_of_the_inputs() -> None:
    derived, plain = plan_for(SEVEN, hidden=(4, 3))
    xy_N2 = points_near(derived, 20)
    for up_to in (lambda plan: slices.hidden(plan, 1), lambda plan: slices.unit(plan, 0, 2)):
        expected_NU = numpy_forward.logits(up_to(plain), inputs_of(derived, SEVEN, xy_N2))
        np.testing.assert_allclose(numpy_forward.logits(up_to(derived), xy_N2), expected_NU, rtol=1e-5, atol=1e-6)
    embedded = embeddings.embed(derived, WINDOW, 1, "first")
    corner = np.array([[WINDOW.x_min, WINDOW.y_min]])
    expected_NU = numpy_forward.logits(slices.hidden(plain, 1), inputs_of(derived, SEVEN, corner))
    np.testing.assert_allclose(embedded.values_HW2[0, 0], expected_NU[0, :2], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@settings(max_examples=100)
@given(
    case=cases(),
    size=st.sampled_from([0.0, 1e-7, 1e-3, 0.1, 1.0, 10.0, 1e6]),
    spread=st.sampled_from([0.01, 1.0, 100.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_outputs_of_a_box_lie_within_its_bounds_and_have_its_certified_label(
    case: tuple[Plan, Plan, tuple[str, ...]], size: float, spread: float, seed: int
) -> None:
    derived, plain, inputs = case
    rng = np.random.default_rng(seed)
    low_MD = points_near(derived, 20, spread=spread, seed=seed)
    assert isinstance(derived.transform, Derived)
    high_MD = low_MD + size * rng.uniform(0, 1, low_MD.shape) * derived.transform.divisor
    share = rng.uniform(-0.4, 1.4, (40, *low_MD.shape)).clip(0, 1)
    xy_SMD = np.clip(low_MD + share * (high_MD - low_MD), low_MD, high_MD)
    xy_ND = xy_SMD.reshape(-1, derived.features)

    bounds = output_bounds(derived, low_MD, high_MD)
    centered_SMD = xy_SMD - np.array(derived.transform.offset)
    t_SDM = (centered_SMD.transpose(0, 2, 1) - bounds.mid_DM) / np.maximum(bounds.half_DM, 1e-300)
    line_SOM = bounds.center_OM + np.einsum("odm,sdm->som", bounds.coef_ODM, t_SDM.clip(-1, 1))
    for logit_NO in (
        numpy_forward.logits(derived, xy_ND),
        numpy_forward.logits(plain, inputs_of(derived, inputs, xy_ND)),
    ):
        error_SOM = np.abs(logit_NO.reshape(*xy_SMD.shape[:2], -1).transpose(0, 2, 1) - line_SOM)
        assert (error_SOM <= bounds.radius_OM * (1 + 1e-9)).all()
    proven_M = certified_labels(derived, low_MD, high_MD)
    label_SM = computed_labels(derived, xy_ND).reshape(xy_SMD.shape[:2])
    assert (label_SM == proven_M)[:, proven_M >= 0].all()


@pytest.mark.parametrize("text", ["x^2", "sin x", "cos x", "x*y"])
def test_the_bounds_of_a_term_hold_on_intervals_of_all_sizes_and_shrink_with_their_square(text: str) -> None:
    # the only output is the term itself
    plan = Plan((1, 1), ("identity",), False, np.float32([1, 0]), Derived(parse((text,), 2), (0.0, 0.0), (1.0, 1.0)))
    rng = np.random.default_rng(5)
    low_M2 = rng.normal(0, 1, (4_000, 2)) * 10 ** rng.uniform(-3, 2, (4_000, 1))
    high_M2 = low_M2 + 10 ** rng.uniform(-4, 2, (4_000, 1))
    bounds = output_bounds(plan, low_M2, high_M2)
    for t in itertools.product(np.linspace(-1, 1, 41), [-1, -0.3, 1] if text == "x*y" else [0]):
        t_21 = np.array(t)[:, None]
        value_M = by_numpy(text, (bounds.mid_DM + t_21 * bounds.half_DM).T)
        line_M = bounds.center_OM[0] + (bounds.coef_ODM[0] * t_21).sum(axis=0)
        assert (np.abs(value_M - line_M) <= bounds.radius_OM[0]).all()
    coarse, fine = (output_bounds(plan, low_M2 - half, low_M2 + half).radius_OM for half in (0.08, 0.04))
    assert np.median(fine / coarse) < 0.3
    if text in ("sin x", "cos x"):
        far = output_bounds(plan, np.array([[-50.0, 0.0]]), np.array([[900.0, 0.0]]))
        assert far.radius_OM[0, 0] < 1.001


@pytest.mark.parametrize("text", ["x^2", "x"])
def test_no_label_is_certified_and_none_computed_where_an_input_overflows_float32(text: str) -> None:
    # a weight so small that the output does not overflow
    plan = Plan(
        (1, 1), ("identity",), False, np.float32([1e-30, 1]), Derived(parse((text,), 2), (0.0, 0.0), (1e-10, 1.0))
    )
    low_MD = np.array([[1e30, 0.0], [np.inf, 0.0], [np.nan, 0.0]])
    assert certified_labels(plan, low_MD, low_MD * 2).tolist() == [-1] * 3
    with pytest.raises(InvalidInput, match="derived inputs overflow"):
        computed_labels(plan, low_MD[:1])
    answer = scalar_codegen.function(plan)
    assert answer is not None
    for value in (1e30, 1e300, float("inf"), float("nan")):
        with pytest.raises(OverflowError):
            answer(value, 0.0)


@pytest.mark.parametrize("place", [None, MOONS_AT])
def test_an_adaptive_grid_has_the_label_of_every_cell(
    place: tuple[tuple[float, ...], tuple[float, ...]] | None,
) -> None:
    derived, _ = plan_for(EVERY, hidden=(6,), outputs=3, seed=3, place=place)
    xy_N2 = points_near(derived, 400)
    edge_22 = xy_N2.min(axis=0), xy_N2.max(axis=0)
    axes = grids.GridAxes(*(np.linspace(low, high, 200) for low, high in zip(*edge_22, strict=True)))
    assert axes.y_H is not None
    found = quadtree.labels(derived, axes)
    expected_HW = dispatch.responses(derived, axes.x_W, axes.y_H, response="label", class_index=0)
    assert (found.values_HW == expected_HW).mean() > 0.9999
    assert 0 < found.evaluated < 0.6 * expected_HW.size, "some labels are certified"


@pytest.mark.slow
@settings(max_examples=25)
@given(case=cases(features=2), seed=st.integers(0, 2**32 - 1), radius=st.sampled_from([0.1, 3.0]))
def test_no_label_changes_below_the_bound_and_the_nearest_point_has_another_label(
    case: tuple[Plan, Plan, tuple[str, ...]], seed: int, radius: float
) -> None:
    derived, _, _ = case
    xy_N2 = points_near(derived, 4, seed=seed)
    found = nearest(derived, xy_N2, radius=radius)
    label_N = computed_labels(derived, xy_N2)
    was_found_N = np.isfinite(found.distance_N)
    found_N2 = found.xy_N2[was_found_N]
    assert (certified_labels(derived, found_N2, found_N2) != label_N[was_found_N]).all()
    away_N = np.hypot(*(found_N2 - xy_N2[was_found_N]).T)
    np.testing.assert_allclose(away_N, found.distance_N[was_found_N], rtol=1e-6, atol=1e-8)
    angle_S = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    ring_S2 = np.column_stack([np.cos(angle_S), np.sin(angle_S)])
    for n, xy_2 in enumerate(xy_N2):
        around_N2 = (xy_2 + found.bound_N[n] * np.linspace(0, 0.999, 60)[:, None, None] * ring_S2).reshape(-1, 2)
        assert (computed_labels(derived, around_N2) == label_N[n]).all()


def test_the_distance_to_a_circle_is_exact() -> None:
    # the logit is the squared distance from (3, -2) in units of 2, minus 1: a circle of radius 2
    derived = Plan(
        (2, 1), ("identity",), False, np.float32([1, 1, -1]), Derived(parse(("squares",), 2), (3.0, -2.0), (2.0, 2.0))
    )
    xy_N2 = np.array([3.0, -2.0]) + np.random.default_rng(0).normal(0, 2, (40, 2))
    found = nearest(derived, xy_N2, radius=20.0)
    expected_N = np.abs(np.hypot(*(xy_N2 - [3.0, -2.0]).T) - 2)
    np.testing.assert_allclose(found.distance_N, expected_N, rtol=3e-4, atol=3e-6)
    assert (found.bound_N <= expected_N + 1e-6).all()
    assert (found.bound_N >= expected_N * (1 - 1e-2) - 1e-5).all()


def xor() -> LabelledPoints:
    xy_N2 = np.random.default_rng(0).uniform(-1, 1, (200, 2)) * [3.0, 0.01] + [5_334_000.0, 7.0]
    s_N2 = xy_N2 - [5_334_000.0, 7.0]
    return from_rows(xy_N2.tolist(), (s_N2[:, 0] * s_N2[:, 1] > 0).astype(int).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["standard", "none"])
@pytest.mark.parametrize("kind", ["logistic", "residual"])
def test_both_implementations_train_on_the_inputs_that_the_finished_network_computes(kind: str, scale: str) -> None:
    points = xor()
    if scale == "none":
        points = from_rows(((points.xy_ND - [5_334_000.0, 7.0]) * [0.3, 90]).tolist(), points.label_N.tolist())
    inputs = ("x", "y", "x*y")
    spec = TrainingSpec(epochs=60, learning_rate=0.5)
    recipe = Recipe(points, NetworkSpec(kind=kind, scale=scale, inputs=inputs), spec)
    losses = []
    for implementation in ("compiled", "torch"):
        net = build(recipe.network, 2, 2, seed=0)
        trained = train(net, recipe.scaling.inputs(points), replace(spec, implementation=implementation))
        assert trained.metrics is not None
        losses.append(trained.metrics.training_loss)
        state = recipe.scaling.in_data_units(recipe.layout, arrays_of(net))
        plan = plan_of(recipe.layout, state, recipe.scaling.transform)
        np.testing.assert_array_equal(plan.transform.points(points.xy_ND), recipe.scaling.inputs(points).xy_ND)
        right_N = dispatch.probabilities(plan, points.xy_ND).argmax(axis=1) == points.label_N
        assert right_N.mean() == pytest.approx(trained.metrics.training_accuracy, abs=0.006)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_scaling_commutes_with_derived_inputs() -> None:
    points = xor()
    xy_N2 = points.xy_ND.astype(np.float64)
    standardised = from_rows(((xy_N2 - xy_N2.mean(axis=0)) / xy_N2.std(axis=0)).tolist(), points.label_N.tolist())
    network = NetworkSpec(kind="logistic", inputs=SEVEN)
    raw = Recipe(points, replace(network, scale="standard"), TrainingSpec()).scaling.inputs(points).xy_ND
    beforehand = Recipe(standardised, network, TrainingSpec()).scaling.inputs(standardised).xy_ND
    np.testing.assert_allclose(raw, beforehand, rtol=1e-5, atol=1e-6)


def test_names_of_features_count_for_the_recipe_only_if_they_decide_its_terms() -> None:
    rows, labels = [[0.0, 1.0], [1.0, 0.0]], [0, 1]

    def digest(names: list[str], *inputs: str) -> str:
        network = NetworkSpec(kind="logistic", inputs=inputs)
        return Recipe(from_rows(rows, labels, names), network, TrainingSpec()).digest

    assert digest(["a", "b"], "x", "y^2") == digest(["c", "d"], "x", "y^2")
    assert digest(["a", "b"], "a", "b^2") != digest(["b", "a"], "a", "b^2")


def test_a_term_that_overflows_for_the_points_is_refused_before_the_training() -> None:
    points = from_rows([[1e25, 0.0], [-1e25, 1.0]], [0, 1])
    with pytest.raises(InvalidInput, match="overflow float32") as refused:
        Recipe(points, NetworkSpec(inputs=("x^2",)), TrainingSpec())
    assert refused.value.field == "network.inputs"
    assert Recipe(points, NetworkSpec(inputs=("x^2",), scale="standard"), TrainingSpec()).weights == 13


@pytest.mark.parametrize("kind", ["logistic", "two_layer", "sequential", "module", "residual"])
def test_layout_and_module_have_as_many_inputs_as_there_are_terms(kind: str) -> None:
    spec = NetworkSpec(kind=kind, inputs=("coordinates", "squares", "sin x3"))
    shapes = layout(spec, 4, 3).shapes
    assert {key: array.shape for key, array in arrays_of(build(spec, 4, 3, seed=0)).items()} == shapes
    assert layout(spec, 4, 3).stack[0].inputs == 9
