"""How requests name a version: by its number or by an alias."""

import re
from typing import Annotated

from pydantic import Field

from models.specs import InvalidInput
from service.records import NAME_PATTERN, NUMBER_PATTERN, Reference

AliasName = Annotated[
    str | None,
    Field(
        pattern=NAME_PATTERN,
        description="An alias of the version, in place of `version`. By default `latest`.",
    ),
]


def reference(version: int | None, alias: str | None) -> Reference:
    """What a request names.

    Raises:
        InvalidInput: it names both a version and an alias, or an alias that is a number.
    """
    if alias is None:
        return version
    if version is not None:
        raise InvalidInput("alias", "cannot be combined with version: give one of the two")
    if re.fullmatch(NUMBER_PATTERN, alias):
        raise InvalidInput("alias", "must contain a letter; give the number of a version as version")
    return alias
