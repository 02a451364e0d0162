"""Reads the Python files that `models.exports.python_file` writes. They are never executed.

The numbers of the layers are cut out first, so Python's parser gets a small text whatever the file holds. In the rest,
only assignments of literals to the names of the export count.
"""

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np

from models.imports import descriptions
from models.imports.notes import FILE
from models.specs import InvalidInput

MAX_PROGRAM_BYTES = 2**20
"""Largest file without its numbers. The program has 10 kB; names of features, classes and text values need the rest."""

_NUMBERS = re.compile(r'"""\n([0-9eE+\-. \n]*)"""')

_CONSTANTS = frozenset(
    [
        "NETWORK",
        "FEATURES",
        "FEATURES_HAVE_NAMES",
        "CLASSES",
        "CATEGORIES",
        "OFFSET",
        "DIVISOR",
        "LAYERS",
        "SKIP",
        "MEMBERS",
    ]
)

_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


def load(path: Path) -> dict[str, Any]:
    """The network of a file as the document that `models.exports.json_weights` writes.

    Raises:
        InvalidInput: it is damaged, or was changed into something other than what an export writes.
    """
    try:
        source = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise _damaged("is not UTF-8") from None
    numbers: list[str] = []
    program = _NUMBERS.sub(lambda found: repr(_keep(numbers, found[1])), source)
    if len(program) > MAX_PROGRAM_BYTES:
        raise _damaged(f"has more than {MAX_PROGRAM_BYTES:,} characters beside its weights")
    try:
        return _document(_constants(program), numbers)
    except _DAMAGE as error:
        raise _damaged(f"lacks something of an export ({type(error).__name__})") from None


def _keep(numbers: list[str], text: str) -> int:
    """Keeps the text of a layer, and returns its place, which stands for it."""
    numbers.append(text)
    return len(numbers) - 1


def _constants(program: str) -> dict[str, Any]:
    """The literals that the program assigns to the names of the export.

    Raises:
        ValueError: it is not Python, or assigns something other than a literal.
    """
    try:
        body = ast.parse(program).body
        found: dict[str, Any] = {}
        for node in body:
            match node:
                case ast.Assign(targets=[ast.Name(name)], value=value) if name in _CONSTANTS:
                    found[name] = ast.literal_eval(value)
                case ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value) if name in _CONSTANTS:
                    found[name] = ast.literal_eval(value)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("not Python") from error
    return found


def _document(found: dict[str, Any], numbers: list[str]) -> dict[str, Any]:
    """The document; see `models.imports.descriptions`.

    Raises:
        KeyError, TypeError, ValueError: a constant is missing or has another form.
    """
    members = found["MEMBERS"] or [(found["LAYERS"], found["SKIP"])]
    networks = [_network(layers, skip, numbers) for layers, skip in members]
    weights = {"members": networks} if found["MEMBERS"] else networks[0]
    return {
        "format": descriptions.FORMAT,
        "format_version": found["NETWORK"].pop("format_version"),
        "n_networks": len(networks),
        "network": found["NETWORK"],
        "n_features": len(found["FEATURES"]),
        "feature_names": found["FEATURES"] if found["FEATURES_HAVE_NAMES"] else None,
        "categories": found["CATEGORIES"] or None,
        "classes": found["CLASSES"],
        "transform": {"offset": found["OFFSET"], "divisor": found["DIVISOR"]},
        **weights,
    }


def _network(layers: list[Any], skip: Any, numbers: list[str]) -> dict[str, Any]:
    read = [{"activation": activation, **_parameters(numbers[place])} for _, activation, place in layers]
    return {"layers": read, "skip": None if skip is None else {"activation": "identity", **_parameters(numbers[skip])}}


def _parameters(text: str) -> dict[str, Any]:
    """The weights (O, I) and biases (O,) of a layer. A line is one output: the weights of its inputs, then its bias."""
    rows_OJ = np.array([np.array(line.split(), np.float64) for line in text.splitlines() if line.strip()])
    if rows_OJ.ndim != 2 or not np.isfinite(rows_OJ).all():
        raise ValueError("numbers")
    return {"weight": rows_OJ[:, :-1].astype(np.float32), "bias": rows_OJ[:, -1].astype(np.float32)}


def _damaged(reason: str) -> InvalidInput:
    return InvalidInput(FILE, f"is a Python file that {reason}: export the model again, or send another format")
