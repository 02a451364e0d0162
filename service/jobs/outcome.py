"""How an attempt at a job ends, and the one place that writes it to the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from service.records import FailureCode, Job, PublishedVersion
from service.store.leases import Histories, StatusUpdate
from service.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Published:
    """The training has ended and its checkpoint is on the disk.

    For `networks` see `Leases.record_histories`, for the other attributes `PublishedVersion`.
    """

    card_digest: str
    summary: dict[str, Any]
    promotion: dict[str, Any] | None
    status: StatusUpdate
    networks: Histories = ()


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The training has ended, publishes nothing, and its checkpoint is written."""

    status: StatusUpdate
    networks: Histories = ()


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The job cannot succeed. `code` and `detail` become its problem."""

    code: FailureCode
    detail: str
    status: StatusUpdate = field(default_factory=StatusUpdate)
    networks: Histories = ()


@dataclass(frozen=True, kw_only=True)
class Released:
    """The training was stopped and can resume. `cancel` cancels the job instead of putting it back in the queue."""

    cancel: bool
    status: StatusUpdate
    networks: Histories = ()


@dataclass(frozen=True)
class Lost:
    """Another attempt has taken over the job. There is nothing to write."""


Outcome = Published | Kept | Failed | Released | Lost


def write(outcome: Outcome, job: Job, store: Store) -> Sequence[PublishedVersion]:
    """Writes how this attempt ended. Changes nothing if the attempt has lost the job, so a repeated write is harmless.

    Returns:
        The old versions of the model that were dropped, whose files are to be removed.

    Raises:
        StoreUnavailable: the database is unavailable; the write may have happened.
    """
    match outcome:
        case Published() as ended:
            published = store.leases.publish(
                job,
                card_digest=ended.card_digest,
                summary=ended.summary,
                promotion=ended.promotion,
                networks=ended.networks,
                **ended.status,
            )
            return published.dropped if published else ()
        case Kept(status=status, networks=networks):
            store.leases.keep(job, networks=networks, **status)
        case Failed(code=code, detail=detail, status=status, networks=networks):
            store.leases.fail(job, code=code, detail=detail, networks=networks, **status)
        case Released(cancel=cancel, status=status, networks=networks):
            store.leases.release(job, cancel=cancel, networks=networks, **status)
        case Lost():
            pass
    return ()
