"""Finds the weights in what a file holds: a state dict, a network, or one of them among other entries."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from models.imports.formats.pickles import Placeholder
from models.imports.notes import FILE, Notes, listed, quoted
from models.limits import MAX_CHECKPOINT_DEPTH, MAX_CHECKPOINT_ENTRIES
from models.specs import InvalidInput

_SAVE = "save the weights with torch.save(net.state_dict(), path)"


@dataclass(frozen=True)
class Found:
    """An object with weights: a state dict or a network. `name` is the path of its entry, or empty."""

    name: str
    value: Mapping[str, Any] | Placeholder


def find(content: Any, wanted: str | None, notes: Notes) -> Found:
    """The state dict or the network in the content of a file.

    Args:
        content: what `pickles.load` returned.
        wanted: the name of the entry that the client asks for.
        notes: gets the name of the entry, and of what is left out.

    Raises:
        InvalidInput: no entry has weights, or several have.
    """
    candidates = [*_candidates(content, dimensions=2)] or [*_candidates(content, dimensions=0)]
    if wanted is not None:
        chosen = [one for one in candidates if one.name == wanted or one.name.rpartition(".")[2] == wanted]
        if not any(one.name for one in candidates):
            raise InvalidInput("entry", "must be left out: the file has no entries with separate weights")
        if len(chosen) != 1:
            raise InvalidInput("entry", f"must be one of {_names(candidates)}")
        candidates = chosen
    if not candidates:
        raise InvalidInput(FILE, _nothing(content))
    if len(candidates) > 1:
        raise InvalidInput("entry", f"must be given, because several entries have weights: {_names(candidates)}")
    (found,) = candidates
    if found.name:
        left_out = [key for key in content if key != found.name.partition(".")[0]] if isinstance(content, dict) else []
        others = f" Left out: {listed(left_out)}." if left_out else ""
        notes.understood.append(f"The weights are those of the entry {quoted(found.name)}.{others}")
    return found


def _names(candidates: list[Found]) -> str:
    return listed(one.name for one in candidates if one.name)


def _candidates(content: Any, *, dimensions: int) -> Iterator[Found]:
    """All state dicts and networks in nested dictionaries, from the outside to the inside.

    A dictionary counts as a state dict if one of its tensors has at least `dimensions` dimensions. Tensors with fewer
    may be counts and means.
    """
    waiting: list[tuple[str, Any, int]] = [("", content, 0)]
    seen: set[int] = set()
    entries = 0
    while waiting:
        name, value, depth = waiting.pop(0)
        if is_network(value):
            yield Found(name, value)
        if not isinstance(value, dict) or id(value) in seen or is_optimizer(value):
            continue
        seen.add(id(value))
        entries += len(value)
        if entries > MAX_CHECKPOINT_ENTRIES or depth > MAX_CHECKPOINT_DEPTH:
            raise InvalidInput(
                FILE,
                f"must have at most {MAX_CHECKPOINT_ENTRIES:,} entries, at most {MAX_CHECKPOINT_DEPTH} deep: {_SAVE}",
            )
        if any(isinstance(one, Tensor) and one.dim() >= dimensions for one in value.values()):
            yield Found(name, value)
            continue
        inner = [(f"{name}.{key}" if name else str(key), one) for key, one in value.items()]
        waiting += [(path, one, depth + 1) for path, one in inner]


def is_network(value: Any) -> bool:
    """Whether a value is a network that was saved as an object."""
    return isinstance(value, Placeholder) and "_modules" in value.attributes


def is_optimizer(value: Mapping[Any, Any]) -> bool:
    """Whether a dictionary is the state of an optimizer, which has tensors as well."""
    return "param_groups" in value


def _nothing(content: Any) -> str:
    """Why a file has no weights."""
    if isinstance(content, Placeholder):
        return f"is an object of the class {quoted(content.class_name)}, not a network: {_SAVE}"
    if isinstance(content, Tensor):
        return f"is a single tensor, without the names of layers: {_SAVE}"
    if isinstance(content, list | tuple):
        return f"is a list, without the names of layers: {_SAVE}"
    if not isinstance(content, dict):
        return f"is a {type(content).__name__}, not weights: {_SAVE}"
    if is_optimizer(content):
        return f"is the state of an optimizer, without the network: {_SAVE}"
    if not content:
        return f"is an empty dictionary: {_SAVE}"
    optimizers = [key for key, value in content.items() if isinstance(value, dict) and is_optimizer(value)]
    if optimizers:
        return f"has the state of an optimizer ({listed(optimizers)}), but no weights of a network: {_SAVE}"
    return f"has no tensors, only the entries {listed(content)}: {_SAVE}"
