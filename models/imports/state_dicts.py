"""The layers of a network from its state dict: from the names and the shapes of its tensors.

A state dict names no activation, and no order other than the order of its keys. What cannot be told is refused, and the
message names the option to add. `raw_parameters` reads the networks that are written without layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.imports import ordering, raw_parameters
from models.imports.chains import EPS, Affine, Chain, Function, Step, batch_norm
from models.imports.formats.pickles import Placeholder
from models.imports.notes import FILE, Notes, listed, quoted
from models.imports.options import ImportOptions
from models.imports.ordering import Gap
from models.imports.tensors import Weights, checked, is_number, shape_of
from models.limits import MAX_ENSEMBLE
from models.networks.layouts import layout, member_states
from models.specs import Activation, InvalidInput, NetworkKind, NetworkSpec

_NORM = ("running_mean", "running_var", "num_batches_tracked")
_PARAMETERS = ("weight", "bias", *_NORM)

_ADVICE = (
    ("weight_g", "comes from weight_norm: call torch.nn.utils.remove_weight_norm before saving"),
    ("weight_v", "comes from weight_norm: call torch.nn.utils.remove_weight_norm before saving"),
    ("original", "comes from a parametrization: call torch.nn.utils.parametrize.remove_parametrizations before saving"),
    ("weight_u", "comes from spectral_norm: call torch.nn.utils.remove_spectral_norm before saving"),
    ("weight_orig", "comes from pruning: call torch.nn.utils.prune.remove before saving"),
    ("weight_mask", "comes from pruning: call torch.nn.utils.prune.remove before saving"),
    ("weight_ih", "is a weight of a recurrent layer, and only dense (linear) layers are supported"),
    ("weight_hh", "is a weight of a recurrent layer, and only dense (linear) layers are supported"),
    ("in_proj_weight", "is a weight of an attention layer, and only dense (linear) layers are supported"),
    ("lora_", "is a weight of an adapter: merge it into the weights before saving"),
)


@dataclass
class Layer:
    """A dense layer or a BatchNorm layer: its tensors by their names. `path` is the name of the layer."""

    path: str
    tensors: dict[str, Any] = field(default_factory=dict)

    @property
    def is_norm(self) -> bool:
        """Whether it is BatchNorm."""
        return "running_mean" in self.tensors

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of its inputs and outputs."""
        if self.is_norm:
            (size,) = shape_of(self.tensors["running_mean"])
            return size, size
        outputs, inputs = shape_of(self.tensors["weight"])
        return inputs, outputs

    def affine(self, weights: Weights) -> Affine:
        """The layer as an affine map.

        Raises:
            InvalidInput: a tensor is missing or wrong.
        """
        arrays = {
            name: weights.array(self._key(name), value) for name, value in self.tensors.items() if not is_number(value)
        }
        if self.is_norm:
            mean, variance = arrays["running_mean"], arrays["running_var"]
            return batch_norm(self.path, mean, variance, arrays.get("weight"), arrays.get("bias"), EPS)
        weight_OI = arrays["weight"]
        bias_O = arrays.get("bias")
        return Affine(self.path, weight_OI, np.zeros(len(weight_OI)) if bias_O is None else bias_O)

    def check_names(self) -> None:
        """Checks that each tensor has a known name.

        Raises:
            InvalidInput: one has not.
        """
        for name in self.tensors:
            if name not in _PARAMETERS:
                raise InvalidInput(FILE, f"{quoted(self._key(name))} {_advice(name)}")

    def check(self) -> None:
        """Checks that the layer is one of the two kinds, from the names and shapes of its tensors.

        Raises:
            InvalidInput: it is not.
        """
        shapes = {
            name: tuple(checked(self._key(name), value).shape)
            for name, value in self.tensors.items()
            if not is_number(value)
        }
        if self.is_norm:
            if "running_var" not in shapes:
                raise InvalidInput(FILE, f"must have {quoted(self._key('running_var'))} beside the running mean")
            size = shapes["running_mean"]
            for name, shape in shapes.items():
                if len(size) != 1 or shape != size:
                    raise InvalidInput(FILE, f"{quoted(self._key(name))} must have one value for each channel, {size}")
            return
        if "weight" not in shapes:
            raise InvalidInput(FILE, f"must have {quoted(self._key('weight'))} beside {listed(map(self._key, shapes))}")
        weight = shapes["weight"]
        if len(weight) != 2:
            raise InvalidInput(
                FILE,
                f"{quoted(self._key('weight'))} has the shape {weight}, as in LayerNorm, PReLU or another layer "
                "without running statistics: only dense (linear) layers and BatchNorm1d are supported",
            )
        if "bias" in shapes and shapes["bias"] != weight[:1]:
            raise InvalidInput(
                FILE, f"{quoted(self._key('bias'))} must have the shape {weight[:1]}, not {shapes['bias']}"
            )

    def _key(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def chain_of(state: Mapping[str, Any], options: ImportOptions, notes: Notes, *, is_ordered: bool) -> Chain:
    """The layers of a state dict.

    Args:
        state: tensors by key, and values of other kinds, which are left out and noted.
        options: what the client says.
        notes: gets what was understood.
        is_ordered: whether the keys are in the order of the layers, as torch writes it.

    Raises:
        InvalidInput: a key is too many, missing or wrong, or an option is needed.
    """
    weights = Weights(notes)
    tensors = _without_prefix(_tensors(state, notes), notes)
    chain = raw_parameters.chain_of(tensors, options, weights, notes)
    if chain is None:
        chain = _chain_of_layers(_layers(tensors), tensors, options, weights, notes, is_ordered=is_ordered)
    weights.report()
    return chain


def members(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The state dict of each network of an ensemble of this project; the given one if it holds a single network.

    Those of an ensemble have nothing but keys such as `members.0.layer1.weight`, and the same ones in each network.
    A layer by itself, such as `members.0.weight`, is one of the layers of a single network.

    Raises:
        InvalidInput: there are more networks than an ensemble may have.
    """
    if not all(isinstance(key, str) for key in state):
        return [state]
    found = member_states(state)
    keys = found[0].keys()
    is_whole = sum(map(len, found)) == len(state) and all(one.keys() == keys for one in found)
    if len(found) == 1 or not is_whole or keys <= {*_PARAMETERS}:
        return [state]
    if len(found) > MAX_ENSEMBLE:
        raise InvalidInput(FILE, f"must have at most {MAX_ENSEMBLE} networks in an ensemble, but has {len(found)}")
    return [*found]


def _chain_of_layers(
    layers: Sequence[Layer],
    tensors: Mapping[str, Any],
    options: ImportOptions,
    weights: Weights,
    notes: Notes,
    *,
    is_ordered: bool,
) -> Chain:
    skip, stack = _residual(layers, options)
    ordered = ordering.ordered(stack, is_ordered=is_ordered)
    for layer in ordered:
        if not layer.is_norm and "bias" not in layer.tensors:
            notes.understood.append(f"The layer {quoted(layer.path)} has no bias; it gets 0.")
    steps = _steps(ordered, options, weights, notes)
    kind = _kind_of_keys(tensors, ordered) if skip is None else "residual"
    return Chain(tuple(steps), skip.affine(weights) if skip else None, kind)


def _tensors(state: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    """The tensors of a state dict, without the other values beside them."""
    tensors: dict[str, Any] = {}
    left_out = []
    for key, value in state.items():
        if not isinstance(key, str):
            raise InvalidInput(FILE, f"must have strings as keys, not {quoted(key)}")
        if is_number(value) and not key.endswith(_NORM):
            left_out.append(key)
        elif shape_of(value) or is_number(value) or _looks_like_weights(value):
            tensors[key] = value
        else:
            left_out.append(key)
    if left_out:
        notes.understood.append(f"Left out, because they are not weights: {listed(left_out)}.")
    if not tensors:
        raise InvalidInput(FILE, f"has no tensors with values, only {listed(state)}")
    return tensors


def _looks_like_weights(value: object) -> bool:
    """Whether a value that is not a tensor may represent one, so that it must not be left out."""
    if isinstance(value, Placeholder):
        return "ndarray" in value.class_name or "_reconstruct" in value.class_name or "torch" in value.class_name
    return isinstance(value, list | tuple) and bool(value)


def _without_prefix(tensors: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """The tensors without what the names of all layers begin with, such as `module.` or `_orig_mod.model.`."""
    removed = ""
    while True:
        firsts = {key.partition(".")[0] for key in tensors}
        layers = {key.rpartition(".")[0] for key in tensors}
        if len(firsts) > 1 or "" in layers:
            break
        (first,) = firsts
        if set(tensors) <= {f"{first}.{name}" for name in _PARAMETERS}:  # the name of the only layer
            break
        removed += f"{first}."
        tensors = {key.partition(".")[2]: value for key, value in tensors.items()}
    if removed:
        notes.understood.append(f"The prefix {quoted(removed)}, common to all keys, is taken off.")
    return tensors


def _layers(tensors: Mapping[str, Any]) -> list[Layer]:
    """The layers in the order of their first keys."""
    layers: dict[str, Layer] = {}
    for key, value in tensors.items():
        path, _, name = key.rpartition(".")
        layers.setdefault(path, Layer(path)).tensors[name] = value
    for layer in layers.values():
        layer.check_names()
    for layer in layers.values():
        layer.check()
    return [*layers.values()]


def _residual(layers: Sequence[Layer], options: ImportOptions) -> tuple[Layer | None, Sequence[Layer]]:
    """The layer beside the others, and the others, if the names and shapes fit a residual network."""
    skips = [layer for layer in layers if "." not in layer.path and not layer.is_norm]
    branches = {layer.path.partition(".")[0] for layer in layers if "." in layer.path}
    if len(skips) != 1 or len(branches) != 1 or len(layers) < 2:
        if options.kind == "residual":
            raise InvalidInput("kind", "must not be residual: the keys do not fit one skip connection and one branch")
        return None, layers
    (skip,) = skips
    stack = [layer for layer in layers if layer is not skip]
    is_named = skip.path == "layer1" and branches == {"layer2"}
    if options.kind is None and not is_named:
        return None, layers
    if options.kind not in (None, "residual"):
        return None, layers
    dense = [layer for layer in stack if not layer.is_norm]
    fits = skip.sizes == (dense[0].sizes[0], dense[-1].sizes[1])
    if options.kind is None:
        follows = skip.sizes[1] == dense[0].sizes[0]
        if fits and follows:
            raise InvalidInput(
                "kind",
                f"must be given, residual or sequential: {quoted(skip.path)} may be the first layer or "
                "a skip connection",
            )
        if not fits:
            return None, layers
    return skip, stack


def _steps(layers: Sequence[Layer], options: ImportOptions, weights: Weights, notes: Notes) -> list[Step]:
    """The layers in their order, with an activation after each hidden one."""
    gaps = ordering.gaps([layer.path for layer in layers])
    dense = [i for i, layer in enumerate(layers) if not layer.is_norm]
    norms = [layer.path for layer in layers if layer.is_norm]
    if not dense:
        raise InvalidInput(FILE, "must have at least one dense (linear) layer, but has only BatchNorm")
    steps: list[Step] = [layer.affine(weights) for layer in layers[: dense[0]]]
    activated = []
    for start, end in zip(dense, [*dense[1:], len(layers)], strict=True):
        part = layers[start:end]
        place = None if end == len(layers) else _activation_place(part, gaps[start:end], layers[end], options)
        for k, layer in enumerate(part):
            steps.append(layer.affine(weights))
            if k == place:
                steps.append(Function(layer.path, _activation(options)))
                activated.append(layer.path)
    _report(len(dense), activated, norms, options, notes)
    return steps


def _activation_place(
    part: Sequence[Layer], gaps: Sequence[Gap], following: Layer, options: ImportOptions
) -> int | None:
    """After which layer of a part the activation stands. A part is a dense layer and the BatchNorm layers after it.

    None if there is no activation: where other layers of the file are separated by a gap in their numbers, and these
    are not.
    """
    possible = [k for k, gap in enumerate(gaps) if gap != "none"]
    if len(possible) > 1 and options.batch_norm is not None:
        possible = [possible[-1] if options.batch_norm == "before" else possible[0]]
    if len(possible) > 1:
        raise InvalidInput(
            "batch_norm",
            f"must be given, before or after: the names of layers do not say whether the activation between "
            f"{quoted(part[0].path)} and {quoted(following.path)} stands before or after BatchNorm",
        )
    return possible[0] if possible else None


def _activation(options: ImportOptions) -> Activation:
    if options.activation is None:
        raise InvalidInput(
            "activation",
            "must be given, such as tanh or relu: a state dict does not contain the hidden activation",
        )
    return options.activation


def _report(dense: int, activated: Sequence[str], norms: Sequence[str], options: ImportOptions, notes: Notes) -> None:
    count = "1 dense layer" if dense == 1 else f"{dense} dense layers"
    after = f", with {options.activation} after {listed(activated)}, as you say" if activated else ""
    notes.understood.append(f"The file has {count}{after}.")
    if dense > 1 and len(activated) < dense - 1:
        notes.warnings.append(
            "Layers whose numbers follow each other directly are read without an activation between them, as in "
            "nn.Sequential."
        )
    if norms:
        notes.understood.append(f"BatchNorm ({listed(norms)}) is part of the layers beside it, as in evaluation mode.")
        notes.warnings.append(f"A state dict does not have the eps of BatchNorm; torch's default, {EPS:g}, is assumed.")


def _kind_of_keys(tensors: Mapping[str, Any], layers: Sequence[Layer]) -> NetworkKind | None:
    """The kind of this project that has the same keys."""
    sizes = [layer.sizes for layer in layers]
    for kind in ("sequential", "module"):
        spec = NetworkSpec(kind=kind, hidden=(1,) * (len(sizes) - 1)) if len(sizes) <= 17 else None
        if spec is not None and set(layout(spec, 1, 2).shapes) == set(tensors):
            return kind
    return None


def _advice(name: str) -> str:
    for part, advice in _ADVICE:
        if name.startswith(part):
            return advice
    return "is unknown: only the weights and biases of dense (linear) layers and BatchNorm1d are supported"
