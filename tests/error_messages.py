"""Every message that the service's code can show to a client: `python -m tests.error_messages` prints `docs/errors.md`.

The messages are read from the source, with `…` in place of what differs from request to request.
"""

import ast
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from service import errors
from service.errors import ServiceError, WrongState
from service.http.messages import PARSER_LIMITS, RULES
from service.http.patterns import PATTERN_RULES
from service.http.problems import ALL_TYPES

ROOT = Path(__file__).parent.parent
FOLDERS = (
    "service/api",
    "service/http",
    "service/imports",
    "service/inference",
    "service/jobs",
    "service/live",
    "service/processes",
    "service/registry",
)
FOLDERS += ("service/datasets", "service/render", "service/store", "service/tables", "models")
Function = ast.FunctionDef | ast.AsyncFunctionDef
FIELD_ERRORS = ("InvalidInput", "InvalidParameter")
KINDS: dict[str, type[ServiceError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and kind is not ServiceError
}


class Messages(NamedTuple):
    """What clients can be told.

    Attributes:
        details: code of a problem and its `detail`.
        fields: name of a field and what is wrong with it.
        general: what can be wrong with any field.
    """

    details: set[tuple[str, str]]
    fields: set[tuple[str, str]]
    general: set[str]


def all_messages() -> Messages:
    """The messages of the code, read from its source."""
    details: set[tuple[str, str]] = set()
    fields: set[tuple[str, str]] = set()
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    files += [ROOT / "service/errors.py", ROOT / "service/records.py"]
    trees = {".".join(file.relative_to(ROOT).with_suffix("").parts): ast.parse(file.read_text()) for file in files}
    constants_of = {module: _constants(tree) for module, tree in trees.items()}
    for module, tree in trees.items():
        constants = constants_of[module] | _imported(tree, constants_of)
        found = [node for node in ast.walk(tree) if isinstance(node, Function)]
        functions = {function.name: function for function in found}
        for function in found:
            for call in ast.walk(function):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name | ast.Attribute):
                    continue
                name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
                if name not in FIELD_ERRORS and name not in KINDS:
                    continue
                names = constants | _assigned(function)
                if name in FIELD_ERRORS and len(call.args) == 2:
                    fields |= set(product(*(_texts(argument, names, functions) for argument in call.args)))
                elif name in KINDS and call.args:
                    code = KINDS[name].code
                    details |= {(code, text) for text in _texts(call.args[-1], names, functions)}
    fields = {(field, text) for field, text in fields if not field.startswith("state_dict") and text != "…"}
    details = {
        (code, f"The status of the job is …. {text}" if code == WrongState.code else text) for code, text in details
    }
    rules = (*RULES.values(), *PATTERN_RULES.values(), *PARSER_LIMITS.values())
    return Messages(details, fields, {_shown(rule) for rule in rules})


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """The values that a module assigns to its own names."""
    return {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _imported(tree: ast.Module, constants_of: dict[str, dict[str, ast.expr]]) -> dict[str, ast.expr]:
    """The constants that a module imports from others."""
    return {
        alias.asname or alias.name: constants_of[node.module][alias.name]
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module in constants_of
        for alias in node.names
        if alias.name in constants_of[node.module]
    }


@cache
def _assigned(function: Function) -> dict[str, ast.expr]:
    """The last value that each name of a function is assigned."""
    return {
        node.targets[0].id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _texts(node: ast.expr, names: dict[str, ast.expr], functions: dict[str, Function]) -> list[str]:
    """The texts that an expression can be; `…` for what depends on the request."""
    match node:
        case ast.Constant(str(text)):
            return [text]
        case ast.JoinedStr(values):
            parts = [_texts(value, names, functions) for value in values]
            return ["".join(chosen) for chosen in product(*parts)]
        case ast.FormattedValue(ast.IfExp() | ast.Name() | ast.Attribute() as part):
            return _texts(part, names, functions)
        case ast.IfExp(_, one, other):
            return _texts(one, names, functions) + _texts(other, names, functions)
        case ast.Name(name) if name in names:
            return _texts(names[name], {key: value for key, value in names.items() if key != name}, functions)
        case ast.Attribute(ast.Name(kind), "advice") if kind in KINDS:
            return [KINDS[kind].advice]
        case ast.Call(ast.Name(name)) if name in functions:
            return list(_returned(functions[name], names, functions))
    return ["…"]


def _returned(function: Function, names: dict[str, ast.expr], functions: dict[str, Function]) -> Iterator[str]:
    others = {name: other for name, other in functions.items() if other is not function}
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield from _texts(node.value, names, others)


def _shown(rule: str) -> str:
    """A rule of `messages` with `…` for its bounds."""
    return "".join("…" if mark % 2 else part for mark, part in enumerate(rule.replace("}", "{").split("{")))


def document() -> str:
    """The content of `docs/errors.md`."""
    details, fields, general = all_messages()
    lines = [
        "# Error messages",
        "",
        "This page lists every message of a refused request. The [API page](api.md#problems) describes the response",
        "that contains them. `…` stands for a number or a name. Errors in a line, row or column of a dataset are",
        "reported in the detail of `body`.",
        "",
        "## Problems",
        "",
        "| code | status | title | what it means | what to do |",
        "|---|---|---|---|---|",
        *(
            f"| `{one.code}` | {one.status} | {one.title} | {one.meaning.splitlines()[0]} | {one.advice} |"
            for one in ALL_TYPES
        ),
        "",
        "## Details",
        "",
        "What the `detail` of a problem can say. Any other problem has the advice of the table above as its detail.",
        "",
        "| code | detail |",
        "|---|---|",
        f"| `malformed-json` | {_MALFORMED} |",
        f"| `method-not-allowed` | {_NOT_ALLOWED} |",
        *(f"| `{code}` | {text} |" for code, text in sorted(details)),
        "",
        "## Fields",
        "",
        "What the `errors` of `invalid-input` can say about any field:",
        "",
        *(f"- {text}" for text in sorted(general)),
        "",
        "What they can say about certain fields:",
        "",
        "| field | detail |",
        "|---|---|",
        *(f"| `{field}` | {text} |" for field, text in sorted(fields)),
    ]
    return "\n".join(lines) + "\n"


_MALFORMED = "The body is not valid JSON at line …, column …."
_NOT_ALLOWED = "This path allows …."


if __name__ == "__main__":
    print(document(), end="")
