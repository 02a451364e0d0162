"""A model of the job queue in plain Python. Tests compare the store with it."""

from dataclasses import dataclass, field, replace
from typing import Any

from service.errors import JobNotFound, KeyReused, QueueFull, WrongState
from service.records import Job, JobSpec
from service.store.leases import Instructions

LEASED = ("running", "pausing", "cancelling")
ENDED = ("succeeded", "failed", "cancelled")

REQUESTS = {
    "cancel": {
        "queued": "cancelled",
        "paused": "cancelled",
        "running": "cancelling",
        "pausing": "cancelling",
        "cancelling": "cancelling",
        "cancelled": "cancelled",
    },
    "pause": {"queued": "paused", "running": "pausing", "paused": "paused", "pausing": "pausing"},
    "resume": {"paused": "queued", "pausing": "running", "queued": "queued", "running": "running"},
}
"""The state that each request moves a job to, by its state before. Requests that are not here are refused."""

RELEASED = {"running": "queued", "pausing": "paused", "cancelling": "cancelled"}
"""The state that a job moves to when its worker releases it or crashes, by its state before."""

MAX_CRASHES = 3
"""A job fails after so many crashes in a row."""

EventSummary = tuple[object, ...]


@dataclass
class ExpectedJob:
    """A job, and what else its row should hold.

    `number` increases with each job that is added. The test copies `queued_at` and `claimed_at` from the row.
    """

    id: str
    model: str
    number: int
    state: str = "queued"
    attempt: int = 0
    crash_count: int = 0
    worker: str | None = None
    epoch: int = 0
    metrics: dict[str, float | None] | None = None
    ran_s: float = 0.0
    checkpoint: str | None = None
    version: int | None = None
    restarts: list[dict[str, Any]] | None = None
    problem: str | None = None
    lease_expired: bool = False
    watched: bool = False
    queued_at: float = 0.0
    claimed_at: float | None = None
    snapshot: tuple[int, int, bytes] | None = None
    events: list[EventSummary] = field(default_factory=list)

    def emit_status(self) -> None:
        status = (self.state, self.attempt, self.version, self.problem)
        self.events.append(("status", *status))
        if self.state in ENDED:
            self.events.append(("done", *status))

    def move_to(self, state: str) -> None:
        self.state = state
        if state == "paused":
            self.claimed_at = None
        if state not in LEASED:
            self.worker, self.lease_expired = None, False
        if state in ENDED:
            self.snapshot = None
        self.emit_status()


