"""Requests that may wait for a job: `Prefer: wait=S` (RFC 7240)."""

import re
import time
from collections.abc import Callable
from typing import Annotated

import anyio
from anyio import to_thread
from fastapi import Depends, Header, Request, Response

from service.api.deps import Services, ServicesDep
from service.records import Job, JobState

MAX_WAIT_S = 60
"""Longest that `Prefer: wait` holds a request; proxies tend to cut longer ones."""

LOOK_S = 0.5
"""How often a waiting request looks whether its client has gone, when there are no news of its job."""


class Waiting:
    """How long one request would wait for a job."""

    def __init__(self, request: Request, response: Response, services: Services, wait_s: int | None) -> None:
        self._request = request
        self._response = response
        self._services = services
        self._wait_s = wait_s

    async def look(self, job_id: str, *, until: Callable[[Job], bool] = lambda job: job.state.ended) -> Job:
        """The job as it is now, or, if the client prefers to wait, as it is at that point or when the time is up.

        Raises:
            JobNotFound: there is no job of that id.
        """
        services = self._services
        if self._wait_s is not None and services.waiting_requests.available_tokens >= 1:
            self._response.headers["Preference-Applied"] = f"wait={self._wait_s}"
            async with services.waiting_requests:
                job = await self._wait(job_id, until, time.monotonic() + self._wait_s)
        else:
            job = await to_thread.run_sync(services.job, job_id)
        if not job.state.ended and job.state != JobState.PAUSED:
            self._response.headers["Retry-After"] = "1"
        return job

    async def _wait(self, job_id: str, until: Callable[[Job], bool], deadline: float) -> Job:
        """The job at that point, or when the time is up, or the service stops, or the client has gone."""
        services = self._services
        job = await to_thread.run_sync(services.job, job_id)
        with services.broadcaster.follow([job], [job.events]) as follower:
            while not (until(job) or time.monotonic() >= deadline or services.stopping.is_set()):
                with anyio.move_on_after(min(LOOK_S, deadline - time.monotonic())) as silence:
                    await follower.news.wait()
                if silence.cancelled_caught and await self._request.is_disconnected():
                    break
                follower.news.clear()
                job = await to_thread.run_sync(services.job, job_id)
        return job


_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,4000})\"?\s*(?:$|[,;])", re.IGNORECASE)


def _wait_s(prefer: str | None) -> int | None:
    """The seconds of `Prefer: wait=S`, bounded; other preferences are not for us."""
    found = _WAIT.search(prefer or "")
    return min(int(found[1]), MAX_WAIT_S) if found else None


async def _waiting(
    request: Request,
    response: Response,
    services: ServicesDep,
    prefer: Annotated[
        str | None,
        Header(description=f"`wait=S`: answer when the job is done, or after S seconds; at most {MAX_WAIT_S}."),
    ] = None,
) -> Waiting:
    return Waiting(request, response, services, _wait_s(prefer))


WaitingDep = Annotated[Waiting, Depends(_waiting)]
