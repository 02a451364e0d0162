"""The description that files of our own exports carry: everything but the weights. See `models.exports.exported`."""

import json
from typing import Any, NamedTuple

from models.datasets import Array, FloatArray
from models.imports.chains import Network
from models.imports.notes import FILE
from models.imports.options import ImportOptions
from models.limits import MAX_FEATURES
from models.networks.derived import Derived
from models.networks.layouts import layout
from models.networks.plans import plan_of
from models.networks.terms import parse
from models.networks.transforms import IDENTITY, Shift, Transform
from models.specs import InvalidInput, NetworkSpec

FORMAT = "separatrix-network"
KEY = "separatrix"
"""The name of the description in files that have room for metadata."""

_DECIDED = ("kind", "activation", "batch_norm", "entry", "inputs", "offset", "divisor")
"""Options that must not be given, since the file answers them."""


class Described(NamedTuple):
    """The network of a file with a description, and what the description says of points and classes."""

    network: Network
    classes: list[Any]
    feature_names: list[str] | None
    categories: dict[str, list[str]] | None


def parsed(text: str | bytes) -> dict[str, Any]:
    """A description, or a document that contains one.

    Raises:
        InvalidInput: it is not one of ours.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(FILE, "has a description that is not valid JSON: export the model again") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InvalidInput(FILE, f"must be JSON weights as this service exports them, with the format '{FORMAT}'")
    if found.get("format_version") != 1:
        raise InvalidInput(FILE, "has a format_version other than 1: it is of a newer release")
    return found


def described(found: dict[str, Any], state: dict[str, Array], options: ImportOptions) -> Described:
    """The network that a description and a state dict are of.

    Raises:
        InvalidInput: the description is damaged, the weights do not fit it, or an option contradicts it.
    """
    for name in _DECIDED:
        if getattr(options, name) is not None:
            raise InvalidInput(name, "must be left out: the file says it itself")
    try:
        spec = NetworkSpec(**found["network"])
        features, classes, names = found["n_features"], found["classes"], found["feature_names"]
        if not 1 <= features <= MAX_FEATURES or not isinstance(classes, list):
            raise ValueError("numbers of features or classes")
        steps = found["transform"]
        offset, divisor = (tuple(map(float, steps[name] or ())) for name in ("offset", "divisor"))
        transform: Transform = Shift(offset) if offset else IDENTITY
        if spec.inputs is not None:
            transform = Derived(parse(spec.inputs, features, names), offset, divisor)
        if any(values and len(values) != features for values in (offset, divisor)) or not all(
            one > 0 for one in divisor
        ):
            raise ValueError("offset or divisor")
        weights: dict[str, FloatArray] = {key: state[key] for key in state}
        plan_of(layout(spec, features, len(classes)), weights, transform)
    except InvalidInput as error:
        raise InvalidInput(FILE, f"{error.field}: {error.reason}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(
            FILE, f"has a damaged description ({type(error).__name__}): export the model again"
        ) from None
    network = Network(spec, features, len(classes), weights, offset, divisor)
    return Described(network, classes, names, found.get("categories"))
