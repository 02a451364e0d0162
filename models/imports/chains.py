"""Chains: the layers of a foreign network as affine maps and activations, and the same network as one of this project.

Affine maps that follow each other without an activation are one affine map. So BatchNorm in evaluation mode, the scale
of the inputs, and linear layers in a row all disappear in the layers beside them. This is done in float64.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from models.datasets import DoubleArray, FloatArray
from models.imports.notes import FILE, Notes, quoted
from models.imports.options import ImportOptions
from models.limits import MAX_CLASSES, MAX_FEATURES, MAX_HIDDEN_LAYERS, MAX_WIDTH
from models.networks import terms
from models.networks.layouts import LayerLayout, joined_state, layout
from models.specs import Activation, InvalidInput, NetworkKind, NetworkSpec

EPS = 1e-5
"""What torch adds to the variance of BatchNorm by default. A state dict does not have it."""

FAR = 1_000.0
"""An offset of more than this many divisors is subtracted in float64, because float32 cannot represent it well in a
bias."""


@dataclass(frozen=True)
class Affine:
    """`weight_OI @ x + bias_O`, float64.

    Attributes:
        name: of the layer in the file.
        is_scale: whether it scales each value by itself, so its weight is diagonal.
    """

    name: str
    weight_OI: DoubleArray
    bias_O: DoubleArray
    is_scale: bool = False

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return int(self.weight_OI.shape[1])

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return int(self.weight_OI.shape[0])

    def after(self, first: "Affine") -> "Affine":
        """The affine map that applies `first` and then this one."""
        with np.errstate(over="ignore", invalid="ignore"):  # checked when the weights are rounded
            weight_OI = self.weight_OI @ first.weight_OI
            bias_O = self.weight_OI @ first.bias_O + self.bias_O
        return Affine(f"{first.name}, {self.name}", weight_OI, bias_O)


@dataclass(frozen=True)
class Function:
    """An activation, applied to each value. `name` is the name of the layer in the file, or of the layer before."""

    name: str
    activation: Activation


Step = Affine | Function


@dataclass(frozen=True)
class Chain:
    """The layers of a network in their order.

    Attributes:
        steps: at least one affine map.
        skip: a linear layer from the inputs, whose outputs are added to the outputs of the last step.
        kind: the kind of this project with the same names of layers, if there is one.
    """

    steps: tuple[Step, ...]
    skip: Affine | None = None
    kind: NetworkKind | None = None


@dataclass(frozen=True)
class Network:
    """A network of this project, or an ensemble of several.

    Attributes:
        spec: its architecture; in an ensemble, the architecture of each network.
        features: number of coordinates of a point.
        n_classes: number of classes.
        state: its state dict, float32.
        offset: what is subtracted from each coordinate in float64; empty if nothing.
        divisor: what each coordinate is then divided by; only with derived inputs, else empty.
        networks: how many there are; more than 1 for an ensemble.
    """

    spec: NetworkSpec
    features: int
    n_classes: int
    state: dict[str, FloatArray]
    offset: tuple[float, ...]
    divisor: tuple[float, ...]
    networks: int = 1


def ensemble_of(networks: Sequence[Network]) -> Network:
    """The ensemble of several networks.

    Raises:
        InvalidInput: their layers differ, or what they subtract and divide by.
    """
    first = networks[0]
    if len({(one.spec, one.features, one.n_classes, one.offset, one.divisor) for one in networks}) > 1:
        raise InvalidInput(FILE, "must have the same layers and the same offset in each network of the ensemble")
    return replace(first, state=joined_state([one.state for one in networks]), networks=len(networks))


def batch_norm(
    name: str,
    mean_I: DoubleArray,
    variance_I: DoubleArray,
    weight_I: DoubleArray | None,
    bias_I: DoubleArray | None,
    eps: float,
) -> Affine:
    """BatchNorm in evaluation mode: `(x - mean) / sqrt(variance + eps) * weight + bias`.

    Raises:
        InvalidInput: a variance is negative.
    """
    if not (variance_I + eps > 0).all():
        raise InvalidInput(FILE, f"{quoted(name)} must have positive variances")
    factor_I = (1.0 if weight_I is None else weight_I) / np.sqrt(variance_I + eps)
    return Affine(name, np.diag(factor_I), (0.0 if bias_I is None else bias_I) - mean_I * factor_I, is_scale=True)


def network_of(chain: Chain, options: ImportOptions, notes: Notes) -> Network:
    """The network of this project that computes what a chain does, for points in the units of the client.

    Raises:
        InvalidInput: no such network exists, it is larger than allowed, or the options contradict the chain.
    """
    _check_sizes(chain)
    inputs = chain.steps[0].inputs if isinstance(chain.steps[0], Affine) else 0
    if options.inputs is None:
        features = inputs
        steps, skip, offset = _in_data_units(chain, options, notes)
        divisor: tuple[float, ...] = ()
    else:
        steps, skip = chain.steps, chain.skip
        features, offset, divisor = _derived_scale(options, inputs)
    layers, activation = _layers(steps)
    layers, skip = _one_logit_of_two(layers, skip, notes)
    _check_bounds(features, layers)
    spec = NetworkSpec(
        kind=_kind(chain, options, len(layers) - 1),
        hidden=tuple(layer.outputs for layer in layers[:-1]),
        activation=activation or "tanh",
        inputs=options.inputs,
    )
    n_classes = max(2, layers[-1].outputs)
    where = layout(spec, features, n_classes)
    state = _state(where.stack, layers) | (_state([where.skip], [skip]) if where.skip and skip else {})
    return Network(spec, features, n_classes, {key: state[key] for key in where.shapes}, offset, divisor)


def _check_sizes(chain: Chain) -> None:
    """Checks that each layer takes as many values as the one before it returns."""
    affine = [step for step in chain.steps if isinstance(step, Affine)]
    if not affine:
        raise InvalidInput(FILE, "must have at least one dense (linear) layer")
    if isinstance(chain.steps[0], Function):
        raise InvalidInput(FILE, f"{quoted(chain.steps[0].name)} must not come before the first dense layer")
    for above, below in pairwise(affine):
        if above.outputs != below.inputs:
            raise InvalidInput(
                FILE,
                f"{quoted(below.name)} takes {below.inputs:,} values, "
                f"but the layer before it, {quoted(above.name)}, returns {above.outputs:,}",
            )
    skip = chain.skip
    if skip and (skip.inputs, skip.outputs) != (affine[0].inputs, affine[-1].outputs):
        raise InvalidInput(
            FILE,
            f"{quoted(skip.name)} must have as many inputs and outputs as the layers beside it, "
            f"{affine[0].inputs:,} and {affine[-1].outputs:,}",
        )


def _in_data_units(
    chain: Chain, options: ImportOptions, notes: Notes
) -> tuple[Sequence[Step], Affine | None, tuple[float, ...]]:
    """The steps and the skip connection for points in data units, without the offset that is subtracted in float64."""
    steps, skip = [*chain.steps], chain.skip
    first = steps[0]
    assert isinstance(first, Affine), "checked"
    scale = _given_scale(options, first.inputs)
    if scale is not None:
        rest, offset = _without_offset(scale)
        return [rest, *steps], skip and skip.after(rest), offset
    if skip is not None:
        return steps, skip, ()
    rest, offset = _without_offset(first)
    if offset:
        notes.understood.append(f"The offset of {quoted(first.name)} is subtracted in double precision.")
    return [rest, *steps[1:]], None, offset


def _given_scale(options: ImportOptions, features: int) -> Affine | None:
    if options.offset is None and options.divisor is None:
        return None
    offset_D, divisor_D = _scale(options, features)
    return Affine("scale", np.diag(1 / divisor_D), -offset_D / divisor_D, is_scale=True)


def _scale(options: ImportOptions, features: int) -> tuple[DoubleArray, DoubleArray]:
    """The offset and the divisor that the client gives, by default 0 and 1."""
    offset, divisor = options.offset or (0.0,) * features, options.divisor or (1.0,) * features
    for name, values in (("offset", offset), ("divisor", divisor)):
        if len(values) != features:
            raise InvalidInput(name, f"must have {features:,} values, one for each feature, not {len(values):,}")
    return np.array(offset), np.array(divisor)


def _derived_scale(options: ImportOptions, inputs: int) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """The number of features, the offset and the divisor of a network with derived inputs."""
    known = options.offset or options.divisor or options.feature_names or options.data_min
    if known is None:
        raise InvalidInput("inputs", "needs to know the number of features: give feature_names, or offset and divisor")
    features = len(known)
    offset_D, divisor_D = _scale(options, features)
    assert options.inputs is not None
    derived = len(terms.parse(options.inputs, features, options.feature_names))
    if derived != inputs:
        raise InvalidInput(
            "inputs", f"must expand to {inputs:,} terms, as many as the first layer takes, not {derived:,}"
        )
    return features, tuple(offset_D.tolist()), tuple(divisor_D.tolist())


def _without_offset(first: Affine) -> tuple[Affine, tuple[float, ...]]:
    """The first map without the part of its offset that float32 cannot represent well, and that part."""
    factor_I = np.diagonal(first.weight_OI)
    if not first.is_scale:
        return first, ()
    is_far_I = (np.abs(first.bias_O) > FAR) & (factor_I != 0)
    if not is_far_I.any():
        return first, ()
    offset_I = np.where(is_far_I, -first.bias_O / np.where(factor_I == 0, 1.0, factor_I), 0.0)
    return Affine(first.name, first.weight_OI, first.bias_O + factor_I * offset_I), tuple(offset_I.tolist())


def _layers(steps: Iterable[Step]) -> tuple[list[Affine], Activation | None]:
    """The dense layers, with affine maps that follow each other combined, and the activation between them."""
    layers: list[Affine] = []
    function: Function | None = None  # after the last layer
    activation: Activation | None = None
    for step in steps:
        if isinstance(step, Function):
            if function is not None:
                raise InvalidInput(FILE, f"{quoted(step.name)} must not follow another activation")
            function = step
            if activation not in (None, step.activation):
                raise InvalidInput(
                    FILE,
                    f"{quoted(step.name)} is {step.activation}, but a layer before it has {activation}: all hidden "
                    "layers must have the same activation",
                )
            activation = step.activation
        elif layers and function is None:
            layers[-1] = step.after(layers[-1])
        else:
            layers.append(step)
            function = None
    if function is not None:
        raise InvalidInput(
            FILE,
            f"must return logits, but {quoted(function.name)} applies {function.activation} to its last layer",
        )
    return layers, activation


def _one_logit_of_two(
    layers: Sequence[Affine], skip: Affine | None, notes: Notes
) -> tuple[list[Affine], Affine | None]:
    """The layers with one logit in place of two: for two classes, the difference decides alone."""
    *hidden, last = layers
    if last.outputs != 2:
        return [*layers], skip
    notes.understood.append(
        "The two logits of two classes become one, their difference: the probabilities are the same."
    )
    difference = Affine("difference", np.array([[-1.0, 1.0]]), np.zeros(1))
    return [*hidden, replace(difference.after(last), name=last.name)], skip and difference.after(skip)


def _check_bounds(features: int, layers: Sequence[Affine]) -> None:
    if features > MAX_FEATURES:
        raise InvalidInput(FILE, f"must have at most {MAX_FEATURES:,} features, but has {features:,}")
    if layers[-1].outputs > MAX_CLASSES:
        raise InvalidInput(FILE, f"must have at most {MAX_CLASSES:,} classes, but has {layers[-1].outputs:,}")
    if len(layers) - 1 > MAX_HIDDEN_LAYERS:
        raise InvalidInput(FILE, f"must have at most {MAX_HIDDEN_LAYERS} hidden layers, but has {len(layers) - 1}")
    for layer in layers[:-1]:
        if layer.outputs > MAX_WIDTH:
            raise InvalidInput(
                FILE, f"{quoted(layer.name)} must have at most {MAX_WIDTH:,} outputs, not {layer.outputs:,}"
            )


def _kind(chain: Chain, options: ImportOptions, hidden: int) -> NetworkKind:
    if chain.skip is not None:
        return "residual"
    if options.kind == "logistic" and hidden:
        raise InvalidInput("kind", f"must not be logistic: the file has {hidden} hidden layers")
    if options.kind == "two_layer" and hidden != 1:
        raise InvalidInput("kind", f"must not be two_layer: the file has {hidden} hidden layers, not 1")
    if options.kind == "residual":
        raise InvalidInput("kind", "must not be residual: the file has no skip connection")
    return options.kind or chain.kind or "sequential"


def _state(where: Iterable[LayerLayout], layers: Iterable[Affine]) -> dict[str, FloatArray]:
    """Layers as a state dict, rounded to float32."""
    state: dict[str, FloatArray] = {}
    for names, layer in zip(where, layers, strict=True):
        weight = layer.weight_OI.T if names.input_major else layer.weight_OI
        with np.errstate(over="ignore"):  # checked below
            state[names.weight] = np.ascontiguousarray(weight, np.float32)
            state[names.bias] = layer.bias_O.astype(np.float32)
        if not (np.isfinite(state[names.weight]).all() and np.isfinite(state[names.bias]).all()):
            raise InvalidInput(FILE, f"the weights of {quoted(layer.name)} must fit into float32")
    return state
