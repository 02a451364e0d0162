"""A version as one Python file that needs NumPy alone: `models.exports.standalone` with the values of its networks."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from models.exports.exported import FORMAT_VERSION, Exported, digits
from models.networks.layouts import Layout
from models.networks.plans import Dense, Plan

_PROGRAM = Path(__file__).with_name("standalone.py")


def encode(exported: Exported) -> bytes:
    """The file, UTF-8. Texts of clients appear in it as Python literals only, so that none can become code."""
    source = _PROGRAM.read_text()
    lines = source.splitlines()
    values = _values(exported)
    for node in reversed(ast.parse(source).body):  # from the end, so that the numbers of lines before it stay right
        match node:
            case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)) if name in values:
                lines[node.lineno - 1 : node.end_lineno] = [f"{name} = {values[name]}"]
    return "\n".join(line for line in lines if not line.startswith("# An example")).encode() + b"\n"


def _values(exported: Exported) -> dict[str, str]:
    """The values of the constants of the program, as Python expressions."""
    description = exported.description()
    transform = description["transform"]
    terms = transform["terms"] and [(term["function"], tuple(term["of"])) for term in transform["terms"]]
    networks = [(_layers(exported.layout, member), _skip(member)) for member in exported.members]
    layers, skip = networks[0] if len(networks) == 1 else ("[]", "None")
    members = "".join(f"({own}, {own_skip}),\n" for own, own_skip in networks)
    return {
        "MODEL": repr(exported.model),
        "VERSION": repr(exported.version),
        "NETWORK": _literal({"format_version": FORMAT_VERSION, **description["network"]}),
        "CLASSES": _literal(description["classes"]),
        "FEATURES": _literal(exported.feature_names),
        "FEATURES_HAVE_NAMES": repr(description["feature_names"] is not None),
        "CATEGORIES": _literal(description["categories"] or {}),
        "OFFSET": _literal(transform["offset"]),
        "DIVISOR": _literal(transform["divisor"]),
        "TERMS": _literal(terms),
        "LAYERS": layers,
        "SKIP": skip,
        "MEMBERS": f"[\n{members}]" if len(networks) > 1 else "None",
    }


def _layers(layout: Layout, plan: Plan) -> str:
    layers = [
        f"    ({where.name!r}, {layer.activation!r}, {_parameters(layer)}),\n"
        for where, layer in zip(layout.stack, plan.layers, strict=True)
    ]
    return f"[\n{''.join(layers)}]"


def _skip(plan: Plan) -> str:
    return _parameters(plan.skip) if plan.skip else "None"


def _literal(value: Any) -> str:
    """A list of many items has a line for each."""
    text = repr(list(value) if isinstance(value, tuple) else value)
    if len(text) <= _LINE or not isinstance(value, list | tuple):
        return text
    return "[\n" + "".join(f"    {item!r},\n" for item in value) + "]"


_LINE = 100
"""Characters of a literal that is written on one line."""


def _parameters(layer: Dense) -> str:
    """A layer as text, which Python reads faster and in less memory than lists of numbers. One line for each output."""
    rows = [
        orjson.dumps(digits(row), option=orjson.OPT_SERIALIZE_NUMPY).decode()[1:-1].replace(",", " ")
        for row in np.column_stack([layer.weight_OI, layer.bias_O1])
    ]
    lines = "".join(f"        {row}\n" for row in rows)
    return f'"""\n{lines}    """'
