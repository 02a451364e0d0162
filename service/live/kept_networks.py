"""The networks of unpublished trainings that have ended, in memory."""

from dataclasses import replace

from models.checkpoints import cards
from models.checkpoints.cards import DamagedCheckpoint
from service.errors import JobNotFound, VersionBroken
from service.jobs.spaces import JobSpaces
from service.records import Job
from service.registry.networks import JobNetwork
from service.registry.recently_used import RecentlyUsed

MEMORY_BYTES = 64 * 2**20
"""Memory for networks that are kept loaded; others are read again."""


class KeptNetworks:
    """Reads what unpublished trainings have kept. Threads may share it."""

    def __init__(self, spaces: JobSpaces) -> None:
        self._spaces = spaces
        self._loaded: RecentlyUsed[JobNetwork] = RecentlyUsed(MEMORY_BYTES)

    def of(self, job: Job) -> JobNetwork:
        """The network of a job that has succeeded and published nothing.

        Raises:
            JobNotFound: the job was removed meanwhile.
            VersionBroken: its checkpoint is damaged.
        """
        assert job.status.checkpoint is not None
        found = self._loaded.get(job.status.checkpoint)
        if found is None:
            found = self._read(job.id, job.status.checkpoint)
            self._loaded.put(job.status.checkpoint, found, size_bytes=found.size_bytes)
        return found

    def _read(self, job_id: str, checkpoint_id: str) -> JobNetwork:
        folder = self._spaces.of(job_id).files.checkpoint_folder(checkpoint_id)
        try:
            card_digest = cards.digest((folder / cards.CARD_FILE).read_bytes())
            card, plan = cards.read(folder, card_digest=card_digest)
        except FileNotFoundError:
            raise JobNotFound.of(job_id) from None
        except (DamagedCheckpoint, OSError) as error:
            raise VersionBroken("The files of the training cannot be read. Train again.") from error
        return JobNetwork(job_id, None, card, plan, card.epochs or 0, checkpoint_id)

    def at_epoch(self, network: JobNetwork, epoch: int) -> JobNetwork | None:
        """The network after an epoch of its training; None if its training has not kept that."""
        if network.checkpoint_id is None:
            return None
        folder = self._spaces.of(network.job_id).files.checkpoint_folder(network.checkpoint_id)
        try:
            plan = cards.read_epoch(folder, network.card, epoch)
        except (DamagedCheckpoint, OSError):
            return None  # then the training is repeated
        return None if plan is None else replace(network, plan=plan, epoch=epoch)
