"""How new jobs are submitted: `?validate_only`, `Idempotency-Key`, and the response."""

from collections.abc import Callable
from dataclasses import dataclass
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
"""A job that is not yet in the queue, and its data."""


@dataclass(frozen=True)
class Submission:
    """The options of a request that submits a job.

    Attributes:
        response: the response on which headers are set.
        services: the running service.
        wait: how long the response waits for the job.
        validate_only: only show the job, and do not submit it.
        key: the idempotency key, if the client sent one.
    """

    response: Response
    services: Services
    wait: Wait
    validate_only: bool
    key: str | None

    async def respond(self, make_job: Callable[[], NewJob]) -> JobView | Response:
        """Submits a job and shows it. With a key that was used before, shows the job that was submitted with it.

        Raises:
            QueueFull, KeyReused, JobNotFound, WrongState, FolderUnavailable: see `JobQueue.submit`.
        """
        if self.validate_only:
            return await to_thread.run_sync(self._validate, make_job)
        new_id, job_id = await to_thread.run_sync(self._submit, make_job, limiter=self.services.write_threads)
        if job_id != new_id:
            self.response.headers["Idempotency-Replayed"] = "true"
        self.response.headers["Location"] = f"/jobs/{job_id}"
        return JobView.of(await self.wait.for_job(job_id))

    def _validate(self, make_job: Callable[[], NewJob]) -> Response:
        spec, _ = make_job()
        max_queued = self.services.settings.max_queued_jobs
        self.services.store.jobs.find_added(spec, max_queued=max_queued, key=self.key)  # raises what `submit` would
        return Response(ValidationView.model_validate(spec).model_dump_json(), media_type=request_body.JSON)

    def _submit(self, make_job: Callable[[], NewJob]) -> tuple[str, str]:
        """Returns the ids of the new job and of the submitted one, which differ if the key was used before."""
        spec, data = make_job()
        return spec.id, self.services.job_queue.submit(spec, data, key=self.key)


async def _submission(
    response: Response,
    services: ServicesDep,
    wait: WaitDep,
    validate_only: Annotated[
        bool, Query(description="Respond with the job as it would be submitted, and do not submit it.")
    ] = False,
    idempotency_key: KeyHeader = None,
) -> Submission:
    key = bare_key(idempotency_key) if idempotency_key is not None else None
    return Submission(response, services, wait, validate_only, key)


SubmissionDep = Annotated[Submission, Depends(_submission)]
