"""Writes the requests of the README as a TypeScript program against the generated types."""

import json
import re
from typing import Any

from tests.readme import Request, requests

HEADER = """\
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

declare const process: { argv: string[] };
const api = createClient<paths, "application/json" | "application/problem+json">({ baseUrl: process.argv[2]! });

function check(result: { response: Response }): void {
  if (!result.response.ok) throw new Error(`${result.response.status} ${result.response.url}`);
}
"""


def program(document: dict[str, Any]) -> str:
    """A program that makes every request of the README and fails if one is refused."""
    return "\n".join([HEADER, *(_statement(request, document["paths"]) for request in requests())])


def _statement(request: Request, paths: dict[str, Any]) -> str:
    template, path = _template(request.path, paths)
    operation = paths[template][request.method.lower()]
    kinds = {(one["in"], one["name"]): one["schema"] for one in operation.get("parameters", [])}
    named = {"path": path, "query": request.query, "header": {**request.headers}}
    named["header"].pop("Content-Type", None)
    parameters = {
        place: {name: _value(text, kinds[place, name]) for name, text in given.items()}
        for place, given in named.items()
        if given
    }
    options: dict[str, Any] = {"params": parameters} if parameters else {}
    if request.body is not None:
        options["body"] = json.loads(request.body)
    default = next(iter(operation["responses"]["200"]["content"]))
    if default != "application/json" or "format" in request.query:
        options["parseAs"] = "arrayBuffer"
    return f"check(await api.{request.method}({json.dumps(template)}, {json.dumps(options)}));"


def _template(path: str, paths: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The path of the document that a request's path matches, and the values of its parameters."""
    for template in sorted(paths, key=lambda one: one.count("{")):
        found = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template), path)
        if found:
            return template, found.groupdict()
    raise AssertionError(f"the document does not have the path {path}")


def _value(text: str, schema: dict[str, Any]) -> Any:
    """A parameter as a value of its type."""
    match schema.get("type"):
        case "integer" | "number" | "boolean":
            return json.loads(text)
        case "array":
            return [_value(item, schema["items"]) for item in text.split(",")]
    return text
