"""Reads a network from a file: the entry of this package."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors import safe_open

from models import categories
from models.checkpoints.cards import Card
from models.datasets import FloatArray, Label, check_classes, check_feature_names
from models.imports import chains, descriptions, entries, modules, state_dicts
from models.imports.descriptions import Described
from models.imports.files import FileFormat, file_format
from models.imports.formats import onnx_files, pickles, programs, python_files, torchscript
from models.imports.formats.pickles import Placeholder
from models.imports.notes import FILE, Notes
from models.imports.options import ImportOptions
from models.imports.tensors import checked
from models.limits import MAX_CHECKPOINT_ENTRIES, MAX_COORDINATE, MAX_WEIGHTS
from models.specs import InvalidInput

_OURS = "The file was exported by Separatrix and describes itself."

ASSUMED_DIVISORS = 2.0
"""The assumed range of the data is the offset plus and minus this many divisors, which holds nearly all values."""


@dataclass(frozen=True)
class Imported:
    """A network that was read, as a checkpoint holds it.

    Attributes:
        card: without `software` and `files`.
        state: the state dict, float32.
    """

    card: Card
    state: dict[str, FloatArray]


def read(path: Path, options: ImportOptions) -> Imported:
    """Reads a network from a file.

    Raises:
        InvalidInput: the format is not supported, or its content is wrong; the field is `file`. Or an option is
            missing or wrong; the field is its name.
        OSError: the file cannot be read.
    """
    _check_numbers(options)
    notes = Notes()
    kind = file_format(path)
    described = _READERS[kind](path, options, notes)
    network = described.network
    if sum(array.size for array in network.state.values()) > MAX_WEIGHTS:
        raise InvalidInput(FILE, f"must have at most {MAX_WEIGHTS:,} weights in all")
    if network.networks > 1:
        notes.understood.append(f"It is an ensemble of {network.networks} networks, whose probabilities are averaged.")
    classes = _classes(described, options)
    names = _feature_names(described, options)
    low, high, is_assumed = _range(network.features, network, options, notes)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    imported: dict[str, Any] = {
        "format": kind,
        "digest": digest,
        "size_bytes": path.stat().st_size,
        "understood": notes.understood,
    }
    if network.networks > 1:
        imported["networks"] = network.networks
    if names:
        known = described.categories if names == _names(described) else {}
        imported |= {"feature_names": list(names)} | categories.to_json(known)
    card = Card(
        network=network.spec,
        features=network.features,
        classes=classes,
        training=None,
        data=None,
        data_digest=None,
        low=low,
        high=high,
        recipe=None,
        stop_reason=None,
        epochs=None,
        metrics=None,
        created_at=datetime.now(UTC).isoformat(),
        software={},
        files={},
        implementation=None,
        offset=network.offset,
        divisor=network.divisor,
        warnings=tuple(notes.warnings),
        range_is_assumed=is_assumed,
        imported=imported,
    )
    return Imported(card, network.state)


def _read_torch(path: Path, options: ImportOptions, notes: Notes) -> Described:
    found = entries.find(pickles.load(path), options.entry, notes)
    if isinstance(found.value, Placeholder):
        description = found.value.attributes.get(descriptions.KEY)
        if isinstance(description, str):
            return _of_description(description, modules.state_of(found.value), options, notes)
        chain = modules.chain_of(modules.module_of(found.value), options, notes)
        return _understood(chain, options, notes, "The file has a whole network; its classes were read, not run.")
    return _of_state(found.value, options, notes, is_ordered=True)


def _read_torchscript(path: Path, options: ImportOptions, notes: Notes) -> Described:
    chain = modules.chain_of(torchscript.load(path), options, notes)
    return _understood(chain, options, notes, "The file is TorchScript; its modules were read, not its program run.")


def _read_safetensors(path: Path, options: ImportOptions, notes: Notes) -> Described:
    try:
        with safe_open(path, "pt") as file:  # checks that sizes and offsets fit the file
            metadata, keys = file.metadata() or {}, [*file.keys()]
            if len(keys) > MAX_CHECKPOINT_ENTRIES:
                raise InvalidInput(FILE, f"must have at most {MAX_CHECKPOINT_ENTRIES:,} tensors")
            tensors = {key: file.get_tensor(key) for key in keys}
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(FILE, "is damaged or cut off, or is not safetensors: save or download it again") from None
    if descriptions.KEY in metadata:
        return _of_description(metadata[descriptions.KEY], tensors, options, notes, is_all=True)
    return _of_state(tensors, options, notes, is_ordered=False)


def _read_program(path: Path, options: ImportOptions, notes: Notes) -> Described:
    description, tensors = programs.load(path)
    if description is not None:
        state = {key.removeprefix("network."): tensor for key, tensor in tensors.items()}
        return _of_description(description, state, options, notes)
    notes.understood.append("The file is a program of torch.export; its weights were read, not its program run.")
    return _of_state(tensors, options, notes, is_ordered=True)


def _of_description(
    text: str, tensors: Mapping[str, Any], options: ImportOptions, notes: Notes, *, is_all: bool = False
) -> Described:
    """The network of a description and its tensors, among which may be others unless they are all.

    Raises:
        InvalidInput: the description is damaged, or a tensor is missing or wrong.
    """
    found = descriptions.parsed(text)
    state = dict(tensors) if is_all else descriptions.weights_among(found, tensors)
    arrays = {key: checked(key, tensor).detach().to(torch.float32).numpy() for key, tensor in state.items()}
    notes.understood.append(_OURS)
    return descriptions.described(found, arrays, options)


def _of_state(state: Mapping[str, Any], options: ImportOptions, notes: Notes, *, is_ordered: bool) -> Described:
    """The network of a state dict, or the ensemble if it has the keys of our own ensembles.

    Raises:
        InvalidInput: as `state_dicts.chain_of`, or the networks of the ensemble are too many or differ in shape.
    """
    first, *others = state_dicts.members(state)
    described = _understood(state_dicts.chain_of(first, options, notes, is_ordered=is_ordered), options, notes)
    if not others:
        return described
    chains_of_others = [state_dicts.chain_of(own, options, Notes(), is_ordered=is_ordered) for own in others]
    networks = [chains.network_of(chain, options, Notes()) for chain in chains_of_others]
    return described._replace(network=chains.ensemble_of([described.network, *networks]))


def _understood(chain: chains.Chain, options: ImportOptions, notes: Notes, *first: str) -> Described:
    notes.understood[:0] = first
    network = chains.network_of(chain, options, notes)
    spec = network.spec
    widths = "-".join(map(str, (network.features, *spec.widths, network.n_classes if network.n_classes > 2 else 1)))
    inputs = f", {spec.activation} in its hidden layers" if spec.widths else ""
    notes.understood.append(f"It is read as a {spec.kind} network {widths}{inputs}; its output counts as logits.")
    return Described(network, [*range(network.n_classes)], None, {})


def _read_json(path: Path, options: ImportOptions, notes: Notes) -> Described:
    notes.understood.append(_OURS)
    return descriptions.described(descriptions.parsed(path.read_bytes()), None, options)


def _read_python(path: Path, options: ImportOptions, notes: Notes) -> Described:
    notes.understood.append(_OURS)
    return descriptions.described(descriptions.checked(python_files.load(path)), None, options)


def _read_onnx(path: Path, options: ImportOptions, notes: Notes) -> Described:
    text, constants = onnx_files.load(path)
    found = descriptions.parsed(text)
    notes.understood.append(_OURS)
    return descriptions.described(found, descriptions.weights_among(found, constants), options)


_READERS: dict[FileFormat, Callable[[Path, ImportOptions, Notes], Described]] = {
    "torch": _read_torch,
    "torchscript": _read_torchscript,
    "safetensors": _read_safetensors,
    "json": _read_json,
    "onnx": _read_onnx,
    "torch-export": _read_program,
    "py": _read_python,
}


def _check_numbers(options: ImportOptions) -> None:
    """Checks the numbers that the client gives, without the numbers in the file."""
    for name in ("offset", "divisor", "data_min", "data_max"):
        for value in getattr(options, name) or ():
            if not math.isfinite(value) or abs(value) > MAX_COORDINATE:
                raise InvalidInput(name, f"each must be between -{MAX_COORDINATE} and {MAX_COORDINATE}")
    if options.divisor and min(options.divisor) <= 0:
        raise InvalidInput("divisor", "each must be greater than 0")


def _classes(described: Described, options: ImportOptions) -> tuple[Label, ...]:
    classes = described.classes if options.classes is None else [*options.classes]
    field = FILE if options.classes is None else "classes"
    number = described.network.n_classes
    if len(classes) != number or len(set(map(str, classes))) != number:
        raise InvalidInput(field, f"must be {number} different labels, as many as the network has classes")
    if {type(label) for label in classes} not in ({int}, {str}):
        raise InvalidInput(field, "must be labels that are all integers or all strings")
    check_classes(classes, field=field)
    return tuple(classes)


def _names(described: Described) -> tuple[str, ...] | None:
    return None if described.feature_names is None else tuple(described.feature_names)


def _feature_names(described: Described, options: ImportOptions) -> tuple[str, ...] | None:
    names = _names(described) if options.feature_names is None else options.feature_names
    if names is not None:
        field = FILE if options.feature_names is None else "feature_names"
        try:
            check_feature_names(names, described.network.features, field=field)
        except InvalidInput as error:
            raise InvalidInput(field, error.reason) from None
    return names


def _range(
    features: int, network: chains.Network, options: ImportOptions, notes: Notes
) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """The range of the data that the client gives, or the assumed one, and whether it is assumed."""
    if (options.data_min is None) != (options.data_max is None):
        missing = "data_min" if options.data_min is None else "data_max"
        raise InvalidInput(missing, "is required if the other end of the range is given")
    if options.data_min is not None and options.data_max is not None:
        for name, values in (("data_min", options.data_min), ("data_max", options.data_max)):
            if len(values) != features:
                raise InvalidInput(name, f"must have {features:,} values, one for each feature, not {len(values):,}")
        if any(low > high for low, high in zip(options.data_min, options.data_max, strict=True)):
            raise InvalidInput("data_max", "must be at least data_min, for each feature")
        return options.data_min, options.data_max, False
    offset_D = _values(options.offset or network.offset, features, 0.0)
    width_D = ASSUMED_DIVISORS * _values(options.divisor or network.divisor, features, 1.0)
    has_scale = options.offset or options.divisor or network.offset or network.divisor
    shown = "the offset plus and minus 2 divisors" if has_scale else "-2 to 2"
    notes.warnings.append(f"The range of the data is unknown, so pictures show {shown}; data_min and data_max set it.")
    return tuple((offset_D - width_D).tolist()), tuple((offset_D + width_D).tolist()), True


def _values(given: Sequence[float], features: int, default: float) -> Any:
    return np.array(given) if given else np.full(features, default)
