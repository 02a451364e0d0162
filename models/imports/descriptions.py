"""The description that files of our own exports carry: everything but the weights. See `models.exports.exported`."""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from models import categories
from models.datasets import Array, Categories, FloatArray
from models.imports.chains import Network
from models.imports.notes import FILE
from models.imports.options import ImportOptions
from models.limits import MAX_CLASSES, MAX_ENSEMBLE, MAX_FEATURES
from models.networks.derived import Derived
from models.networks.layouts import Layout, joined_state, layout, prefixes, states_of
from models.networks.plans import plan_of
from models.networks.terms import parse
from models.networks.transforms import IDENTITY, Shift, Transform
from models.specs import InvalidInput, NetworkSpec

FORMAT = "separatrix-network"
KEY = "separatrix"
"""The name of the description in files that have room for metadata."""

_DECIDED = ("kind", "activation", "batch_norm", "entry", "inputs", "offset", "divisor")
"""Options that must not be given, since the file answers them."""

Value = TypeVar("Value")

_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What a damaged description can raise."""


class Described(NamedTuple):
    """The network of a file with a description, and what the description says of points and classes."""

    network: Network
    classes: list[Any]
    feature_names: list[str] | None
    categories: Categories


def parsed(text: str | bytes) -> dict[str, Any]:
    """A description, or a document that contains one.

    Raises:
        InvalidInput: it was not written by Separatrix.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(FILE, "has a description that is not valid JSON: export the model again") from None
    return checked(found)


def checked(found: Any) -> dict[str, Any]:
    """A document, if it was written by Separatrix.

    Raises:
        InvalidInput: it is not.
    """
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InvalidInput(FILE, f"must be JSON weights as this service exports them, with the format '{FORMAT}'")
    if found.get("format_version") != 1:
        raise InvalidInput(FILE, "has a format_version other than 1: it is from a newer release")
    return found


def described(found: dict[str, Any], state: dict[str, Array] | None, options: ImportOptions) -> Described:
    """The network that a description and a state dict are of. None takes the weights from the description itself.

    Raises:
        InvalidInput: the description is damaged, the weights do not fit it, or an option contradicts it.
    """
    for name in _DECIDED:
        if getattr(options, name) is not None:
            raise InvalidInput(name, "must be left out: the file contains it")
    try:
        spec, features, classes, names = _parts(found)
        steps = found["transform"]
        offset, divisor = (_numbers(steps[name], features) for name in ("offset", "divisor"))
        transform: Transform = Shift(offset) if offset else IDENTITY
        if spec.inputs is not None:
            transform = Derived(parse(spec.inputs, features, names), offset, divisor)
        if (spec.inputs is None and divisor) or (
            spec.inputs is not None and not (offset and divisor and min(divisor) > 0)
        ):
            raise ValueError("offset or divisor")
        where, networks = layout(spec, features, len(classes)), _networks(found)
        weights: dict[str, FloatArray] = _state_of_document(found, where, networks) if state is None else state
        for own in states_of(weights, networks):
            plan_of(where, own, transform)
        known = categories.from_json(found["categories"])
        if not all(set(categories.names(*one)) <= set(names or ()) for one in known.items()):
            raise ValueError("categories")
    except InvalidInput as error:
        raise InvalidInput(FILE, f"{error.field}: {error.reason}") from None
    except _DAMAGE as error:
        raise _damaged(error) from None
    network = Network(spec, features, len(classes), weights, offset, divisor, networks)
    return Described(network, classes, names, known)


def _parts(found: dict[str, Any]) -> tuple[NetworkSpec, int, list[Any], list[str] | None]:
    """The architecture, the number of features, the classes and the names of the features.

    Raises:
        InvalidInput: the architecture is out of bounds.
        KeyError, TypeError, ValueError: a part is missing or of another type.
    """
    spec = NetworkSpec(**found["network"])
    features, classes, names = found["n_features"], found["classes"], found["feature_names"]
    texts = [*(names or ()), *(spec.inputs or ())]
    numbers = [features, *spec.widths]
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise TypeError("names or numbers")
    if spec.feature_weights is not None and len(spec.feature_weights) != features:
        raise ValueError("number of feature weights")
    if not 1 <= features <= MAX_FEATURES or not isinstance(classes, list) or not 1 <= len(classes) <= MAX_CLASSES:
        raise ValueError("numbers of features or classes")
    return spec, features, classes, names


def _networks(found: dict[str, Any]) -> int:
    """The number of networks.

    Raises:
        TypeError, ValueError: it is not a number, or out of bounds.
    """
    networks = found.get("n_networks", 1)
    if type(networks) is not int:
        raise TypeError("number of networks")
    if not 1 <= networks <= MAX_ENSEMBLE:
        raise ValueError("number of networks")
    return networks


def _numbers(values: Any, features: int) -> tuple[float, ...]:
    """A number for each feature; empty for None.

    Raises:
        TypeError, ValueError: they are something else.
    """
    numbers = tuple(map(float, values or ()))
    if len(numbers) not in (0, features) or not all(map(math.isfinite, numbers)):
        raise ValueError("numbers")
    return numbers


def weights_among(found: dict[str, Any], constants: Mapping[str, Value]) -> dict[str, Value]:
    """The weights of the described networks among other constants.

    Raises:
        InvalidInput: the description is damaged, or a weight is missing.
    """
    try:
        spec, features, classes, _ = _parts(found)
        shapes = layout(spec, features, len(classes)).shapes
        keys = [prefix + key for prefix in prefixes(_networks(found)) for key in shapes]
        return {key: constants[key] for key in keys}
    except _DAMAGE as error:  # an InvalidInput is a ValueError
        raise _damaged(error) from None


def _damaged(error: Exception) -> InvalidInput:
    kind = type(error).__name__
    return InvalidInput(FILE, f"has a damaged description ({kind}): export the model again")


def _state_of_document(found: dict[str, Any], where: Layout, networks: int) -> dict[str, FloatArray]:
    """The state dict of a document with all weights.

    Raises:
        KeyError, TypeError, ValueError: it is damaged.
    """
    members = found["members"] if networks > 1 else [found]
    return joined_state([_state_of_layers(member, where) for member, _ in zip(members, range(networks), strict=True)])


def _state_of_layers(found: dict[str, Any], where: Layout) -> dict[str, FloatArray]:
    """The state dict of a network with layers, whose weights have the shape (outputs, inputs).

    Raises:
        KeyError, TypeError, ValueError: it is damaged.
    """
    places = [*where.stack, *([where.skip] if where.skip else [])]
    layers = [*found["layers"], *([found["skip"]] if where.skip else [])]
    state: dict[str, FloatArray] = {}
    for place, layer in zip(places, layers, strict=True):
        if place.activation != layer["activation"]:
            raise ValueError("activation")
        weight_OI = np.array(layer["weight"], np.float32)
        state[place.weight] = np.ascontiguousarray(weight_OI.T if place.input_major else weight_OI)
        state[place.bias] = np.array(layer["bias"], np.float32)
    return {key: state[key] for key in where.shapes}
