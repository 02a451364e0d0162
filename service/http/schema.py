"""The base of request bodies' schemas, apart from the code that reads bodies: the command line uses schemas too."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from models.limits import MAX_COORDINATE, MAX_FEATURES


class Body(BaseModel):
    """Base of the schemas of request bodies."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def whole(value: Any) -> Any:
    """A float without a fraction as an integer, since some clients write every number as a float; else the value."""
    return int(value) if type(value) is float and value.is_integer() else value


WHOLE = BeforeValidator(whole)
"""Lets an integer be written as `10000.0`. It comes after the bounds, or else these are missing in the JSON schema."""

Whole = Annotated[int, WHOLE]
"""An integer, which may be written as `10000.0`."""

_SHOWN = Field(json_schema_extra={"type": ["number", "boolean"], "minimum": -MAX_COORDINATE, "maximum": MAX_COORDINATE})
"""Only documented here: `models.datasets` checks the bounds, for all points at once, and `service.api.points` reads
truth values as numbers."""

Coordinate = Annotated[FiniteFloat, _SHOWN]
"""One coordinate of a point."""

Row = Annotated[list[Coordinate], Field(min_length=1, max_length=MAX_FEATURES, fail_fast=True)]
"""The coordinates of a point."""
