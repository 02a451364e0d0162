"""How requests name a version: by its number or by an alias."""

from typing import Annotated

from pydantic import Field

from models.specs import InvalidInput
from service.records import ALIAS_PATTERN, Reference

AliasName = Annotated[
    str | None,
    Field(
        pattern=ALIAS_PATTERN,
        description="An alias of the version, in place of `version`. By default `latest`.",
    ),
]


def reference(version: int | None, alias: str | None) -> Reference:
    """What a request names.

    Raises:
        InvalidInput: it names both a version and an alias.
    """
    if alias is None:
        return version
    if version is not None:
        raise InvalidInput("alias", "cannot be combined with version: give one of the two")
    return alias
