"""Files that carry the description of our own exports: safetensors, JSON and ONNX."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import helper

from models.datasets import Array
from models.imports.options import ImportOptions
from models.imports.reading import read
from models.inference import numpy_forward
from models.networks import terms
from models.networks.derived import Derived
from models.networks.layouts import layout
from models.networks.plans import Plan, plan_of
from models.networks.transforms import IDENTITY, Shift, Transform
from models.specs import InvalidInput, NetworkSpec
from tests.models.imports.files import points, probabilities

FORMATS = ("safetensors", "json", "onnx")


class Source:
    """A network with its plan, and its description as docs/decisions/0028-models-as-files.md has it."""

    def __init__(self, spec: NetworkSpec, *, offset: Any = None, divisor: Any = None, classes: int = 2) -> None:
        generator = np.random.default_rng(0)
        self.layout = layout(spec, 2, classes)
        self.state: dict[str, Array] = {
            key: generator.normal(size=shape).astype(np.float32) for key, shape in self.layout.shapes.items()
        }
        transform: Transform = Shift(tuple(offset)) if offset else IDENTITY
        if spec.inputs:
            transform = Derived(terms.parse(spec.inputs, 2), tuple(offset), tuple(divisor))
        self.plan: Plan = plan_of(self.layout, self.state, transform)
        self.description: dict[str, Any] = {
            "format": "separatrix-network",
            "format_version": 1,
            "network": {**vars(spec), "hidden": list(spec.widths), "inputs": spec.inputs and list(spec.inputs)},
            "n_features": 2,
            "feature_names": ["length", "width"],
            "categories": None,
            "classes": [f"class {k}" for k in range(classes)],
            "transform": {"offset": offset, "divisor": divisor, "terms": None},
        }

    def write(self, kind: str, path: Path) -> Path:
        description = json.dumps(self.description)
        if kind == "safetensors":
            path.write_bytes(safetensors.numpy.save(self.state, {"separatrix": description}))
        if kind == "json":
            path.write_text(json.dumps(self.document))
        if kind == "onnx":
            path.write_bytes(self.model(description).SerializeToString())
        return path

    @property
    def document(self) -> dict[str, Any]:
        layers = [
            {
                "name": where.weight,
                "activation": layer.activation,
                "weight": layer.weight_OI.tolist(),
                "bias": layer.bias_O1[:, 0].tolist(),
            }
            for where, layer in zip(
                [*self.layout.stack, *([self.layout.skip] if self.layout.skip else [])],
                [*self.plan.layers, *([self.plan.skip] if self.plan.skip else [])],
                strict=True,
            )
        ]
        skip = layers.pop() if self.layout.skip else None
        return {**self.description, "layers": layers, "skip": skip}

    def model(self, description: str) -> Any:
        constants = [
            helper.make_tensor(key, onnx.TensorProto.FLOAT, value.shape, value.tobytes(), raw=True)
            for key, value in self.state.items()
        ]
        model = helper.make_model(helper.make_graph([], "net", [], [], constants))
        helper.set_model_props(model, {"separatrix": description})
        return model


SOURCES = {
    "logistic": Source(NetworkSpec(kind="logistic")),
    "two_layer": Source(NetworkSpec(kind="two_layer", activation="relu"), classes=3),
    "sequential": Source(NetworkSpec(hidden=(5, 3)), offset=[1.7e9, 0.0]),
    "module": Source(NetworkSpec(kind="module"), classes=4),
    "residual": Source(NetworkSpec(kind="residual", activation="gelu")),
    "weighted features": Source(NetworkSpec(feature_weights=(0.5, 2.0))),
    "derived inputs": Source(NetworkSpec(inputs=("x", "y", "x*y", "sin x")), offset=[1.0, 2.0], divisor=[0.5, 3.0]),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", SOURCES)
def test_every_kind_of_network_comes_back_to_the_bit(tmp_path: Path, kind: str, name: str) -> None:
    source = SOURCES[name]
    found = read(source.write(kind, tmp_path / "file"), ImportOptions())
    assert found.card.classes == tuple(source.description["classes"])
    assert found.card.feature_names == ("length", "width")
    assert found.card.network.kind == source.description["network"]["kind"]
    for key, value in source.state.items():
        np.testing.assert_array_equal(found.state[key], value)
    xy_ND = points().astype(np.float64) + (source.description["transform"]["offset"] or [0, 0])
    expected = numpy_forward.probabilities(numpy_forward.logits(source.plan, xy_ND))
    np.testing.assert_array_equal(probabilities(found, xy_ND), expected)


def ensemble_document() -> dict[str, Any]:
    document = SOURCES["residual"].document
    weights = {name: document.pop(name) for name in ("layers", "skip")}
    return document | {"n_networks": 2, "members": [weights, copy.deepcopy(weights)]}


def test_a_document_of_an_ensemble_has_the_weights_of_each_network(tmp_path: Path) -> None:
    document = ensemble_document()
    document["members"][1]["skip"]["bias"] = [0.25]
    (tmp_path / "file").write_text(json.dumps(document))
    found = read(tmp_path / "file", ImportOptions())
    assert found.card.networks == 2
    for key, value in SOURCES["residual"].state.items():
        np.testing.assert_array_equal(found.state[f"members.0.{key}"], value)
        second = np.array([0.25], np.float32) if key == "layer1.bias" else value
        np.testing.assert_array_equal(found.state[f"members.1.{key}"], second)


ENSEMBLE_CHANGES: dict[str, tuple[list[Any], Any]] = {
    "too many networks": (["n_networks"], 17),
    "no network": (["n_networks"], 0),
    "a number of networks that is a text": (["n_networks"], "2"),
    "a network too few": (["n_networks"], 3),
    "a network too many": (["members", 2], "append"),
    "networks that are no list": (["members"], 2),
    "a network without layers": (["members", 1], {}),
    "a layer of another shape": (["members", 1, "layers", 0, "bias"], [1.0]),
}


@pytest.mark.parametrize("kind", ENSEMBLE_CHANGES)
def test_a_damaged_document_of_an_ensemble_is_refused(tmp_path: Path, kind: str) -> None:
    document: Any = ensemble_document()
    (*path, last), value = ENSEMBLE_CHANGES[kind]
    part = document
    for step in path:
        part = part[step]
    if value == "append":
        part.append(part[0])
    else:
        part[last] = value
    (tmp_path / "file").write_text(json.dumps(document))
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path / "file", ImportOptions())
    assert refused.value.field == "file"


@pytest.mark.parametrize("extra", ["members.2.w", "w"])
def test_weights_beside_those_of_the_described_networks_are_refused(tmp_path: Path, extra: str) -> None:
    source = SOURCES["logistic"]
    state = {f"members.{i}.{key}": value for i in range(2) for key, value in source.state.items()}
    metadata = {"separatrix": json.dumps(source.description | {"n_networks": 2})}
    (tmp_path / "file").write_bytes(safetensors.numpy.save(state, metadata))
    assert read(tmp_path / "file", ImportOptions()).card.networks == 2
    (tmp_path / "file").write_bytes(safetensors.numpy.save(state | {extra: np.zeros(1, np.float32)}, metadata))
    with pytest.raises(InvalidInput, match="state_dict: must have the keys of 2 networks"):
        read(tmp_path / "file", ImportOptions())


def test_what_the_file_says_itself_must_not_be_given(tmp_path: Path) -> None:
    path = SOURCES["sequential"].write("json", tmp_path / "file")
    for options in (ImportOptions(activation="relu"), ImportOptions(offset=(1.0, 2.0)), ImportOptions(kind="module")):
        with pytest.raises(InvalidInput, match="must be left out: the file contains it"):
            read(path, options)
    renamed = read(path, ImportOptions(classes=(3, 4), feature_names=("a", "b")))
    assert (renamed.card.classes, renamed.card.feature_names) == ((3, 4), ("a", "b"))


CHANGES: dict[str, tuple[list[Any], Any]] = {
    "another format": (["format"], "other"),
    "a later format": (["format_version"], 2),
    "no network": (["network"], None),
    "an unknown activation": (["network", "activation"], "sine"),
    "an activation that is no text": (["network", "activation"], []),
    "widths that are no numbers": (["network", "hidden"], ["5", "3"]),
    "widths that are not whole": (["network", "hidden"], [5.5, 3]),
    "a huge width": (["network", "hidden"], [5, 10**9]),
    "another number of feature weights": (["network", "feature_weights"], [1.0, 2.0, 3.0]),
    "feature weights that are not numbers": (["network", "feature_weights"], ["one", "two"]),
    "a number of features that is a text": (["n_features"], "2"),
    "too many features": (["n_features"], 10**9),
    "classes of two types": (["classes"], ["a", 1]),
    "one class": (["classes"], ["a"]),
    "classes that are lists": (["classes"], [["a"], ["b"]]),
    "no classes": (["classes"], 3),
    "names that are no texts": (["feature_names"], [1, 2]),
    "equal names": (["feature_names"], ["a", "a"]),
    "an offset without its end": (["transform", "offset"], [1.0]),
    "an infinite offset": (["transform", "offset"], [1.0, float("inf")]),
    "a divisor without derived inputs": (["transform", "divisor"], [1.0, 1.0]),
    "no transform": (["transform"], None),
    "categories of other features": (["categories"], {"island": ["Dream"]}),
    "categories that are a list": (["categories"], ["island"]),
    "a layer too few": (["layers"], []),
    "a matrix of another shape": (["layers", 0, "weight"], [[1.0]]),
    "a ragged matrix": (["layers", 0, "weight"], [[1.0], [1.0, 2.0]]),
    "a matrix of texts": (["layers", 0, "weight"], "weights"),
    "a value that is not a number": (["layers", 0, "bias"], [float("nan")] * 5),
    "another activation of a layer": (["layers", 0, "activation"], "relu"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_damaged_document_is_refused(tmp_path: Path, kind: str) -> None:
    document = copy.deepcopy(SOURCES["sequential"].document)
    path, value = CHANGES[kind]
    part = document
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    (tmp_path / "file").write_text(json.dumps(document))
    with pytest.raises(InvalidInput) as refused:
        read(tmp_path / "file", ImportOptions())
    assert refused.value.field == "file"


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "{" * 100_000, '{"a":' * 100_000])
def test_other_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(InvalidInput, match="JSON"):
        read(tmp_path / "file", ImportOptions())


def test_onnx_of_other_programs_or_with_values_in_other_files_is_refused(tmp_path: Path) -> None:
    source = SOURCES["sequential"]
    model = source.model(json.dumps(source.description))
    del model.metadata_props[:]
    (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidInput, match="ONNX of another program"):
        read(tmp_path / "other.onnx", ImportOptions())
    model = source.model(json.dumps(source.description))
    constant = model.graph.initializer[0]
    constant.ClearField("raw_data")
    constant.data_location = onnx.TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="/etc/passwd")
    (tmp_path / "outside.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidInput, match=r"'0\.weight' must have its values in the file"):
        read(tmp_path / "outside.onnx", ImportOptions())
    del model.graph.initializer[:]
    (tmp_path / "without.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InvalidInput, match="damaged description"):
        read(tmp_path / "without.onnx", ImportOptions())
    (tmp_path / "cut.onnx").write_bytes(model.SerializeToString()[:-20])
    with pytest.raises(InvalidInput, match="ONNX"):
        read(tmp_path / "cut.onnx", ImportOptions())


def test_a_described_file_with_weights_of_another_type_or_shape_is_refused(tmp_path: Path) -> None:
    source = SOURCES["sequential"]
    metadata = {"separatrix": json.dumps(source.description)}
    for state in ({**source.state, "0.bias": np.zeros(4, np.float32)}, {**source.state, "5.bias": np.zeros(4)}):
        (tmp_path / "file").write_bytes(safetensors.numpy.save(state, metadata))
        with pytest.raises(InvalidInput, match="state_dict"):
            read(tmp_path / "file", ImportOptions())
