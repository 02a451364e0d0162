"""The schemas of events, for the OpenAPI document. `service.live` encodes the events itself, once for all clients."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel
from pydantic.json_schema import SkipJsonSchema

from service.api.grids.schemas import ClassLabel, Colors, Window
from service.api.jobs.views import Job, JobProblem
from service.api.schemas import Metrics, Promotion, left_out
from service.records import JobState
from service.render import sse

_BY_TYPE = Field(discriminator="type")


class StatusData(BaseModel):
    """The new status of a job."""

    status: JobState
    attempt: int = Field(description="How many times a training process has started the job.")
    version: int | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="The version that the job published."
    )
    problem: JobProblem | SkipJsonSchema[None] = Field(None, exclude_if=left_out, description="Why the job failed.")


class MetricsData(BaseModel):
    """The progress of a training."""

    epoch: int = Field(description="Epochs trained so far, summed over all restarts.")
    epochs: int = Field(description="Maximum number of epochs that the job trains, summed over all restarts.")
    metrics: Metrics = Field(description="The metrics of the latest epoch.")


class CheckpointData(BaseModel):
    """A checkpoint, from which the job continues after a crash."""

    epoch: int = Field(description="Epochs trained at the checkpoint, summed over all restarts.")


class DoneData(StatusData):
    """The end of a job."""

    epoch: int = Field(description="Epochs trained, summed over all restarts.")
    metrics: Metrics | None = Field(description="The job's last metrics.")
    promotion: Promotion | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="Only with `promote_if`: whether the alias moved."
    )


class LayerData(BaseModel):
    """The activations of the units of a hidden layer on a grid with the window of the frame."""

    layer: int = Field(description="The hidden layer, zero-based.")
    shape: list[int] = Field(description="[U, H, W] for U units; row 0 lies at `y_min`.")
    dtype: Literal["int8"]
    scales: list[float] = Field(description="(U,) An activation is its byte times the scale of its unit.")
    values_base64: str = Field(description="U x H x W bytes, unit by unit and row by row, in Base64.")


class FrameData(BaseModel):
    """The response of a network in training on a grid of the plane."""

    epoch: int = Field(description="The epoch of the weights.")
    response: Literal["probability", "label"] = Field(
        description="`probability` of the second of two classes; with more classes, or with `threshold`, `label`, an "
        "index into `classes`."
    )
    classes: list[ClassLabel] = Field(description="The K classes, as labeled in the training data.")
    colors: Colors
    window: Window
    shape: list[int] = Field(description="[H, W]; row 0 lies at `y_min`.")
    dtype: Literal["uint8"]
    scale: float = Field(description="A value is its byte times this.")
    values_base64: str = Field(description="H x W bytes, row by row, in Base64.")
    layers: list[LayerData] | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="With `layer`: the hidden layer, or all. Empty for an ensemble."
    )


class ClosingData(BaseModel):
    """Why the service ends the stream."""

    reason: str = Field(description="In words.")


class _Event(BaseModel):
    object: Literal["training.job.event"]
    created_at: datetime = Field(description="When it happened, in UTC.")


class _NumberedEvent(_Event):
    id: int = Field(description="Counts from 1 within the job, without gaps.")
    job_id: str = Field(description="The job that it happened to.")


class _StreamedEvent(_Event):
    id: None = Field(description="Always null: a client cannot resume after this event.")


class StatusEvent(_NumberedEvent):
    """A job has a new status."""

    type: Literal["status"]
    data: StatusData


class MetricsEvent(_NumberedEvent):
    """A training has made progress: four events a second at first, fewer in long trainings."""

    type: Literal["metrics"]
    data: MetricsData


class CheckpointEvent(_NumberedEvent):
    """A training has saved a checkpoint."""

    type: Literal["checkpoint"]
    data: CheckpointData


class DoneEvent(_NumberedEvent):
    """A job has ended. No event of the job follows."""

    type: Literal["done"]
    data: DoneData


class JobEvent(_StreamedEvent):
    """The first event of a stream, for each of its jobs: the job as it is."""

    type: Literal["job"]
    job_id: str = Field(description="The job.")
    data: Job


class BoundaryEvent(_StreamedEvent):
    """A boundary frame, if the client asked for them."""

    type: Literal["boundary"]
    job_id: str = Field(description="The job.")
    data: FrameData


class ClosingEvent(_StreamedEvent):
    """The last event of a stream that ends because the service stops."""

    type: Literal["closing"]
    job_id: None = Field(description="Always null: the event is about the stream.")
    data: ClosingData


class Event(RootModel[Annotated[StatusEvent | MetricsEvent | CheckpointEvent | DoneEvent, _BY_TYPE]]):
    """An event, as pages of events list it."""


class StreamEvent(
    RootModel[
        Annotated[
            StatusEvent | MetricsEvent | CheckpointEvent | DoneEvent | JobEvent | BoundaryEvent | ClosingEvent, _BY_TYPE
        ]
    ]
):
    """An event in a stream."""


class EventPage(BaseModel):
    """A page of a job's events, oldest first."""

    object: Literal["list"]
    data: list[Event] = Field(description="The events.")
    has_more: bool = Field(description="Whether there is a next page; request it with `after` set to `last_id`.")
    first_id: int | None = Field(description="The number of the first event; null if the page is empty.")
    last_id: int | None = Field(description="The number of the last event; null if the page is empty.")


_STREAMED: dict[str, Any] = {
    sse.MEDIA_TYPE: {
        "schema": {
            "type": "string",
            "description": "Server-Sent Events: each has its type as `event`, and a `StreamEvent` in JSON as `data`. "
            "`job` comes first, then `status`, `metrics`, `checkpoint` and `done`, with `boundary` if requested. "
            "`closing` comes last if the service stops.",
        }
    }
}
_ENDED: dict[str, Any] = {"description": "The jobs have ended, and no event follows. Do not reconnect."}
_VARY: dict[str, Any] = {
    "Vary": {"description": "`Accept`: the format depends on that header.", "schema": {"type": "string"}}
}

PAGE_OR_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": _STREAMED, "headers": _VARY}, 204: _ENDED}
"""The OpenAPI description of a job's events."""

STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events of the jobs, until all have ended.",
        "content": _STREAMED,
        "headers": _VARY,
    },
    204: _ENDED,
}
"""The OpenAPI description of a stream of several jobs."""
