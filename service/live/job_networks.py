"""The networks that answer for jobs: what a job published or kept, or the newest weights of a running one."""

import asyncio
import time
from dataclasses import replace

from anyio import CapacityLimiter, to_thread
from cachetools import LRUCache

from models.specs import InvalidInput
from service.errors import NotReady, WrongState
from service.jobs.spaces import JobSpaces
from service.live.frame_renderer import WATCH_S
from service.live.kept_networks import KeptNetworks
from service.live.trainings import RunningTraining
from service.records import Job, JobState, Snapshot
from service.registry import refresh
from service.registry.networks import JobNetwork, LoadedNetwork
from service.registry.registry import Registry
from service.store.points_file import DamagedData

WAIT_S = 1.0
"""How long to wait for the first weights of a job that nobody has watched lately."""

POLL_S = 0.02
"""How often to look for them. The worker stores them within some 50 ms, or after its present step."""

KEPT_TRAININGS = 64
"""Number of trainings whose cards are kept, so that not every request reads the points of its job."""


class JobNetworks:
    """Finds the network of a job. Only the event loop may use it."""

    def __init__(
        self, spaces: JobSpaces, registry: Registry, kept_networks: KeptNetworks, *, threads: CapacityLimiter
    ) -> None:
        """`threads` limits the threads that read the points of jobs."""
        self._spaces = spaces
        self._registry = registry
        self._kept_networks = kept_networks
        self._threads = threads
        self._trainings: LRUCache[str, RunningTraining] = LRUCache(KEPT_TRAININGS)

    async def find(self, job_id: str) -> LoadedNetwork:
        """The network of a job, with the `epoch` of its weights.

        The weights of a running job are the same as in its frames: at most a moment old, or older if its present step
        takes longer than `WAIT_S`.

        Raises:
            JobNotFound: there is no such job.
            WrongState: the job has no weights: it is queued or paused, or it has ended without a version.
            NotReady: the training has not computed its first weights.
            ModelNotFound, VersionNotFound, VersionBroken: the version of the job was deleted, or cannot be read.
            StoreUnavailable: the database cannot be read.
        """
        deadline = time.monotonic() + WAIT_S
        before: int | None = None  # the serial of a snapshot that may be old
        while True:
            job = await to_thread.run_sync(self._spaces.job, job_id)
            if job.status.version is not None:
                version = await refresh.resolve(self._registry, job.model, job.status.version)
                return replace(version, epoch=version.card.epochs)
            if job.state == JobState.SUCCEEDED:
                return await to_thread.run_sync(self._kept_networks.of, job)
            if not job.state.leased:
                raise _without_weights(job.state)
            events = self._spaces.of(job_id).store.events
            snapshot, is_watched = await to_thread.run_sync(events.watched_snapshot, job_id)
            if before is None:
                before = 0 if is_watched or snapshot is None else snapshot.serial
                await to_thread.run_sync(lambda: self._spaces.watch([job_id], seconds=WATCH_S))
            if snapshot and job.settings and (snapshot.serial > before or time.monotonic() > deadline):
                return await self._network(job, snapshot)
            if time.monotonic() > deadline:
                raise NotReady("The training has not computed its first weights. Try again.")
            await asyncio.sleep(POLL_S)

    async def _network(self, job: Job, snapshot: Snapshot) -> JobNetwork:
        """The network of a snapshot.

        Raises:
            NotReady: the points of the job cannot be read, or a weight is not finite: the job is about to fail.
        """
        try:
            training = self._trainings.get(job.id)
            if training is None:
                training = await to_thread.run_sync(
                    RunningTraining.of, job, self._spaces.of(job.id).files, limiter=self._threads
                )
                self._trainings[job.id] = training
            return training.network(snapshot)
        except (DamagedData, OSError, InvalidInput) as error:
            raise NotReady(
                "The current weights of the training are not usable. GET /jobs/{job_id} shows whether it failed."
            ) from error


def _without_weights(state: JobState) -> WrongState:
    if state in (JobState.QUEUED, JobState.PAUSED):
        return WrongState(state, "The network of a job answers only while it is trained, and once it has succeeded.")
    return WrongState(state, "The job ended without a network. Retry it with POST /jobs/{job_id}/retry.")
