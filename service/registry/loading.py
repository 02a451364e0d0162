"""Versions in memory: read from their files when they are asked for, and which of them are broken."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.checkpoints import cards
from models.checkpoints.cards import Card, DamagedCheckpoint
from models.exports.exported import Exported
from models.networks.plans import AnyPlan
from service.records import PublishedVersion
from service.registry.recently_used import RecentlyUsed
from service.store.files import Files
from service.store.versions import Versions

logger = logging.getLogger(__name__)

LOADED_BYTES = 256 * 2**20
"""Memory for loaded versions where no setting says otherwise."""

CARD_BYTES = 10_000
"""Approximate size of a loaded version without its weights and restarts."""

RESTART_BYTES = 1_000
"""Approximate size of one restart in a card."""

HISTORY_ROW_BYTES = 160
"""Approximate size of an epoch of a history in a card: five numbers."""

CHECK_S = 0.01
"""How long one call of `VersionLoader.check` reads files, so that it delays no request for longer."""

CHECK_SHARE = 0.2
"""The share of a core that checks of many versions may take."""

CHECK_IDLE_S = 5.0
"""How often to look for new versions when all have been read and none is broken."""

CHECK_PAUSE_S = 1.0
"""How often to look, at least, while some versions are unread or broken."""


@dataclass(frozen=True, eq=False)
class LoadedVersion:
    """A version that can be served. It is equal only to itself.

    Attributes:
        epoch: the epoch of the training that the plan is of; None for the weights that were published.
    """

    published: PublishedVersion
    card: Card
    plan: AnyPlan
    epoch: int | None = None

    @property
    def name(self) -> str:
        """The name of the network in messages for people."""
        return f"{self.published.model} version {self.published.version}"

    @property
    def key(self) -> str:
        """Identifies the training of the network."""
        return self.published.checkpoint_id

    @property
    def validator(self) -> str:
        """Identifies its content in the entity tags of responses."""
        return self.published.card_digest

    @property
    def job_id(self) -> str | None:
        """The job that trained it, which names the files of its points; None if it was imported."""
        return self.published.job_id

    @property
    def answered_by(self) -> dict[str, Any]:
        """The model, the version and, with time travel, the epoch, as response bodies name them."""
        about = {"model": self.published.model, "version": self.published.version}
        return about if self.epoch is None else about | {"epoch": self.epoch}

    @property
    def exported(self) -> Exported:
        """The version as `models.exports` takes it."""
        return Exported(self.published.model, self.published.version, self.card, self.plan)

    @property
    def size_bytes(self) -> int:
        """The approximate size of the network in memory."""
        rows = sum(len(network["epoch"]) for network in self.card.history)
        card_bytes = CARD_BYTES + RESTART_BYTES * len(self.card.restarts) + HISTORY_ROW_BYTES * rows
        return card_bytes + 4 * self.plan.size


@dataclass(frozen=True)
class BrokenVersion:
    """A version that cannot be served, because its checkpoint is damaged or unreadable.

    Attributes:
        reason: contains no path.
        is_damaged: whether to read it again is useless. Otherwise it could not be read at that time.
    """

    published: PublishedVersion
    reason: str
    is_damaged: bool = True


Version = LoadedVersion | BrokenVersion


class VersionLoader:
    """Reads versions from their files, keeps those in memory that were asked for last, and remembers broken ones."""

    def __init__(
        self,
        versions: Versions,
        files: Files,
        *,
        loaded_bytes: int,
        still_exists: Callable[[PublishedVersion], bool],
    ) -> None:
        """Starts without any version.

        Args:
            versions: of the store, which gets the summaries of old versions.
            files: of the same service.
            loaded_bytes: bounds the memory for loaded versions.
            still_exists: whether a version has a row. Asked if its files cannot be read.
        """
        self._versions = versions
        self._files = files
        self._still_exists = still_exists
        self._loaded: RecentlyUsed[LoadedVersion] = RecentlyUsed(loaded_bytes)
        self._broken: dict[int, BrokenVersion] = {}  # by seq, as are the next three
        self._summaries: dict[int, dict[str, Any]] = {}  # of rows without one
        self._unsaved: dict[int, dict[str, Any]] = {}  # those of them that are not in the database yet
        self._unchecked: dict[int, PublishedVersion] = {}
        self._loading = threading.Lock()

    def in_memory(self, published: PublishedVersion) -> LoadedVersion | None:
        """The version if it is in memory. Takes no lock."""
        return self._loaded.get(published.seq)

    def load(self, published: PublishedVersion, *, keep: bool = True) -> Version | None:
        """The version, read from its files if necessary; None if it has been deleted.

        It stays loaded if `keep` is set, or if there is room beside the others.
        """
        seq = published.seq
        with self._loading:
            self._unchecked.pop(seq, None)
            known = self._broken.get(seq)
            loaded = self._loaded.get(seq) or (known if known and known.is_damaged else None)
            if loaded is not None:
                return loaded
            version = self._read(published)
            if isinstance(version, LoadedVersion):
                self._broken.pop(seq, None)
                if keep or self._loaded.has_room(version.size_bytes):
                    self._loaded.put(seq, version, size_bytes=version.size_bytes)
                return version
        if not self._still_exists(published):
            return None
        self._broken[seq] = version
        if known is None:
            _log_broken(version, self._files.checkpoint_folder(published.checkpoint_id))
        return version

    def summary(self, published: PublishedVersion) -> dict[str, Any] | None:
        """What lists show of a version, see `Card.summary`; None if it is broken.

        Reads the files of a version that an old release published, once.
        """
        seq = published.seq
        if published.summary is None and seq not in self._summaries and seq not in self._broken:
            self.load(published)
        return None if seq in self._broken else published.summary or self._summaries.get(seq)

    def broken(self, published: PublishedVersion) -> BrokenVersion | None:
        """Why a version is broken, as far as is known: its files may not have been read yet."""
        return self._broken.get(published.seq)

    @property
    def loaded_bytes(self) -> int:
        """The memory of the versions that are kept loaded."""
        return self._loaded.total_bytes

    @property
    def broken_count(self) -> int:
        """Number of versions that are known to be broken."""
        return len(self._broken)

    def add(self, versions: Iterable[PublishedVersion]) -> None:
        """Takes note of versions that exist now, for `check`, in this order."""
        self._unchecked.update({version.seq: version for version in versions})

    def forget(self, seq: int) -> None:
        """Takes note that a version does not exist any more."""
        self._loaded.remove(seq)
        self._broken.pop(seq, None)
        self._summaries.pop(seq, None)
        self._unsaved.pop(seq, None)
        self._unchecked.pop(seq, None)

    def check(self, *, for_s: float = CHECK_S) -> float:
        """Reads the files of versions that nobody has read yet, to find the broken ones. Those with aliases come first.

        Keeps the versions for which there is room. Reads those again that could not be read before.

        Args:
            for_s: after how many seconds to stop.

        Returns:
            After how many seconds to call it again.

        Raises:
            StoreUnavailable: the database is unavailable.
        """
        started = time.monotonic()
        for broken in [*self._broken.values()]:
            if not broken.is_damaged:
                self.load(broken.published)
        while (published := self._next_unchecked()) is not None:
            if time.monotonic() - started > for_s:
                break
            self.load(published, keep=False)
        if self._unsaved:
            saved, self._unsaved = self._unsaved, {}
            self._versions.add_summaries(saved)
        if not self._unchecked:
            return CHECK_PAUSE_S if self._broken else CHECK_IDLE_S
        return min((time.monotonic() - started) / CHECK_SHARE, CHECK_PAUSE_S)

    def _next_unchecked(self) -> PublishedVersion | None:
        with suppress(RuntimeError):  # another thread has just changed the dict
            return next(iter(self._unchecked.values()), None)
        return None

    def _read(self, published: PublishedVersion) -> Version:
        folder = self._files.checkpoint_folder(published.checkpoint_id)
        try:
            card, plan = cards.read(folder, card_digest=published.card_digest)
        except DamagedCheckpoint as error:
            return BrokenVersion(published, str(error))
        except OSError as error:  # no damage: too many open files, for example
            return BrokenVersion(published, f"cannot be read yet ({error.strerror})", is_damaged=False)
        if published.summary is None:
            self._summaries[published.seq] = self._unsaved[published.seq] = card.summary
        return LoadedVersion(published, card, plan)


def _log_broken(broken: BrokenVersion, folder: Path) -> None:
    name = f"version {broken.published.version} of {broken.published.model}"
    if broken.is_damaged:
        advice = "restore the file and restart the service"
        logger.error("%s is broken and will not be served: %s in %s; %s", name, broken.reason, folder, advice)
    else:
        logger.error("%s cannot be read; retrying: %s in %s", name, broken.reason, folder)
