"""The messages about invalid fields are ours, whatever is wrong with a field."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from service.api.datasets.schemas import PointsQuery
from service.api.grids.query import GridQuery
from service.api.jobs.requests import TrainRequest
from service.api.predictions.requests import PredictQuery, PredictRequest
from service.errors import JobNotFound
from service.http.messages import OTHER, RULES, exceeded, sentence, syntax

TRAININGS = [
    {
        "model": "m",
        "data": data,
        "network": {"kind": "sequential", "hidden": [4], "activation": "tanh"},
        "training": {
            "epochs": 1, "optimizer": "sgd", "learning_rate": 1.0, "momentum": 0.5, "weight_decay": 0.0,
            "batch_size": 2, "validation_fraction": 0.1, "patience": 1, "min_delta": 0.0, "seed": 1, "restarts": 1,
            "implementation": "auto", "class_weight": {"red": 1.0, "blue": 2.0},
        },
        "metadata": {"key": "value"},
    }
    for data in (
        {"dataset": "flower", "n": 9, "noise": 0.1, "seed": 1, "n_classes": 2},
        {"points": [[0.5, 1.0], [1.0, 2.0]], "labels": [1, 2]},
        {"points": [[0.5, 1.0], [1.0, 2.0]], "labels": ["a", "b"]},
    )
]  # fmt: skip
BODIES: list[tuple[type[BaseModel], Any]] = [
    *((TrainRequest, training) for training in TRAININGS),
    (PredictRequest, {"model": "m", "version": 1, "threshold": 0.5, "outputs": ["labels"], "points": [[0.5, 1.0]]}),
]
WRONG = [
    None, True, -1, 0, 1.5, 10**30, 1e300, "", "x" * 5000, "A b", "\x00", [], [[]], {}, {"": 1}, [1] * 40,
    {str(i): i for i in range(20)}, "nan", "-1", "9" * 5000,
]  # fmt: skip


def variants(value: Any) -> Iterator[Any]:
    """The value with one part of it replaced by something else, left out or added."""
    yield from WRONG
    if isinstance(value, dict):
        yield value | {"unknown": 1}
        for key, part in value.items():
            yield {name: other for name, other in value.items() if name != key}
            for variant in variants(part):
                yield value | {key: variant}
    if isinstance(value, list):
        for variant in variants(value[0]):
            yield [variant, *value[1:]]


def errors(schema: type[BaseModel], text: bytes) -> list[Any]:
    try:
        schema.model_validate_json(text)
    except ValidationError as error:
        return [*error.errors(include_url=False)]
    return []


@pytest.mark.parametrize(("schema", "valid"), BODIES)
def test_every_message_about_a_body_is_ours(schema: type[BaseModel], valid: Any) -> None:
    assert not errors(schema, json.dumps(valid).encode())
    found = [error for body in variants(valid) for error in errors(schema, json.dumps(body).encode())]
    assert len({error["type"] for error in found}) > 10
    for error in found:
        assert sentence(error) != OTHER, error
        assert "{" not in sentence(error)


@pytest.mark.parametrize("schema", [PredictQuery, GridQuery, PointsQuery])
def test_every_message_about_a_query_is_ours(schema: type[BaseModel]) -> None:
    names = [field.alias or name for name, field in schema.model_fields.items()]
    for name in [*names, "unknown"]:
        for value in ("", "x", "-1", "1.5", "nan", "1e400", "9" * 30, "x" * 40_000, "true", "0,0"):
            try:
                schema.model_validate({name: value})
            except JobNotFound:  # no id of a job has this form
                assert name == "job"
            except ValidationError as error:
                for one in error.errors(include_url=False):
                    assert sentence(one) != OTHER, one


@pytest.mark.parametrize("text", [b"", b"{", b"[1,]", b"\xff", b'"\\ud800"', b"1 2"])
def test_a_body_that_is_not_json_is_located(text: bytes) -> None:
    (error,) = errors(TrainRequest, text)[:1]
    if error["type"] == "json_invalid":
        assert exceeded(error) is None
        assert syntax(error).startswith("The body is not valid JSON at line 1, column ")
    else:
        assert sentence(error) == RULES["model_type"]


@pytest.mark.parametrize(("text", "told"), [(b"[" * 500, "200 deep"), (b"7" * 5_000, "4,300 digits")])
def test_json_beyond_a_limit_of_the_parser_is_described_by_the_limit(text: bytes, told: str) -> None:
    (error,) = errors(TrainRequest, text)
    assert f"more than {told} at line 1, column " in str(exceeded(error))
