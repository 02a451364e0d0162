"""Schemathesis loads this file: a check of our own, beside those that it has."""

import re

import schemathesis
from schemathesis.generation import GenerationMode

BETWEEN_FIELDS = (
    "can be downloaded as",
    "cannot be combined with .*",
    "cannot be shown in frames: .*",
    "each must be greater than 0",  # of a text that is a list of numbers
    "has no effect if all edges are given: .*",
    "has no points.*",  # a file, which a schema cannot describe
    "is for generators only",
    "is required for .*",
    "is required in the query, .*",
    "is required, unless .*",
    "must be .* for this request",
    "must be a term of the coordinates, .*",
    "must be at most [0-9,]+(, the last epoch| for this version).*",
    "must be at most [0-9]+ for [0-9,]+ units",
    "must be auto or compiled: torch does not train by lbfgs here",
    "must be 2: only spirals and gaussians can have more classes",
    "must be [0-9]+ or fewer for a network of this size",
    "must be between [0-9]+ and 100,000",  # at least one point for each class
    "must be empty: send output and threshold as query parameters",
    "must be names, or the numbers of all columns from 0",
    "must be empty: a logistic network has no hidden layer",
    "must be a list of points of .*",
    "must be farther from ._min: the cells would coincide",
    "must be greater than [xy]_min",
    "must be in the JSON body",
    "must be larger: .*",
    "must be left out: .*",
    "must be less than the model's number of features.*",
    "must be less than [0-9]+, the number of networks of this version",
    "must be less than the number of networks with a history, .*",
    "must be less than the number of points, .*",
    "must be all numbers, such as .*",
    "must be lists of numbers, in the order of the training data.*",
    "must be one character, or one of comma, semicolon, tab, space and pipe",
    "must be one of the hidden layers, .*",
    "must be one of the model's .*",
    "must be smaller: .*",
    "must be two different features",
    "must be (version or tutorial|tutorial or auto): .*",
    "must be a stored dataset, .*",
    "must be 0 unless the optimizer is sgd",
    "must contain 2 to 100 different labels, but contain 1",
    "must have '.*",
    "must have (numbers|text|numbers or text) in '.*",
    "must have one of .* in '.*",
    "must have [0-9]+ coordinates? each, but these have [0-9]+.*",
    "must have columns with different names",
    "must have exactly one of dataframe_split, .*",
    "must have [0-9,]+ values, (one for each column|as the first row), not .*",
    "must have columns of the same length, .*",
    "must have [0-9]+ values?, one for each feature that is not on an axis",
    "must have [0-9]+ features, as a has, .*",
    "must have the (classes|features) of a, .*",
    "must have labels of the training data, .*",
    "must have one label for each point, .*",
    "must have one weight for each label, which are: .*",
    "must have one name for each of the [0-9]+ coordinates, not [0-9]+ names",
    "must have the same names as the first point: .*",
    "must have the same number of coordinates as the first point: .*",
    "must list exactly one hidden layer for a two_layer network",
    "must name each feature only once",
    "must name a version that was trained here: .*",
    "must name one of the model's .*",
    "must not have '.*",
    "must not contain a feature that is on an axis",
    "n, noise, seed and n_classes are for generators only",
    "needs .*",
    "there is no column .*",
)
"""What a request can be refused for although each of its fields is valid by itself."""

FILES = ("/datasets/{name}", "/models/{name}/versions")
"""The paths to which files are posted, of points or of a network."""


@schemathesis.check
def refusals_are_due_to_rules_between_fields(
    _: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """A request whose fields are valid is refused only for a rule between fields, or for a key that was used before.

    A file has no schema, so a generated one may always be refused.
    """
    if response.status_code != 422 or case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if case.method == "POST" and case.path in FILES:
        return
    problem = response.json()
    if problem["code"] == "idempotency-key-reused":
        return
    for error in problem["errors"]:
        assert any(re.fullmatch(rule, error["detail"], re.DOTALL) for rule in BETWEEN_FIELDS), error
