import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inference.numpy_forward import (
    BLOCK,
    logits,
    predicted,
    probabilities,
)
from models.networks.layouts import layout
from models.networks.modules import build
from models.networks.plans import plan_of
from models.specs import ACTIVATIONS, Activation, InvalidInput, NetworkKind, NetworkSpec


def arrays(network: torch.nn.Module) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in network.state_dict().items()}


@pytest.mark.slow
@settings(max_examples=150)
@given(
    kind=st.sampled_from(["logistic", "two_layer", "sequential", "module", "residual"]),
    hidden=st.lists(st.integers(1, 40), max_size=4),
    activation=st.sampled_from(ACTIVATIONS),
    features=st.integers(1, 7),
    classes=st.integers(2, 5),
    points=st.integers(1, 30),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_plan_gives_the_answers_of_torch(
    kind: NetworkKind,
    hidden: list[int],
    activation: Activation,
    features: int,
    classes: int,
    points: int,
    seed: int,
) -> None:
    widths = {"logistic": (), "two_layer": tuple(hidden[:1] or [4])}.get(kind, tuple(hidden))
    spec = NetworkSpec(kind=kind, hidden=widths, activation=activation)
    network = build(spec, features, classes, seed=seed)
    xy = np.random.default_rng(seed).normal(0, 3, (points, features)).astype(np.float32)

    logit = logits(plan_of(layout(spec, features, classes), arrays(network)), xy)
    with torch.no_grad():
        expected = network(torch.from_numpy(xy))

    np.testing.assert_allclose(logit, expected.numpy(), rtol=1e-5, atol=1e-5)
    likely = torch.sigmoid(expected) if classes == 2 else torch.softmax(expected, dim=1)
    prob = probabilities(logit)
    np.testing.assert_allclose(prob[:, 1:] if classes == 2 else prob, likely.numpy(), atol=1e-6)
    np.testing.assert_allclose(prob.sum(axis=1), 1.0, atol=1e-6)
    assert prob.dtype == np.float32


def test_answers_do_not_depend_on_the_division_into_blocks() -> None:
    spec = NetworkSpec(hidden=(8, 8))
    plan = plan_of(layout(spec, 2, 3), arrays(build(spec, 2, 3, seed=0)))
    xy = np.random.default_rng(0).normal(size=(2 * BLOCK + 17, 2)).astype(np.float32)
    alone = np.concatenate([logits(plan, xy[i : i + 1]) for i in range(0, len(xy), 97)])
    np.testing.assert_allclose(logits(plan, xy)[::97], alone, rtol=1e-5, atol=1e-6)


def test_probabilities_are_exact_far_from_the_boundary() -> None:
    prob = probabilities(np.array([[-60.0], [0.0], [60.0], [-1e38], [1e38]], dtype=np.float32))
    assert prob[0, 1] == pytest.approx(8.756511e-27, rel=1e-5)
    assert prob[2, 0] == pytest.approx(8.756511e-27, rel=1e-5)
    assert prob[1].tolist() == [0.5, 0.5]
    assert prob[3].tolist() == [1.0, 0.0]
    assert prob[4].tolist() == [0.0, 1.0]
    many = probabilities(np.array([[3e38, -3e38, 0.0]], dtype=np.float32))
    assert many.tolist() == [[1.0, 0.0, 0.0]]


def test_the_first_of_equally_probable_classes_is_predicted() -> None:
    assert predicted(probabilities(np.zeros((1, 1), dtype=np.float32))).tolist() == [0]
    assert predicted(probabilities(np.zeros((1, 4), dtype=np.float32))).tolist() == [0]


def test_points_that_overflow_float32_in_the_network_are_refused() -> None:
    spec = NetworkSpec(hidden=(4, 4), activation="identity")
    state = {key: np.full_like(value, 1e6) for key, value in arrays(build(spec, 2, 2, seed=0)).items()}
    with pytest.raises(InvalidInput, match="overflows"):
        logits(plan_of(layout(spec, 2, 2), state), np.full((1, 2), 1e30, dtype=np.float32))


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape", "dtype", "nan"])
def test_a_state_dict_that_does_not_fit_the_network_is_refused(fault: str) -> None:
    spec = NetworkSpec()
    state = arrays(build(spec, 2, 2, seed=0))
    if fault == "missing":
        del state["2.bias"]
    elif fault == "unknown":
        state["3.weight"] = state["2.bias"]
    elif fault == "shape":
        state["0.weight"] = state["0.weight"].T
    elif fault == "dtype":
        state["0.weight"] = state["0.weight"].astype(np.float64)
    else:
        state["0.weight"] = np.full_like(state["0.weight"], np.nan)
    with pytest.raises(InvalidInput, match="state_dict"):
        plan_of(layout(spec, 2, 2), state)
