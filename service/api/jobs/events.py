"""The events of jobs: `GET /jobs/{job_id}/events`, a page or a stream, and `GET /events`, a stream of several jobs."""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from models.specs import InvalidInput
from service.api.deps import JobPath, Services, ServicesDep
from service.api.jobs.views import JobView
from service.http import content_negotiation, request_body
from service.http.content_negotiation import Format
from service.http.patterns import JOB_IDS_PATTERN
from service.http.problems import InvalidParameter, Place
from service.live.event_broadcaster import EventBroadcaster
from service.live.frame_renderer import FrameRequest
from service.live.frames import MAX_CELLS, MIN_CELLS
from service.live.subscription import Subscription, has_ended
from service.records import Event, EventKind, Job
from service.render import sse

router = APIRouter(tags=["training"])

MAX_EVENTS = 1_000
"""Most events of a page."""

MAX_NUMBER = 999_999_999
"""Largest event number that a request may name."""

PAGE, STREAM = Format("json", request_body.JSON), Format("events", sse.MEDIA_TYPE)
"""The formats of a job's events."""

RETRY_MS = 1_000
"""How long clients wait before they reconnect."""

_NUMBERS = re.compile(r"[0-9]{1,9}(,[0-9]{1,9})*")


class EventView(BaseModel):
    """An event of a job."""

    id: int = Field(description="Counts from 1 within the job, without gaps.")
    object: str = "training.job.event"
    type: EventKind
    created_at: datetime
    data: dict[str, Any] = Field(description="Depends on the type; `job` is the id of the job.")

    @classmethod
    def of(cls, event: Event) -> "EventView":
        """The view of an event of the store."""
        return cls(
            id=event.number,
            type=event.kind,
            created_at=datetime.fromtimestamp(event.created_at, UTC),
            data={"job": event.job_id, **event.data},
        )


class EventPage(BaseModel):
    """One page of a job's events."""

    object: str = "list"
    data: list[EventView]
    has_more: bool = Field(description="Whether more events follow. For the next page, set `after` to `last_id`.")
    first_id: int | None
    last_id: int | None

    @classmethod
    def of(cls, events: Sequence[Event], *, has_more: bool) -> "EventPage":
        """The page of these events."""
        data = [EventView.of(event) for event in events]
        return cls(
            data=data,
            has_more=has_more,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
        )


_STREAM = {
    "type": "string",
    "description": "The event `job` (as in GET /jobs/{job_id}) comes first; then `status`, `metrics`, `checkpoint`, "
    "`done`, and `boundary` if requested. Before the service stops, `closing`. The data of each event are one line of "
    "JSON.",
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {sse.MEDIA_TYPE: {"schema": _STREAM}}},
    204: {"description": "The jobs have ended, and no event follows. Do not reconnect."},
}
"""The OpenAPI description of a stream."""

BoundaryQuery = Annotated[
    int | None,
    Query(
        ge=MIN_CELLS,
        le=MAX_CELLS,
        description="Streams only: also send `boundary` events while the network trains, with its output on a grid of "
        "this many columns and rows. The points of the jobs must have two coordinates.",
    ),
]
LastEventHeader = Annotated[
    str | None,
    Header(description="Streams only: the id of the last event that was received. Takes precedence over `after`."),
]


class EventStream(Response):
    """A stream of the events of some jobs."""

    media_type = sse.MEDIA_TYPE

    def __init__(
        self, broadcaster: EventBroadcaster, jobs: Sequence[Job], positions: Sequence[int], frames: FrameRequest | None
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
        views = [sse.event("job", JobView.of(job).model_dump_json().encode()) for job in self._jobs]
        return b"".join([sse.retry(RETRY_MS), *views])


async def _close_on_disconnect(receive: Receive, subscription: Subscription) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscription.close()


@router.get("/jobs/{job_id}/events", response_model=EventPage, responses=RESPONSES)
async def list_events(
    job_id: JobPath,
    services: ServicesDep,
    request: Request,
    response: Response,
    after: Annotated[
        int, Query(ge=0, le=MAX_NUMBER, description="The number of the last event that was received.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS, description="Pages only: how many events.")] = 100,
    boundary: BoundaryQuery = None,
    last_event_id: LastEventHeader = None,
) -> EventPage | Response:
    """The events of a job, oldest first: a page, or with `Accept: text/event-stream` a stream until the job ends."""
    accept = request_body.header(request_body.headers_of(request.scope), b"accept")
    if content_negotiation.chosen((PAGE, STREAM), accept) is STREAM:
        return await _stream(services, [job_id], last_event_id, str(after), boundary)
    if boundary is not None:
        raise InvalidInput("boundary", "needs the header Accept: text/event-stream")
    response.headers["Vary"] = "Accept"
    return await to_thread.run_sync(_page, services, job_id, after, limit)


def _page(services: Services, job_id: str, after: int, limit: int) -> EventPage:
    job = services.store.jobs.get(job_id)
    events, has_more = services.store.events.page(job.id, after=after, limit=limit)
    for event in events:
        services.registry.ensure_loaded(job.model, event.data.get("version"))
    return EventPage.of(events, has_more=has_more)


@router.get("/events", status_code=200, response_class=EventStream, responses=RESPONSES)
async def follow_jobs(
    services: ServicesDep,
    request: Request,
    job: Annotated[str, Query(pattern=JOB_IDS_PATTERN, description="1 to 20 job ids, separated by commas.")],
    after: Annotated[
        str | None,
        Query(
            description="The number of the last event that was received of each job, in the order of `job`, separated "
            "by commas, such as 12,7."
        ),
    ] = None,
    boundary: BoundaryQuery = None,
    last_event_id: LastEventHeader = None,
) -> Response:
    """The events of several jobs in one stream."""
    content_negotiation.chosen((STREAM,), request_body.header(request_body.headers_of(request.scope), b"accept"))
    job_ids = job.split(",")
    if len(set(job_ids)) < len(job_ids):
        raise InvalidInput("job", "must name each job only once")
    return await _stream(services, job_ids, last_event_id, after, boundary)


async def _stream(
    services: Services, job_ids: Sequence[str], last_event_id: str | None, after: str | None, cells: int | None
) -> Response:
    """The stream after the last event that the client has received; 204 if no event can follow."""
    positions = _positions(len(job_ids), last_event_id, after)
    jobs = await to_thread.run_sync(lambda: [services.job(job_id) for job_id in job_ids])
    frames = await services.frame_renderer.request(jobs, cells) if cells is not None else None
    if all(map(has_ended, jobs, positions)):
        return Response(status_code=204)
    return EventStream(services.broadcaster, jobs, positions, frames)


def _positions(jobs: int, last_event_id: str | None, after: str | None) -> list[int]:
    """The number of the last event that the client has received of each job; 0 for all if it has received none.

    Raises:
        InvalidInput: the id is not one number per job.
    """
    place: Place
    place, field, text = ("header", "Last-Event-ID", last_event_id) if last_event_id else ("query", "after", after)
    if text is None:
        return [0] * jobs
    numbers = text.split(",")
    if not _NUMBERS.fullmatch(text) or len(numbers) != jobs:
        raise InvalidParameter(
            field, "must be one event number for each job, separated by commas, such as 12,7", place=place
        )
    return [int(number) for number in numbers]
