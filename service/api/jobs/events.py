"""The events of jobs: `GET /jobs/{job_id}/events`, a page or a stream, and `GET /events`, a stream of several jobs."""

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

import orjson
from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from starlette.types import Receive, Scope, Send

from models.specs import InvalidInput
from service import records
from service.api.deps import JobPath, Services, ServicesDep
from service.api.jobs import event_schemas
from service.api.jobs.event_schemas import EventPage
from service.api.jobs.frame_query import FrameViewDep
from service.api.jobs.views import Job
from service.api.references import known_job_id
from service.http import content_negotiation
from service.http.bodies import request_body
from service.http.content_negotiation import Format
from service.http.problems import InvalidParameter, Place
from service.http.query_parameters import CommaList, list_of
from service.live import envelopes
from service.live.event_broadcaster import EventBroadcaster
from service.live.frame_renderer import FrameRequest
from service.live.frames import FrameView
from service.live.subscription import Subscription, has_ended
from service.render import sse

router = APIRouter(tags=["training"])

MAX_EVENTS = 1_000
"""Maximum number of events of a page."""

MAX_JOBS = 20
"""Maximum number of jobs of a stream."""

JobIds = Annotated[
    CommaList, list_of({"type": "string", "minLength": 1}, minItems=1, maxItems=MAX_JOBS, uniqueItems=True)
]

MAX_NUMBER = 999_999_999
"""Largest event number that a request may name."""

PAGE, STREAM = Format("json", request_body.JSON), Format("events", sse.MEDIA_TYPE)
"""The formats of a job's events."""

RETRY_MS = 1_000
"""How long clients wait before they reconnect."""

_NUMBERS = re.compile(r"[0-9]{1,9}(,[0-9]{1,9})*")


LastEventHeader = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Streams only: the id of the last event that was received. Takes precedence over `lastEventId` and "
        "`after`.",
    ),
]
LastEventQuery = Annotated[
    str | None,
    Query(
        alias="lastEventId",
        description="Streams only: the same as the header, for clients that cannot set it. Takes precedence over "
        "`after`.",
    ),
]


class _Position(NamedTuple):
    """Which events the client has received: one number for each job, separated by commas; None for no event."""

    place: Place
    field: str
    text: str | None

    @classmethod
    def sent(cls, header: str | None, last_event_id: str | None, after: str | None) -> Self:
        """The position that the client sent: the header, else `lastEventId`, else `after`."""
        if header:
            return cls("header", "Last-Event-ID", header)
        return cls("query", "lastEventId", last_event_id) if last_event_id else cls("query", "after", after)

    def numbers(self, jobs: int) -> list[int]:
        """The number of the last event that the client has received of each job; 0 for all if it has received none.

        Raises:
            InvalidParameter: it is not one number for each job.
        """
        if self.text is None:
            return [0] * jobs
        numbers = self.text.split(",")
        if not _NUMBERS.fullmatch(self.text) or len(numbers) != jobs:
            raise InvalidParameter(
                self.field, "must be one event number for each job, separated by commas, such as 12,7", place=self.place
            )
        return [int(number) for number in numbers]


