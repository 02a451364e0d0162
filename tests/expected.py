"""What ought to become of jobs, said once more in plain Python: the store is compared with it."""

from dataclasses import dataclass, field, replace
from typing import Any

from service.errors import JobNotFound, KeyReused, QueueFull, WrongState
from service.records import Job, JobSpec
from service.store.jobs import Wish

HELD = ("running", "pausing", "cancelling")
ENDED = ("succeeded", "failed", "cancelled")

ASKED = {
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
"""Where a job goes that somebody asks something of; what is not here is refused."""

LEFT = {"running": "queued", "pausing": "paused", "cancelling": "cancelled"}
"""Where a job goes that its worker leaves, dead or alive."""

DEADLY = 3
"""So many deaths in a row are one too many."""

Told = tuple[object, ...]


@dataclass
class ExpectedJob:
    """As `Job`, and what else there is to know; `number` ascends with each job that is added. When it was
    added and claimed is for the caller to say, by the database's clock."""

    id: str
    model: str
    number: int
    state: str = "queued"
    attempt: int = 0
    deaths: int = 0
    worker: str | None = None
    epoch: int = 0
    metrics: dict[str, float | None] | None = None
    ran_s: float = 0.0
    checkpoint: str | None = None
    version: int | None = None
    restarts: list[dict[str, Any]] | None = None
    problem: str | None = None
    silent: bool = False
    watched: bool = False
    queued_at: float = 0.0
    claimed_at: float | None = None
    snapshot: tuple[int, int, bytes] | None = None
    events: list[Told] = field(default_factory=list)

    def tell(self) -> None:
        status = (self.state, self.attempt, self.version, self.problem)
        self.events.append(("status", *status))
        if self.state in ENDED:
            self.events.append(("done", *status))

    def go(self, state: str) -> None:
        self.state = state
        if state == "paused":
            self.claimed_at = None
        if state not in HELD:
            self.worker, self.silent = None, False
        if state in ENDED:
            self.snapshot = None
        self.tell()


class ExpectedJobs:
    """Does what `Jobs` ought to do, by the same names; what is not said of its methods here is said there."""

    def __init__(self) -> None:
        self.jobs: dict[str, ExpectedJob] = {}
        self.versions: list[tuple[str, int, str]] = []
        self.keys: dict[str, tuple[str, tuple[str | None, ...]]] = {}
        self.turns: dict[str, float] = {}
        self._added = 0

    def add(self, spec: JobSpec, *, max_queued: int, key: str | None = None) -> str:
        payload = (spec.model, spec.recipe, spec.retry_of)
        if key in self.keys:
            earlier, its_payload = self.keys[key]
            if its_payload != payload:
                raise KeyReused("")
            return earlier
        if spec.retry_of is not None and self._there(spec.retry_of).state not in ("failed", "cancelled"):
            raise WrongState("")
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
        waiting = [job for job in self.jobs.values() if job.state == "queued"]
        if not waiting:
            return None
        return self._claimed(min(waiting, key=self._place), worker)

    def _place(self, job: ExpectedJob) -> tuple[object, ...]:
        """In the line: the least is next."""
        began_at = self.turns.get(job.model, job.queued_at)
        return (job.claimed_at is None, job.claimed_at or 0.0, began_at, job.number)

    def cancel(self, job_id: str) -> None:
        self._ask("cancel", job_id)

    def pause(self, job_id: str) -> None:
        self._ask("pause", job_id)

    def resume(self, job_id: str, *, max_queued: int) -> None:
        if self._there(job_id).state == "paused":
            self._require_room(max_queued)
        self._ask("resume", job_id)

    def _ask(self, name: str, job_id: str) -> None:
        job = self._there(job_id)
        if job.state not in ASKED[name]:
            raise WrongState("")
        if job.state != ASKED[name][job.state]:
            job.go(ASKED[name][job.state])

    def delete(self, job_id: str) -> None:
        if self._there(job_id).state not in ENDED:
            raise WrongState("")
        job = self.jobs.pop(job_id)
        if not any(other.model == job.model for other in self.jobs.values()):
            self.turns.pop(job.model, None)
        self.keys = {key: value for key, value in self.keys.items() if value[0] != job_id}

    def wish(self, attempt: Job) -> Wish:
        job = self._held(attempt)
        return Wish(None, False) if job is None else Wish(job.state, job.watched)  # type: ignore[arg-type]

    def heartbeat(
        self, attempt: Job, *, epoch: int, metrics: dict[str, float | None], ran_s: float, tell: bool = False
    ) -> bool:
        job = self._held(attempt)
        if job is None:
            return False
        job.epoch, job.metrics, job.ran_s, job.silent = epoch, metrics, ran_s, False
        if tell:
            job.events.append(("metrics", epoch))
        return True

    def note_checkpoint(self, attempt: Job, *, checkpoint: str, epoch: int) -> bool:
        job = self._held(attempt)
        if job is None:
            return False
        job.checkpoint, job.deaths = checkpoint, 0
        job.events.append(("checkpoint", epoch))
        return True

    def note_snapshot(self, attempt: Job, *, epoch: int, weights: bytes) -> None:
        job = self._held(attempt)
        if job is not None:
            job.snapshot = (job.snapshot[0] + 1 if job.snapshot else 1, epoch, weights)

    def publish(self, attempt: Job, *, epoch: int, metrics: dict[str, float | None], **_: Any) -> int | None:
        job = self._held(attempt)
        if job is None:
            return None
        job.version = 1 + sum(model == job.model for model, _, _ in self.versions)
        self.versions.append((job.model, job.version, job.id))
        job.epoch, job.metrics, job.checkpoint = epoch, metrics, None
        job.go("succeeded")
        return job.version

    def fail(self, attempt: Job, *, code: str, checkpoint: str | None = None, **_: Any) -> bool:
        job = self._held(attempt)
        if job is None:
            return False
        job.problem = code
        job.checkpoint = checkpoint or job.checkpoint
        job.go("failed")
        return True

    def give_back(self, attempt: Job, *, checkpoint: str | None = None) -> bool:
        job = self._held(attempt)
        if job is None:
            return False
        if checkpoint:
            job.checkpoint, job.deaths = checkpoint, 0
        job.go(LEFT[job.state])
        return True

    def fall_silent(self) -> None:
        for job in self.jobs.values():
            job.silent = job.state in HELD

    def take_back_silent(self) -> list[ExpectedJob]:
        return self._take_back([job for job in self.jobs.values() if job.silent])

    def take_back_from(self, worker: str) -> list[ExpectedJob]:
        return self._take_back([job for job in self.jobs.values() if job.worker == worker])

    def _take_back(self, lost: list[ExpectedJob]) -> list[ExpectedJob]:
        before = [replace(job) for job in lost]
        for job in lost:
            job.deaths += 1
            if job.state == "cancelling" or job.deaths < DEADLY:
                job.go(LEFT[job.state])
            else:
                job.problem = "worker-died"
                job.go("failed")
        return before

    def _insert(self, spec: JobSpec) -> ExpectedJob:
        self._added += 1
        new = self.jobs[spec.id] = ExpectedJob(spec.id, spec.model, self._added)
        new.tell()
        return new

    def _claimed(self, job: ExpectedJob, worker: str) -> ExpectedJob:
        job.attempt += 1
        job.worker = worker
        if job.checkpoint is None:
            job.epoch, job.metrics = 0, None
        job.go("running")
        return job

    def _there(self, job_id: str) -> ExpectedJob:
        if job_id not in self.jobs:
            raise JobNotFound("")
        return self.jobs[job_id]

    def _held(self, attempt: Job) -> ExpectedJob | None:
        job = self.jobs.get(attempt.id)
        return job if job and job.attempt == attempt.status.attempt and job.state in HELD else None
