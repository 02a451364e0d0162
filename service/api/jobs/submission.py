"""How new jobs are asked for: `?validate_only`, `Idempotency-Key`, and what is answered."""

from collections.abc import Callable
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Query, Response

from models.datasets import LabelledPoints
from models.specs import DatasetSpec
from service.api.deps import Services, ServicesDep
from service.api.jobs.idempotency import KeyHeader, bare_key
from service.api.jobs.views import JobView, ValidationView
from service.api.jobs.waiting import Wait, WaitDep
from service.http import request_body
from service.records import JobSpec

NewJob = tuple[JobSpec, DatasetSpec | LabelledPoints]
"""A job that nobody has yet put anywhere, and its data."""


class Submission:
    """How a new job is asked for, whatever it is to do."""

    def __init__(
        self, response: Response, services: Services, wait: Wait, *, validate_only: bool, key: str | None
    ) -> None:
        self._response = response
        self._services = services
        self._wait = wait
        self._validate_only = validate_only
        self._key = key

    async def answer(self, make: Callable[[], NewJob]) -> JobView | Response:
        """Puts a job in the queue and answers with it, or with that which does it already, or with what it would be."""
        if self._validate_only:
            return await to_thread.run_sync(self._validate, make)
        made, job_id = await to_thread.run_sync(self._submit, make, limiter=self._services.write_threads)
        if job_id != made:
            self._response.headers["Idempotency-Replayed"] = "true"
        self._response.headers["Location"] = f"/jobs/{job_id}"
        return JobView.of(await self._wait.for_job(job_id))

    def _validate(self, make: Callable[[], NewJob]) -> Response:
        spec, _ = make()
        max_queued = self._services.settings.max_queued_jobs
        self._services.store.jobs.added(spec, max_queued=max_queued, key=self._key)  # raises what `submit` would
        return Response(ValidationView.model_validate(spec).model_dump_json(), media_type=request_body.JSON)

    def _submit(self, make: Callable[[], NewJob]) -> tuple[str, str]:
        """Puts the job in the queue; gives its id, and that of the job that now does it: another if the key has one."""
        spec, data = make()
        return spec.id, self._services.job_queue.submit(spec, data, key=self._key)


async def _submission(
    response: Response,
    services: ServicesDep,
    wait: WaitDep,
    validate_only: Annotated[bool, Query(description="Say what the job would be, and make none.")] = False,
    idempotency_key: KeyHeader = None,
) -> Submission:
    key = bare_key(idempotency_key) if idempotency_key is not None else None
    return Submission(response, services, wait, validate_only=validate_only, key=key)


SubmissionDep = Annotated[Submission, Depends(_submission)]
