"""How an attempt at a job ends, and the one place that writes it to the store."""

from dataclasses import dataclass, field

from service.records import FailureCode, Job
from service.store.leases import StatusUpdate
from service.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Published:
    """The training has ended and its checkpoint is on the disk. `card_digest` is the digest of its card."""

    card_digest: str
    status: StatusUpdate


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The job cannot succeed. `code` and `detail` become its problem."""

    code: FailureCode
    detail: str
    status: StatusUpdate = field(default_factory=StatusUpdate)


@dataclass(frozen=True, kw_only=True)
class Released:
    """The training was stopped and can resume. `cancel` cancels the job instead of putting it back in the queue."""

    cancel: bool
    status: StatusUpdate


@dataclass(frozen=True)
class Lost:
    """Another attempt has taken over the job. There is nothing to write."""


Outcome = Published | Failed | Released | Lost


def write(outcome: Outcome, job: Job, store: Store) -> None:
    """Writes how this attempt ended. Changes nothing if the attempt has lost the job, so a repeated write is harmless.

    Raises:
        StoreUnavailable: the database is unavailable; the write may have happened.
    """
    match outcome:
        case Published(card_digest=card_digest, status=status):
            store.leases.publish(job, card_digest=card_digest, **status)
        case Failed(code=code, detail=detail, status=status):
            store.leases.fail(job, code=code, detail=detail, **status)
        case Released(cancel=cancel, status=status):
            store.leases.release(job, cancel=cancel, **status)
        case Lost():
            pass