class EventStream(Response):
    """A stream of the events of some jobs."""

    media_type = sse.MEDIA_TYPE

    def __init__(
        self,
        broadcaster: EventBroadcaster,
        jobs: Sequence[records.Job],
        positions: Sequence[int],
        frames: FrameRequest | None,
    ) -> None:
        """Sends what follows these event numbers, one for each job."""
        super().__init__(
            headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "Vary": "Accept"}
        )
        del self.headers["content-length"]
        self._broadcaster = broadcaster
        self._jobs = jobs
        self._positions = positions
        self._frames = frames

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream.

        Raises:
            TooManyStreams: the limit of open streams is reached; nothing has been sent.
        """
        subscribing = self._broadcaster.subscribe(self._jobs, self._positions, self._frames)
        with self._broadcaster.stream_slot(), subscribing as subscription:
            listener = asyncio.create_task(_close_on_disconnect(receive, subscription))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": self._opening(), "more_body": True})
                async for chunk in subscription.chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                listener.cancel()

    def _opening(self) -> bytes:
        jobs = [
            envelopes.streamed("job", orjson.Fragment(Job.of(job).model_dump_json()), job_id=job.id)
            for job in self._jobs
        ]
        return b"".join([sse.retry(RETRY_MS), *jobs])


async def _close_on_disconnect(receive: Receive, subscription: Subscription) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscription.close()


@router.get("/jobs/{job_id}/events", response_model=EventPage, responses=event_schemas.PAGE_OR_STREAM)
async def list_job_events(
    job_id: JobPath,
    services: ServicesDep,
    request: Request,
    view: FrameViewDep,
    after: Annotated[
        int, Query(ge=0, le=MAX_NUMBER, description="The number of the last event that was received.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS, description="Pages only: how many events.")] = 100,
    last_event_id: LastEventHeader = None,
    last_event_id_query: LastEventQuery = None,
) -> Response:
    """The events of a job, oldest first: a page, or with `Accept: text/event-stream` a stream until the job ends."""
    accept = request_body.header(request_body.headers_of(request.scope), b"accept")
    if content_negotiation.chosen((PAGE, STREAM), accept) is STREAM:
        position = _Position.sent(last_event_id, last_event_id_query, str(after))
        return await _stream(services, [job_id], position, view)
    if view is not None:
        raise InvalidInput("boundary", "needs the header Accept: text/event-stream")
    return await to_thread.run_sync(_page, services, job_id, after, limit)


def _page(services: Services, job_id: str, after: int, limit: int) -> Response:
    job = services.spaces.job(job_id)
    events, has_more = services.spaces.of(job_id).store.events.page(job.id, after=after, limit=limit)
    for event in events:
        services.registry.ensure_known(job.model, event.data.get("version"))
    page = {
        "object": "list",
        "data": [envelopes.stored(event) for event in events],
        "has_more": has_more,
        "first_id": events[0].number if events else None,
        "last_id": events[-1].number if events else None,
    }
    return Response(envelopes.encode(page), media_type=request_body.JSON, headers={"Vary": "Accept"})


@router.get("/events", status_code=200, response_class=EventStream, responses=event_schemas.STREAM)
async def stream_events(
    services: ServicesDep,
    request: Request,
    view: FrameViewDep,
    job: Annotated[JobIds, Query(description="The ids of 1 to 20 jobs.")],
    after: Annotated[
        str | None,
        Query(
            description="The number of the last event that was received of each job, in the order of `job`, separated "
            "by commas, such as 12,7."
        ),
    ] = None,
    last_event_id: LastEventHeader = None,
    last_event_id_query: LastEventQuery = None,
) -> Response:
    """The events of several jobs in one stream."""
    content_negotiation.chosen((STREAM,), request_body.header(request_body.headers_of(request.scope), b"accept"))
    position = _Position.sent(last_event_id, last_event_id_query, after)
    return await _stream(services, _known(job), position, view)


def _known(job_ids: list[str]) -> list[str]:
    """Checks the parameter `job`.

    Raises:
        InvalidInput: there are too many ids, or one is repeated.
        JobNotFound: one is malformed.
    """
    if len(job_ids) > MAX_JOBS:
        raise InvalidInput("job", f"must name {MAX_JOBS} or fewer jobs")
    if len(set(job_ids)) < len(job_ids):
        raise InvalidInput("job", "must name each job only once")
    return [*map(known_job_id, job_ids)]


async def _stream(services: Services, job_ids: Sequence[str], position: _Position, view: FrameView | None) -> Response:
    """The stream after the last event that the client has received; 204 if no event can follow."""
    positions = position.numbers(len(job_ids))
    jobs = await to_thread.run_sync(lambda: [services.job(job_id) for job_id in job_ids])
    frames = await services.frame_renderer.request(jobs, view) if view is not None else None
    if all(map(has_ended, jobs, positions)):
        return Response(status_code=204)
    return EventStream(services.broadcaster, jobs, positions, frames)
