"""How requests name what answers: a version by its number or an alias, or a job."""

import re
from collections.abc import Callable
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from models.specs import InvalidInput
from service.errors import JobNotFound, ServiceError
from service.http.patterns import JOB_ID_PATTERN
from service.records import ALIAS_PATTERN, Reference


def matching(pattern: str, not_found: Callable[[], ServiceError]) -> Callable[[str], str]:
    """Returns a validator that treats a malformed name or id like one that does not exist."""

    def check(name: str) -> str:
        if re.fullmatch(pattern, name) is None:
            raise not_found()
        return name

    return check


known_job_id = matching(JOB_ID_PATTERN, JobNotFound)
"""Returns a job id, and raises `JobNotFound` if it is malformed."""

AliasName = Annotated[
    str | None,
    Field(
        pattern=ALIAS_PATTERN,
        description="An alias of the version, in place of `version`. By default `latest`.",
    ),
]


JobName = Annotated[
    Annotated[str, AfterValidator(known_job_id)] | None,
    Field(
        description="The id of a job, in place of a model and its version: one that has succeeded answers with its "
        "version, a running one with its newest weights."
    ),
]


class NamedVersion(NamedTuple):
    """A model, and which of its versions."""

    model: str
    reference: Reference


class NamedJob(NamedTuple):
    """A job in any state."""

    job_id: str


Named = NamedVersion | NamedJob
"""The version or the job whose network answers a request."""


def named(model: str | None, version: int | None, alias: str | None, job: str | None) -> Named:
    """The version or the job that a request names.

    Raises:
        InvalidInput: it names neither a model nor a job, or both, or a version and an alias.
    """
    if job is None:
        if model is None:
            raise InvalidInput("model", "is required, unless `job` names a job")
        return NamedVersion(model, reference(version, alias))
    for field, given in (("model", model), ("version", version), ("alias", alias)):
        if given is not None:
            raise InvalidInput(field, "cannot be combined with job, whose network answers: leave it out")
    return NamedJob(job)


def reference(version: int | None, alias: str | None) -> Reference:
    """The number or the alias of the version that a request names.

    Raises:
        InvalidInput: it names both a version and an alias.
    """
    if alias is None:
        return version
    if version is not None:
        raise InvalidInput("alias", "cannot be combined with version: give one of the two")
    return alias
