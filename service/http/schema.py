"""The base of request bodies' schemas, apart from the code that reads bodies: the command line uses schemas too."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """Base of the schemas of request bodies."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
