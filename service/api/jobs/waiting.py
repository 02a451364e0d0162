"""Requests that wait for a job: `Prefer: wait=S` (RFC 7240)."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Header, Request, Response

from service.api.deps import Services, ServicesDep
from service.records import Job, JobState

MAX_WAIT_S = 60
"""Longest time that `Prefer: wait` holds a request. Proxies often cut longer ones."""

DISCONNECT_POLL_S = 0.5
"""How often a waiting request checks whether its client has disconnected."""


@dataclass(frozen=True)
class Wait:
    """How long a request waits for a job, `wait_s` seconds at most; None does not wait."""

    request: Request
    response: Response
    services: Services
    wait_s: float | None

    async def for_job(
        self, job_id: str, *, until: Callable[[Job], bool] = lambda job: job.state.ended, known: Job | None = None
    ) -> Job:
        """The job as soon as `until` holds, or as it is when the time is up.

        Without `wait_s`, the job as it is now, or `known` if that is given.

        Raises:
            JobNotFound: the job does not exist.
        """
        services = self.services
        if self.wait_s is not None and services.waiting_requests.available_tokens >= 1:
            self.response.headers["Preference-Applied"] = f"wait={self.wait_s:g}"
            async with services.waiting_requests:
                job = await self._wait(job_id, until, time.monotonic() + self.wait_s)
        elif known is not None:
            job = known
        else:
            job = await to_thread.run_sync(services.job, job_id)
        if not job.state.ended and job.state != JobState.PAUSED:
            self.response.headers["Retry-After"] = "1"
        return job

    async def _wait(self, job_id: str, until: Callable[[Job], bool], deadline: float) -> Job:
        """Waits until `until` holds, the deadline has passed, the service stops, or the client has disconnected."""
        services = self.services
        job = await to_thread.run_sync(services.job, job_id)
        with services.broadcaster.subscribe([job], [job.status.events]) as subscription:
            while not (until(job) or time.monotonic() >= deadline or services.stopping.is_set()):
                await subscription.wait(min(DISCONNECT_POLL_S, deadline - time.monotonic()))
                if await self.request.is_disconnected():
                    break
                job = await to_thread.run_sync(services.job, job_id)
        return job


_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,4000}(?:\.[0-9]{0,4000})?)\"?\s*(?:$|[,;])", re.IGNORECASE)


def _wait_s(prefer: str | None) -> float | None:
    """The seconds of `Prefer: wait=S`, at most `MAX_WAIT_S`. Other preferences are ignored.

    RFC 7240 defines whole seconds only. Fractions are accepted too, because many trainings take less than a second.
    """
    found = _WAIT.search(prefer or "")
    return min(float(found[1]), MAX_WAIT_S) if found else None


async def _wait(
    request: Request,
    response: Response,
    services: ServicesDep,
    prefer: Annotated[
        str | None,
        Header(
            alias="Prefer",
            description=f"`wait=S`: respond when the job has ended, or after S seconds, at most {MAX_WAIT_S}.",
        ),
    ] = None,
) -> Wait:
    return Wait(request, response, services, _wait_s(prefer))


WaitDep = Annotated[Wait, Depends(_wait)]
