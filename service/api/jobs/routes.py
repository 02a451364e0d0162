"""Training jobs: submit, list, show, delete, cancel, pause, resume, retry, download the checkpoint."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from models.datasets import LabelledPoints, labelled
from models.selection.candidates import Given
from models.specs import DatasetSpec, InvalidInput
from service import records
from service.api.deps import AfterJob, JobPath, Services, ServicesDep
from service.api.downloads import CHECKPOINT, CheckpointFile, attachment, checkpoint_download
from service.api.jobs import responses
from service.api.jobs.requests import GeneratedData, GivenData, StartingVersion, StoredData, TrainRequest
from service.api.jobs.submission import SubmissionDep
from service.api.jobs.views import Job, JobList
from service.api.jobs.waiting import Wait, WaitDep
from service.api.models.exports import OFFERED, FormatName, Offered, encoded
from service.api.references import reference
from service.datasets.stored import StoredDatasets
from service.errors import NoCheckpoint, VersionBroken
from service.http import content_negotiation, etags
from service.http.bodies import request_body
from service.http.etags import IfNoneMatch
from service.http.front.callers import Caller
from service.http.pagination import Limit
from service.jobs import promotion, training_data
from service.jobs.queue import NewJob, requested_job
from service.jobs.training_data import TrainingData
from service.jobs.warm_start import Start, start_of
from service.records import NAME_PATTERN, JobState
from service.tables.cells import is_missing_label

router = APIRouter(tags=["training"])

_SUBMISSION: dict[str, Any] = {
    "status_code": 202,
    "response_model": Job,
    "responses": responses.SUBMISSION,
}


@router.post("/jobs", **_SUBMISSION, include_in_schema=False)
@router.post("/train", **_SUBMISSION, operation_id="createJob", openapi_extra=request_body.documented(TrainRequest))
async def train(request: Request, services: ServicesDep, submission: SubmissionDep) -> Job | Response:
    """Submits a training job. Once the response has been sent, the job survives any crash."""
    headers = request_body.headers_of(request.scope)
    body = await request_body.read(headers, request.receive, TrainRequest, services.bodies)
    return await submission.respond(lambda: _new_job(body, services))


def _new_job(body: TrainRequest, services: Services) -> NewJob:
    _require_consistent(body)
    datasets = services.datasets
    validation = body.validation.dataset if body.validation else None
    data = training_data.with_validation(_training_data(body.data, datasets), datasets, validation)
    network = body.network.model_dump(exclude_unset=True, exclude_none=True)
    training = body.training.model_dump(exclude={"start", "snapshots"}, exclude_unset=True, exclude_none=True)
    given = Given(network, training)
    promote = None
    if body.promote_if is not None:
        promote = promotion.requested(body.promote_if.model_dump(exclude_none=True), body.promote_to)
    elif body.promote_to is not None:
        raise InvalidInput("promote_to", "needs promote_if")
    start = starting_version(body.training.start, services) if body.training.start else None
    new = requested_job(
        *(body.model if body.publish else None, data, body.preset, given),
        origin="http",
        metadata=body.metadata,
        start=start,
        promote=promote,
    )
    snapshots = body.training.snapshots
    if snapshots is not None:
        snapshots = training_data.snapshot_epochs(new.spec, new.data, snapshots)
    return replace(new, spec=replace(new.spec, supersede=body.supersede, snapshots=snapshots))


def _require_consistent(body: TrainRequest) -> None:
    """Checks the fields that depend on `publish`.

    Raises:
        InvalidInput: a field is missing, or does not apply.
    """
    if body.publish:
        if body.model is None:
            raise InvalidInput("model", "is required, unless publish is false")
        if body.training.snapshots is not None:
            raise InvalidInput(
                "training.snapshots", "needs publish=false: for a version, ask with the parameter epoch instead"
            )
        return
    for field in ("model", "promote_if", "promote_to"):
        if getattr(body, field) is not None:
            raise InvalidInput(field, "must be left out: with publish=false there is no version")


def starting_version(named: StartingVersion, services: Services) -> Start:
    """The version at which a training starts. Reads its weights, so call it in a thread.

    Raises:
        InvalidInput: it is named by a number and by an alias.
        ModelNotFound, VersionNotFound, AliasNotFound, VersionBroken: it cannot be used.
        StoreUnavailable: the database is unavailable.
    """
    try:
        version = reference(named.version, named.alias)
    except InvalidInput as error:
        raise InvalidInput(f"training.from.{error.field}", error.reason) from None
    services.registry.refresh()
    return start_of(services.registry.resolve(named.model, version), services.files)


def _training_data(data: GeneratedData | StoredData | GivenData, datasets: StoredDatasets) -> TrainingData:
    match data:
        case GeneratedData():
            return DatasetSpec(**data.model_dump(exclude={"type"}))
        case StoredData(dataset=name):
            return training_data.stored(datasets, name)
        case GivenData():
            return _given(data)


def _given(data: GivenData) -> LabelledPoints:
    xy_ND, names = data.points.sent(field="data.points").labelled(len(data.labels), data.feature_names)
    missing = {label for label in set(data.labels) if isinstance(label, str) and is_missing_label(label)}
    if missing:
        i = next(i for i, label in enumerate(data.labels) if label in missing)
        raise InvalidInput(
            f"data.labels.{i}",
            "is missing (NA, null and the like count as no label): write another label, leave the point out, or store "
            "the points with POST /datasets/NAME?missing=drop",
        )
    return labelled(xy_ND, data.labels, names)


@router.get("/jobs", response_model=JobList)
async def list_jobs(
    services: ServicesDep,
    limit: Limit = 20,
    after: AfterJob = None,
    status: Annotated[JobState | None, Query(description="Only jobs with this status.")] = None,
    model: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only jobs of this model.")] = None,
) -> JobList:
    """All jobs, newest first."""

    def page() -> JobList:
        jobs, has_more = services.store.jobs.page(limit=limit, after=after, state=status, model=model)
        for job in jobs:
            services.registry.ensure_known(job.model, job.status.version)
        return JobList.of({job.id: Job.of(job) for job in jobs}, has_more=has_more)

    return await to_thread.run_sync(page)


@router.get(
    "/jobs/{job_id}",
    response_model=Job,
    responses=responses.JOB,
)
async def get_job(
    job_id: JobPath,
    response: Response,
    wait: WaitDep,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """A job."""
    body = Job.of(await wait.for_job(job_id)).model_dump_json()
    tag = etags.entity_tag(body)
    return etags.respond(body, tag, if_none_match, media_type=request_body.JSON, headers=response.headers)


@router.delete("/jobs/{job_id}", status_code=204)
async def delete_job(job_id: JobPath, services: ServicesDep) -> Response:
    """Deletes a job that has ended, with its files. A version that it published stays, with its points."""
    await to_thread.run_sync(_delete, services, job_id, limiter=services.write_threads)
    return Response(status_code=204)


def _delete(services: Services, job_id: str) -> None:
    services.spaces.of(job_id).queue.delete(job_id)


@router.post("/jobs/{job_id}/cancel", response_model=Job, responses=responses.STOP)
async def cancel_job(job_id: JobPath, response: Response, services: ServicesDep, wait: WaitDep) -> Job:
    """Cancels a job. A running training stops within a tenth of a second, and its last checkpoint stays available."""
    await to_thread.run_sync(services.spaces.of(job_id).store.jobs.cancel, job_id, limiter=services.write_threads)
    return await _stopped(job_id, response, services, wait)


@router.post("/jobs/{job_id}/pause", response_model=Job, responses=responses.STOP)
async def pause_job(job_id: JobPath, response: Response, services: ServicesDep, wait: WaitDep) -> Job:
    """Pauses a job until it is resumed. Other jobs run meanwhile."""
    await to_thread.run_sync(services.spaces.of(job_id).store.jobs.pause, job_id, limiter=services.write_threads)
    return await _stopped(job_id, response, services, wait)


async def _stopped(job_id: str, response: Response, services: Services, wait: Wait) -> Job:
    """The job after a request to stop it, with status 202 while its worker has not stopped yet."""
    services.wakeup.notify()  # a job without a worker has stopped already
    job = await wait.for_job(job_id, until=lambda job: not job.state.stopping)
    response.status_code = 202 if job.state.stopping else 200
    return Job.of(job)


@router.post("/jobs/{job_id}/resume", response_model=Job, responses=responses.RESUMED)
async def resume_job(request: Request, job_id: JobPath, services: ServicesDep, wait: WaitDep) -> Job:
    """Puts a paused job back in the queue. It continues from where it stopped."""
    caller: Caller | None = request.scope.get("caller")
    resume = partial(services.spaces.of(job_id).queue.resume, job_id, max_own=caller.queued if caller else None)
    await to_thread.run_sync(resume, limiter=services.write_threads)
    return Job.of(await wait.for_job(job_id))


@router.post("/jobs/{job_id}/retry", **_SUBMISSION)
async def retry_job(job_id: JobPath, services: ServicesDep, submission: SubmissionDep) -> Job | Response:
    """Submits a failed or cancelled job again, as a new job that starts from the beginning."""
    return await submission.respond(lambda: services.spaces.of(job_id).queue.prepare_retry(job_id))


@router.get("/jobs/{job_id}/checkpoint", response_class=CheckpointFile, responses=CHECKPOINT)
async def get_job_checkpoint(
    job_id: JobPath,
    services: ServicesDep,
    format_name: Annotated[
        FormatName | None,
        Query(alias="format", description="By default `pth`. Others once a training has ended that is not published."),
    ] = None,
) -> Response:
    """The latest checkpoint of a job that has not published a version: by default a `state_dict` as `.pth`."""
    form = content_negotiation.chosen(OFFERED, None, format_name)
    for _ in range(2):  # a running job may just have replaced the file
        job = await to_thread.run_sync(services.spaces.job, job_id)
        if job.status.checkpoint is None:
            raise NoCheckpoint(_why_there_is_none(job))
        if job.state == JobState.SUCCEEDED:
            return await _kept(job, form, services)
        if form is not OFFERED[0]:
            raise InvalidInput("format", f"must be {OFFERED[0].name}: the other formats need a job that has succeeded")
        with suppress(VersionBroken):
            files, filename = services.spaces.of(job_id).files, f"{job.model or 'job'}-{job.id}.pth"
            return await checkpoint_download(files, job.status.checkpoint, filename=filename)
    raise NoCheckpoint("The checkpoint file of the job cannot be read. Train again.")


async def _kept(job: records.Job, form: Offered, services: Services) -> Response:
    """The network of a job that publishes no version, as a file."""
    network = await to_thread.run_sync(services.kept_networks.of, job)
    content = await encoded(services, network, form.export)
    headers = {"Content-Disposition": attachment(f"job-{job.id}{form.export.suffix}")}
    return Response(content, media_type=form.media_type, headers=headers)


def _why_there_is_none(job: records.Job) -> str:
    if job.status.version is not None:
        return "The job has published a version. Download the checkpoint of the version."
    if job.state.ended:
        return "The job ended before it saved a checkpoint. Train again."
    return "The job has not saved a checkpoint yet. Try again later."
