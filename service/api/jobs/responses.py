"""The responses of jobs in the OpenAPI document: their statuses and headers."""

from typing import Any

from service.api.jobs.views import Job, Submitted
from service.http import etags
from service.http.documentation import header

_APPLIED = {"Preference-Applied": header("The `Prefer: wait` that the service applied.")}
_RETRY = {"Retry-After": header("When to ask again, in seconds.", kind="integer")}
_LOCATION = {
    "Location": header("The path of the job. Absent with `validate_only`."),
    "Idempotent-Replayed": header("`true` if the key was used before: the job is the one of the earlier request."),
}
_CACHING = etags.documented(is_negotiated=False)

SUBMISSION: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Submitted,
        "description": "The job has ended, or with `validate_only`: the job as it would be submitted.",
        "headers": _LOCATION | _APPLIED,
    },
    202: {"model": Job, "description": "The job goes on.", "headers": _LOCATION | _APPLIED | _RETRY},
}
"""The responses to a request that submits a job."""

STOP: dict[int | str, dict[str, Any]] = {
    200: {"description": "The training has stopped.", "headers": _APPLIED},
    202: {"model": Job, "description": "The training has not stopped yet.", "headers": _APPLIED | _RETRY},
}
"""The responses to a request that stops a job."""

RESUMED: dict[int | str, dict[str, Any]] = {200: {"headers": _APPLIED | _RETRY}}
"""The responses to a request that resumes a job."""

JOB: dict[int | str, dict[str, Any]] = {
    200: {"headers": _CACHING | _APPLIED | _RETRY},
    304: etags.not_modified(_CACHING),
}
"""The responses to a request for a job."""