class ExpectedJobs:
    """Expected results of the methods of `Jobs` and `Leases`, under the same names."""

    def __init__(self) -> None:
        self.jobs: dict[str, ExpectedJob] = {}
        self.versions: list[tuple[str, int, str]] = []
        self.keys: dict[str, tuple[str, tuple[str | None, ...]]] = {}
        self.slots: dict[str, float] = {}
        self._added = 0

    def add(self, spec: JobSpec, *, max_queued: int, key: str | None = None) -> str:
        payload = (spec.model, spec.recipe, spec.retry_of)
        if key in self.keys:
            earlier, its_payload = self.keys[key]
            if its_payload != payload:
                raise KeyReused("")
            return earlier
        if spec.retry_of is not None and self._find(spec.retry_of).state not in ("failed", "cancelled"):
            raise WrongState(self._find(spec.retry_of).state, "")
        self._require_room(max_queued)
        self._insert(spec)
        if key:
            self.keys[key] = (spec.id, payload)
        return spec.id

    def _require_room(self, max_queued: int) -> None:
        if sum(each.state == "queued" for each in self.jobs.values()) >= max_queued:
            raise QueueFull("")

    def forget_keys(self) -> None:
        self.keys.clear()

    def add_claimed(self, spec: JobSpec, *, worker: str) -> ExpectedJob:
        return self._claimed(self._insert(spec), worker)

    def claim(self, worker: str) -> ExpectedJob | None:
        queued = [job for job in self.jobs.values() if job.state == "queued"]
        if not queued:
            return None
        return self._claimed(min(queued, key=self._order), worker)

    def _order(self, job: ExpectedJob) -> tuple[object, ...]:
        """The sort key of the queue; the least is next."""
        began_at = self.slots.get(job.model, job.queued_at)
        return (job.claimed_at is None, job.claimed_at or 0.0, began_at, job.number)

    def cancel(self, job_id: str) -> None:
        self._request("cancel", job_id)

    def pause(self, job_id: str) -> None:
        self._request("pause", job_id)

    def resume(self, job_id: str, *, max_queued: int) -> None:
        if self._find(job_id).state == "paused":
            self._require_room(max_queued)
        self._request("resume", job_id)

    def _request(self, name: str, job_id: str) -> None:
        job = self._find(job_id)
        if job.state not in REQUESTS[name]:
            raise WrongState(job.state, "")
        if job.state != REQUESTS[name][job.state]:
            job.move_to(REQUESTS[name][job.state])

    def delete(self, job_id: str) -> None:
        job = self._find(job_id)
        if job.state not in ENDED:
            raise WrongState(job.state, "")
        del self.jobs[job_id]
        if not any(other.model == job.model for other in self.jobs.values()):
            self.slots.pop(job.model, None)
        self.keys = {key: value for key, value in self.keys.items() if value[0] != job_id}

    def instructions(self, attempt: Job) -> Instructions:
        job = self._leased(attempt)
        return Instructions(None, False) if job is None else Instructions(job.state, job.watched)  # type: ignore[arg-type]

    def heartbeat(
        self, attempt: Job, *, epoch: int, metrics: dict[str, float | None], ran_s: float, emit: bool = False
    ) -> bool:
        job = self._leased(attempt)
        if job is None:
            return False
        job.epoch, job.metrics, job.ran_s, job.lease_expired = epoch, metrics, ran_s, False
        if emit:
            job.events.append(("metrics", epoch))
        return True

    def record_checkpoint(self, attempt: Job, *, checkpoint: str, epoch: int) -> bool:
        job = self._leased(attempt)
        if job is None:
            return False
        job.checkpoint, job.crash_count = checkpoint, 0
        job.events.append(("checkpoint", epoch))
        return True

    def record_snapshot(self, attempt: Job, *, epoch: int, weights: bytes) -> None:
        job = self._leased(attempt)
        if job is not None:
            job.snapshot = (job.snapshot[0] + 1 if job.snapshot else 1, epoch, weights)

    def publish(self, attempt: Job, *, epoch: int, metrics: dict[str, float | None], **_: Any) -> int | None:
        job = self._leased(attempt)
        if job is None:
            return None
        job.version = 1 + sum(model == job.model for model, _, _ in self.versions)
        self.versions.append((job.model, job.version, job.id))
        job.epoch, job.metrics, job.checkpoint = epoch, metrics, None
        job.move_to("succeeded")
        return job.version

    def fail(self, attempt: Job, *, code: str, checkpoint: str | None = None, **_: Any) -> bool:
        job = self._leased(attempt)
        if job is None:
            return False
        job.problem = code
        job.checkpoint = checkpoint or job.checkpoint
        job.move_to("failed")
        return True

    def release(self, attempt: Job, *, checkpoint: str | None = None) -> bool:
        job = self._leased(attempt)
        if job is None:
            return False
        if checkpoint:
            job.checkpoint, job.crash_count = checkpoint, 0
        job.move_to(RELEASED[job.state])
        return True

    def expire_all_leases(self) -> None:
        for job in self.jobs.values():
            job.lease_expired = job.state in LEASED

    def reclaim_expired(self) -> list[ExpectedJob]:
        return self._reclaim([job for job in self.jobs.values() if job.lease_expired])

    def reclaim_from(self, worker: str) -> list[ExpectedJob]:
        return self._reclaim([job for job in self.jobs.values() if job.worker == worker])

    def _reclaim(self, lost: list[ExpectedJob]) -> list[ExpectedJob]:
        before = [replace(job) for job in lost]
        for job in lost:
            job.crash_count += 1
            if job.state == "cancelling" or job.crash_count < MAX_CRASHES:
                job.move_to(RELEASED[job.state])
            else:
                job.problem = "worker-died"
                job.move_to("failed")
        return before

    def _insert(self, spec: JobSpec) -> ExpectedJob:
        self._added += 1
        new = self.jobs[spec.id] = ExpectedJob(spec.id, spec.model, self._added)
        new.emit_status()
        return new

    def _claimed(self, job: ExpectedJob, worker: str) -> ExpectedJob:
        job.attempt += 1
        job.worker = worker
        if job.checkpoint is None:
            job.epoch, job.metrics = 0, None
        job.move_to("running")
        return job

    def _find(self, job_id: str) -> ExpectedJob:
        if job_id not in self.jobs:
            raise JobNotFound("")
        return self.jobs[job_id]

    def _leased(self, attempt: Job) -> ExpectedJob | None:
        job = self.jobs.get(attempt.id)
        return job if job and job.attempt == attempt.status.attempt and job.state in LEASED else None
