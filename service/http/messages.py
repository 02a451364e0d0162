"""What is wrong with a field, in words. `docs/errors.md` lists every sentence."""

import re
from collections.abc import Mapping
from typing import Any

from models.datasets import FRACTIONS
from service.datasets.json_pages import ONE_OF_SEVERAL
from service.http.patterns import PATTERN_RULES

RULES = {
    "both": "must have either `dataset` or `points` and `labels`, not both",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "enum": "must be one of {expected}",
    "extra_forbidden": "is unknown; check its spelling",
    "finite_number": "must be a finite number",
    "fraction": FRACTIONS,
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt:,}",
    "greater_than_equal": "must be at least {ge:,}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "has too many digits",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt:,}",
    "less_than_equal": "must be at most {le:,}",
    "list_type": "must be a list",
    "literal_error": "must be one of {expected}",
    "missing": "is required",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
    "of_generators": "n, noise, seed and n_classes are for generators only",
    "null": "must be a number or text, not null",
    "page": ONE_OF_SEVERAL,
    "string_too_long": "must have {max_length:,} or fewer characters",
    "string_too_short": "must have {min_length:,} or more characters",
    "string_type": "must be a string",
    "string_unicode": "must be Unicode text",
    "tensors": "must be lists of numbers or records, not tensors",
    "too_long": "must have {max_length:,} or fewer items",
    "too_short": "must have {min_length:,} or more items",
}
"""What a field must be, by the type of pydantic's error. The names in braces are bounds of our schemas."""

PARSER_LIMITS = {
    "recursion limit exceeded": "has lists or objects that are nested more than 200 deep",
    "number out of range": "has a number of more than 4,300 digits",
}
"""What a body has beyond a limit of the JSON parser, by a part of the parser's message."""

OTHER = "is not allowed"
"""For an error without a rule. No schema of this API has one."""


def sentence(error: Mapping[str, Any]) -> str:
    """What is wrong with a field, by an error of pydantic. Repeats no value of the client and no word of pydantic."""
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch":
        return PATTERN_RULES[context["pattern"]]
    if "expected" in context:  # such as "'labels', 'probabilities' or 'logits'"
        context = context | {"expected": ", ".join(re.findall("'([^']*)'", context["expected"]))}
    return RULES.get(error["type"], OTHER).format_map(context)


def syntax(error: Mapping[str, Any]) -> str:
    """Where a body stops being JSON, by pydantic's error `json_invalid`."""
    return f"The body is not valid JSON{_place(error)}."


def exceeded(error: Mapping[str, Any]) -> str | None:
    """The parser's limit that a body exceeds, by pydantic's error `json_invalid`; None if the body is not JSON."""
    for limit, rule in PARSER_LIMITS.items():
        if limit in str(error["msg"]):
            return f"{rule}{_place(error)}"
    return None


def _place(error: Mapping[str, Any]) -> str:
    place = re.search("line ([0-9]+) column ([0-9]+)", str(error["msg"]))
    return f" at line {place[1]}, column {place[2]}" if place else ""
