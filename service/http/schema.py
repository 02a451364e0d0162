"""The base of request bodies' schemas, apart from the code that reads bodies: the command line uses schemas too."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


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
