"""What routes receive: the parts of the running service, and the path parameters that several routes share."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Annotated, cast

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator
from starlette.types import Receive

from service.api.inference_protocol.statistics import Statistics
from service.api.references import Named, NamedJob, known_job_id, matching
from service.datasets.stored import StoredDatasets
from service.errors import DatasetNotFound, JobNotFound, ModelNotFound, VersionNotFound
from service.http.bodies.held_bodies import HeldBodies
from service.http.front import abandonment
from service.http.front.abandonment import Answer
from service.http.metrics import Metrics, SharedMetrics
from service.http.patterns import JOB_ID_PATTERN
from service.http.response_cache import ResponseCache
from service.jobs.queue import JobQueue
from service.jobs.seed_models import SeedModels
from service.jobs.spaces import JobSpaces
from service.live.event_broadcaster import EventBroadcaster
from service.live.frame_renderer import FrameRenderer
from service.live.job_networks import JobNetworks
from service.live.kept_networks import KeptNetworks
from service.live.probe import Probe
from service.live.wakeup import Wakeup
from service.processes.torch_tasks import TorchTasks
from service.records import NAME_PATTERN, Job
from service.registry import refresh
from service.registry.networks import JobNetwork, LoadedNetwork
from service.registry.registry import Registry
from service.settings import Settings
from service.store.disk import DiskUse
from service.store.files import Files
from service.store.jobs import JobCounts
from service.store.store import Store
from service.time_travel.replays import Replays


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts of a running service, built by `service.app`.

    Attributes:
        stopping: set as soon as the service is told to stop.
        replays: networks as they were during their training.
        job_networks: finds what answers for a job.
        spaces: where jobs are: those that are published, and the others.
        kept_networks: the networks of trainings that are not published.
        torch_tasks: runs what needs torch in processes beside this one.
        wakeup: wakes tasks that wait for a job that may have changed.
        broadcaster: sends the events of jobs to those who follow them.
        frame_renderer: renders the decision boundaries of running jobs.
        shared_metrics: those of all processes of the service.
        inference_statistics: what the Open Inference Protocol counts for each version.
        bodies: counts the request bodies in memory.
        disk: how much of the disk the data folder takes.
        response_cache: boundary grids that were requested before.
        heavy_threads: limits the threads for large responses, so that small work always finds a free thread.
        write_threads: limits the threads that write to the database, so that waiting writes do not block reads.
        upload_threads: limits the datasets that are read at a time.
        waiting_requests: limits the requests that wait for a job at a time.
        database_probe: whether any job is queued, which a database that works answers at once.
        counts_probe, disk_probe: how many jobs the database has, and how many bytes are free on the disk.
    """

    settings: Settings
    stopping: Event

    store: Store
    files: Files
    registry: Registry

    datasets: StoredDatasets
    job_queue: JobQueue
    spaces: JobSpaces
    seed_models: SeedModels
    torch_tasks: TorchTasks
    replays: Replays
    job_networks: JobNetworks
    kept_networks: KeptNetworks

    wakeup: Wakeup
    broadcaster: EventBroadcaster
    frame_renderer: FrameRenderer

    bodies: HeldBodies
    disk: DiskUse

    metrics: Metrics
    shared_metrics: SharedMetrics
    inference_statistics: Statistics
    response_cache: ResponseCache

    heavy_threads: CapacityLimiter
    write_threads: CapacityLimiter
    upload_threads: CapacityLimiter
    waiting_requests: CapacityLimiter
    database_probe: Probe[bool]
    counts_probe: Probe[JobCounts]
    disk_probe: Probe[int]

    async def heavy(self, work: Callable[[], Answer], receive: Receive) -> Answer:
        """Computes a large response in one of the `heavy_threads`, unless the client goes away; see `abandonment`.

        Raises:
            ClientDisconnect: the client went away.
        """
        return await abandonment.run_in_thread(work, receive, limiter=self.heavy_threads, metrics=self.metrics)

    async def answering(self, named: Named, epoch: int | None, receive: Receive) -> LoadedNetwork:
        """The network that a request names, or as it was after an epoch of its training.

        Raises:
            ModelNotFound, VersionNotFound, AliasNotFound, VersionBroken, StoreUnavailable: see `refresh.resolve`.
            JobNotFound, WrongState, NotReady: see `JobNetworks.find`.
            InvalidInput, TaskFailed: see `Replays.at`.
            ClientDisconnect: the client went away.
        """
        return await self.at_epoch(await self.newest(named, receive), epoch, receive)

    async def newest(self, named: Named, receive: Receive) -> LoadedNetwork:
        """The network that a request names. Raises as `answering`."""
        if isinstance(named, NamedJob):
            return await abandonment.run(partial(self.job_networks.find, named.job_id), receive, self.metrics)
        return await refresh.resolve(self.registry, named.model, named.reference)

    async def at_epoch(self, network: LoadedNetwork, epoch: int | None, receive: Receive) -> LoadedNetwork:
        """A network, as it was after an epoch of its training if one is given. Raises as `answering`."""
        if epoch is None:
            return network
        if isinstance(network, JobNetwork):
            kept = await to_thread.run_sync(self.kept_networks.at_epoch, network, epoch)
            if kept is not None:
                return kept
        return await abandonment.run(partial(self.replays.at, network, epoch), receive, self.metrics)

    def files_of(self, network: LoadedNetwork) -> Files:
        """The files that a network was trained from."""
        return self.spaces.of(network.job_id).files if isinstance(network, JobNetwork) else self.files

    def job(self, job_id: str) -> Job:
        """Returns a job, after this process knows the version that the job published, if any.

        Raises:
            JobNotFound: there is no job of this id.
            StoreUnavailable: the database cannot be read.
        """
        job = self.spaces.job(job_id)
        self.registry.ensure_known(job.model, job.status.version)
        return job


async def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(_services)]

MAX_VERSION = 2**31 - 1


def _version(text: str) -> int:
    if re.fullmatch("[1-9][0-9]{0,9}", text) is None or int(text) > MAX_VERSION:
        raise VersionNotFound
    return int(text)


ModelPath = Annotated[
    str, AfterValidator(matching(NAME_PATTERN, ModelNotFound)), Path(description="The name of a model.")
]
DatasetPath = Annotated[
    str, AfterValidator(matching(NAME_PATTERN, DatasetNotFound)), Path(description="The name of a dataset.")
]
VersionPath = Annotated[
    int,
    Path(ge=1, le=MAX_VERSION, description="The number of a version, counted from 1."),
    BeforeValidator(_version),
]
JobPath = Annotated[str, AfterValidator(known_job_id), Path(description="The id of a job.")]
AfterJob = Annotated[
    Annotated[str, AfterValidator(matching(JOB_ID_PATTERN, JobNotFound.after))] | None,
    Query(description="`last_id` of the previous page."),
]
