"""Training jobs: `POST /train` and `/jobs`, and what can be done with a job."""

from contextlib import suppress
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Request, Response

from models import specs
from models.datasets import from_rows
from models.specs import DatasetSpec, NetworkSpec
from service.api.deps import Services, ServicesDep
from service.api.downloads import CheckpointFile, checkpoint_download
from service.api.jobs.requests import GeneratedData, TrainRequest
from service.api.jobs.submission import NewJob, SubmissionDep
from service.api.jobs.views import JobView, ValidationView
from service.api.jobs.waiting import Wait, WaitDep
from service.errors import NoCheckpoint, VersionBroken
from service.http import etags, request_body
from service.http.pagination import Page
from service.http.patterns import JOB_ID_PATTERN
from service.jobs.queue import new_spec
from service.records import NAME_PATTERN, Job, JobState

router = APIRouter(tags=["training"])

JobPath = Annotated[str, Path(pattern=JOB_ID_PATTERN, description="A job's id.")]

_SUBMITTING: dict[str, Any] = {
    "status_code": 202,
    "response_model": JobView,
    "responses": {200: {"model": ValidationView, "description": "What it would be, of `validate_only`."}},
}


@router.post("/jobs", **_SUBMITTING, openapi_extra=request_body.documented(TrainRequest))
@router.post("/train", **_SUBMITTING, openapi_extra=request_body.documented(TrainRequest))
async def train(request: Request, services: ServicesDep, submission: SubmissionDep) -> JobView | Response:
    """Puts a training in the queue. Once this has answered, the job is not lost, whatever goes down."""
    headers = request_body.headers_of(request.scope)
    body = await request_body.read(headers, request.receive, TrainRequest, services.settings)
    return await submission.answer(lambda: _new_job(body))


def _new_job(body: TrainRequest) -> NewJob:
    data = (
        DatasetSpec(**body.data.model_dump())
        if isinstance(body.data, GeneratedData)
        else from_rows(body.data.points, body.data.labels)
    )
    network = NetworkSpec(**body.network.model_dump())
    training = specs.resolve_training(body.network.kind, body.training.model_dump(exclude_none=True))
    return new_spec(body.model, data, network, training, origin="http", metadata=body.metadata), data


@router.get("/jobs", response_model=Page[JobView])
async def list_jobs(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=JOB_ID_PATTERN, description="`last_id` of the page before.")] = None,
    status: Annotated[JobState | None, Query(description="Only jobs in that state.")] = None,
    model: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only jobs of that model.")] = None,
) -> Page[JobView]:
    """The jobs, newest first."""

    def page() -> Page[JobView]:
        jobs, has_more = services.store.jobs.page(limit=limit, after=after, state=status, model=model)
        for job in jobs:
            services.registry.ensure_loaded(job.model, job.status.version)
        return Page.of({job.id: JobView.of(job) for job in jobs}, has_more=has_more)

    return await to_thread.run_sync(page)


@router.get(
    "/jobs/{job_id}",
    response_model=JobView,
    responses={304: {"description": "The client has this answer: its `If-None-Match` names the `ETag`."}},
)
async def show_job(
    job_id: JobPath,
    response: Response,
    wait: WaitDep,
    if_none_match: Annotated[str, Header(description="`ETag`s of answers that the client has.")] = "",
) -> Response:
    """One job."""
    body = JobView.of(await wait.for_job(job_id)).model_dump_json()
    tag = etags.entity_tag(body)
    headers = {**response.headers, "ETag": tag, "Cache-Control": etags.REVALIDATE}
    if etags.is_known(tag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=request_body.JSON)


@router.delete("/jobs/{job_id}", status_code=204)
async def delete_job(job_id: JobPath, services: ServicesDep) -> None:
    """Forgets a job that has ended, and what is kept with it. The version that it published stays, with its points."""
    await to_thread.run_sync(services.job_queue.delete, job_id, limiter=services.write_threads)


_STOPPING: dict[str, Any] = {
    "response_model": JobView,
    "responses": {202: {"model": JobView, "description": "The training has yet to stop."}},
}


@router.post("/jobs/{job_id}/cancel", **_STOPPING)
async def cancel_job(job_id: JobPath, response: Response, services: ServicesDep, wait: WaitDep) -> JobView:
    """Ends a job for good; a training stops within a tenth of a second. Weights that it kept stay with it."""
    await to_thread.run_sync(services.store.jobs.cancel, job_id, limiter=services.write_threads)
    return await _stopped(job_id, response, services, wait)


@router.post("/jobs/{job_id}/pause", **_STOPPING)
async def pause_job(job_id: JobPath, response: Response, services: ServicesDep, wait: WaitDep) -> JobView:
    """Stops a job until it is resumed; others take its turn meanwhile."""
    await to_thread.run_sync(services.store.jobs.pause, job_id, limiter=services.write_threads)
    return await _stopped(job_id, response, services, wait)


async def _stopped(job_id: str, response: Response, services: Services, wait: Wait) -> JobView:
    """What has come by now of a job that was asked to stop: 202 if that is still to come."""
    services.wakeup.notify()  # one that no worker has is there already
    job = await wait.for_job(job_id, until=lambda job: not job.state.stopping)
    response.status_code = 202 if job.state.stopping else 200
    return JobView.of(job)


@router.post("/jobs/{job_id}/resume", response_model=JobView)
async def resume_job(job_id: JobPath, services: ServicesDep, wait: WaitDep) -> JobView:
    """Has a paused job go on from where it stopped, when its turn comes."""
    await to_thread.run_sync(services.job_queue.resume, job_id, limiter=services.write_threads)
    return JobView.of(await wait.for_job(job_id))


@router.post("/jobs/{job_id}/retry", **_SUBMITTING)
async def retry_job(job_id: JobPath, services: ServicesDep, submission: SubmissionDep) -> JobView | Response:
    """Makes a new job that does from the beginning what one that failed or was cancelled was to do."""
    return await submission.answer(lambda: services.job_queue.again(job_id))


@router.get("/jobs/{job_id}/checkpoint", response_class=CheckpointFile)
async def download_kept_checkpoint(job_id: JobPath, services: ServicesDep) -> CheckpointFile:
    """The last weights that are kept with a job, a `state_dict` as `.pth`: how far it is, or how far it came."""
    for _ in range(2):  # a training that goes on may just have put a newer file in its place
        job = await to_thread.run_sync(services.store.jobs.get, job_id)
        if job.status.checkpoint is None:
            raise NoCheckpoint(_why_nothing_is_kept(job))
        with suppress(VersionBroken):
            return await checkpoint_download(services, job.status.checkpoint, filename=f"{job.model}-{job.id}.pth")
    raise NoCheckpoint("Its file cannot be read.")


def _why_nothing_is_kept(job: Job) -> str:
    if job.status.version is not None:
        return "It has published its weights as a version; download that version's checkpoint."
    return "It ended before there was any." if job.state.ended else "There is none yet; ask again when it has run."
