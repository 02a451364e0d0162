"""Versions as one text names them: `MODEL:VERSION`, `MODEL:ALIAS`, or `MODEL` for its latest version."""

import re

from service.errors import AliasNotFound, VersionNotFound
from service.records import ALIAS_PATTERN, Reference

MAX_VERSION = 2**31 - 1
"""Every database has integers of this size."""


def named(text: str) -> tuple[str, Reference]:
    """The model and the version that a text names.

    Raises:
        VersionNotFound, AliasNotFound: what follows the colon can be neither the number of a version nor an alias.
    """
    model, colon, version = text.partition(":")
    if not colon:
        return model, None
    if re.fullmatch("[0-9]+", version):
        if not 1 <= int(version[:20]) <= MAX_VERSION:
            raise VersionNotFound(f"Versions are counted from 1. {VersionNotFound.advice}")
        return model, int(version)
    if not re.fullmatch(ALIAS_PATTERN, version):
        raise AliasNotFound("What follows the colon must be the number of a version or an alias, as in flower:2.")
    return model, version
