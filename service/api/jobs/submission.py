"""How new jobs are submitted: `?validate_only`, `Idempotency-Key`, and the response."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Query, Request, Response

from service import records
from service.api.deps import Services, ServicesDep
from service.api.jobs.idempotency import KeyHeader, bare_key
from service.api.jobs.views import Job, Validation
from service.api.jobs.waiting import Wait, WaitDep
from service.http.bodies import request_body
from service.http.front.callers import Caller
from service.http.front.prefix import prefixed
from service.jobs.queue import JobQueue, NewJob
from service.records import JobSpec


@dataclass(frozen=True)
class Submission:
    """The options of a request that submits a job.

    Attributes:
        response: the response on which status and headers are set.
        services: the running service.
        wait: how long the response waits for the job.
        validate_only: only show the job, and do not submit it.
        key: the idempotency key, if the client sent one.
        caller: the client, if it has limits.
    """

    response: Response
    services: Services
    wait: Wait
    validate_only: bool
    key: str | None
    caller: Caller | None

    async def respond(self, make_job: Callable[[], NewJob]) -> Job | Response:
        """Submits a job and shows it, with status 200 if it has ended, and 202 otherwise.

        With a key that was used before, shows the job that was submitted with it.

        Raises:
            QueueFull, KeyReused, JobNotFound, WrongState, DatasetNotFound, VersionNotFound, FolderUnavailable: see
                `JobQueue.submit`.
            DataFolderFull: the data folder has reached the setting `max_data_bytes`.
        """
        if self.validate_only:
            return await to_thread.run_sync(self._validate, make_job)
        spec, job_id = await to_thread.run_sync(self._submit, make_job, limiter=self.services.write_threads)
        is_new = job_id == spec.id
        if not is_new:
            self.response.headers["Idempotent-Replayed"] = "true"
        self.response.headers["Location"] = prefixed(f"/jobs/{job_id}")
        job = await self.wait.for_job(job_id, known=records.Job(spec) if is_new and spec.publishes else None)
        self.response.status_code = 200 if job.state.ended else 202
        return Job.of(job)

    def _validate(self, make_job: Callable[[], NewJob]) -> Response:
        spec = self._owned(make_job()).spec
        # It raises what `submit` would.
        self._queue_of(spec).find_submitted(spec, max_own=self._max_own, key=self.key)
        return Response(Validation.of(spec).model_dump_json(), media_type=request_body.JSON)

    def _submit(self, make_job: Callable[[], NewJob]) -> tuple[JobSpec, str]:
        """Returns the new job, and the id of the submitted one, which differs if the key was used before."""
        self.services.disk.require_room()
        new = self._owned(make_job())
        return new.spec, self._queue_of(new.spec).submit(new, max_own=self._max_own, key=self.key)

    def _owned(self, new: NewJob) -> NewJob:
        return replace(new, spec=replace(new.spec, owner=self.caller.key if self.caller else None))

    @property
    def _max_own(self) -> int | None:
        return self.caller.queued if self.caller else None

    def _queue_of(self, spec: JobSpec) -> JobQueue:
        spaces = self.services.spaces
        return (spaces.published if spec.publishes else spaces.unpublished).queue


async def _submission(
    request: Request,
    response: Response,
    services: ServicesDep,
    wait: WaitDep,
    validate_only: Annotated[
        bool, Query(description="Respond with the job as it would be submitted, and do not submit it.")
    ] = False,
    idempotency_key: KeyHeader = None,
) -> Submission:
    key = bare_key(idempotency_key) if idempotency_key is not None else None
    return Submission(response, services, wait, validate_only, key, request.scope.get("caller"))


SubmissionDep = Annotated[Submission, Depends(_submission)]
