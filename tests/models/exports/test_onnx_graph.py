"""The graph answers in onnxruntime as the service does."""

import json
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from models.datasets import DoubleArray
from models.exports import onnx_graph
from models.specs import InvalidInput
from tests.models.exports.samples import EVERY_SAMPLE, TERMS, UNIX_TIME, sample


def run(content: bytes, xy_ND: DoubleArray) -> tuple[Any, Any]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["labels", "probabilities"], {"points": xy_ND})
    return labels, probabilities


@pytest.mark.parametrize("given", EVERY_SAMPLE.values(), ids=EVERY_SAMPLE.keys())
def test_onnxruntime_answers_as_the_service_does(given: dict[str, Any]) -> None:
    one = sample(**given)
    content = onnx_graph.encode(one.exported)
    onnx.checker.check_model(content, full_check=True)
    labels, probabilities = run(content, one.xy_ND)
    np.testing.assert_allclose(probabilities, one.prob_NK, rtol=0, atol=3e-6)
    assert probabilities.dtype == np.float32
    clear_N = np.abs(np.diff(np.sort(one.prob_NK)[:, -2:]))[:, 0] > 1e-5
    assert clear_N.mean() > 0.9
    assert labels[clear_N].tolist() == [label for label, clear in zip(one.labels, clear_N, strict=True) if clear]


@pytest.mark.parametrize("points", [0, 1, 7])
def test_a_graph_takes_any_number_of_points(points: int) -> None:
    labels, probabilities = run(onnx_graph.encode(sample().exported), np.zeros((points, 2)))
    assert (len(labels), probabilities.shape) == (points, (points, 2))


def test_values_that_are_equal_in_float32_get_different_answers() -> None:
    one = sample("logistic", offset=UNIX_TIME)
    xy_ND = np.add(UNIX_TIME, [[0.0, 0.0], [0.25, 0.0]])
    _, probabilities = run(onnx_graph.encode(one.exported), xy_ND)
    assert np.float32(xy_ND[0, 0]) == np.float32(xy_ND[1, 0])
    assert abs(probabilities[0, 0] - probabilities[1, 0]) > 1e-3


def test_small_probabilities_keep_their_digits() -> None:
    one = sample("logistic")
    (layer,) = one.exported.members[0].layers
    far_N2 = np.linspace(-60, 60, 41)[:, None] * np.sign(layer.weight_OI)
    _, probabilities = run(onnx_graph.encode(one.exported), far_N2)
    logit_N = (far_N2 @ layer.weight_OI[0].astype(float)) + float(layer.bias_O1[0, 0])
    expected_N2 = 1 / (1 + np.exp(np.column_stack([logit_N, -logit_N])))
    inside_N2 = (expected_N2 > 1e-30) & (expected_N2 < 1e-9)
    assert inside_N2.sum() > 5
    np.testing.assert_allclose(probabilities[inside_N2], expected_N2[inside_N2], rtol=1e-4)


@pytest.mark.parametrize("members", [1, 3])
def test_weights_have_the_keys_of_the_state_dict_and_metadata_describe_the_network(members: int) -> None:
    one = sample("two_layer", members=members, inputs=TERMS, offset=(0.0, 0.0), divisor=(1.0, 1.0))
    model = onnx.load_from_string(onnx_graph.encode(one.exported))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for key, array in one.exported.state.items():
        np.testing.assert_array_equal(numpy_helper.to_array(constants[key]), array)
    assert {prop.key: json.loads(prop.value) for prop in model.metadata_props} == {
        "separatrix": one.exported.description()
    }
    assert (model.producer_name, model.model_version) == ("separatrix", 3)


def test_without_the_package_onnx_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InvalidInput, match=r"pip install 'separatrix\[onnx\]'"):
        onnx_graph.encode(sample().exported)
