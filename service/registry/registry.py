"""The published versions: which exist, and which one answers. Their networks are loaded when they are asked for."""

import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from models.checkpoints import cards
from models.checkpoints.cards import Card, DamagedCheckpoint
from models.exports.exported import Exported
from models.networks.plans import AnyPlan, single
from service.errors import ModelNotFound, ServiceError, StoreUnavailable, VersionBroken
from service.records import LATEST, PublishedVersion, Reference, RegistryChange
from service.registry import models
from service.registry.models import PublishedModel
from service.registry.recently_used import RecentlyUsed
from service.store.database import BUSY_S
from service.store.files import Files
from service.store.store import Store

logger = logging.getLogger(__name__)

LOADED_BYTES = 256 * 2**20
"""Memory for loaded versions where no setting says otherwise."""

CARD_BYTES = 20_000
"""Approximate size of a loaded version without its weights and restarts."""

RESTART_BYTES = 1_000
"""Approximate size of one restart in a card."""

CHECK_S = 0.01
"""How long one call of `Registry.check` reads files, so that it delays no request for longer."""

CHECK_SHARE = 0.2
"""The share of a core that checks of many versions may take."""

CHECK_PAUSE_S = 1.0
"""How often to look for versions that nobody has read."""


@dataclass(frozen=True, eq=False)
class LoadedVersion:
    """A version that can be served. It is equal only to itself."""

    published: PublishedVersion
    card: Card
    plan: AnyPlan

    @property
    def exported(self) -> Exported:
        """The version as `models.exports` takes it.

        Raises:
            InvalidInput: the version is an ensemble.
        """
        plan = single(self.plan, field="version", what="this")
        return Exported(self.published.model, self.published.version, self.card, plan)

    @property
    def size_bytes(self) -> int:
        """Its approximate size in memory."""
        return CARD_BYTES + RESTART_BYTES * len(self.card.restarts) + 4 * self.plan.size


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


class Registry:
    """All published versions, by model name and version number.

    The rows of all versions are in memory, and the networks of those that were asked for last. Readers take no lock:
    each refresh replaces the models with new ones.

    Attributes:
        loaded_seq: every `RegistryChange` up to this `seq` is applied.
        fresh_until: until this time (`time.monotonic`), no client is told of a change that is not applied here. After
            it, the registry must be refreshed before it can say what a reference means.
    """

    def __init__(self, store: Store, files: Files, *, loaded_bytes: int = LOADED_BYTES) -> None:
        """Starts empty; `refresh` reads the rows. `loaded_bytes` bounds the memory for loaded versions."""
        self._store = store
        self._files = files
        self._models: Mapping[str, PublishedModel] = {}
        self._newest: dict[str, int] = {}  # the highest number that each model has ever had
        self._loaded: RecentlyUsed[LoadedVersion] = RecentlyUsed(loaded_bytes)
        self._broken: dict[int, BrokenVersion] = {}  # by seq, as are the next three
        self._summaries: dict[int, dict[str, Any]] = {}  # of rows without one
        self._unsaved: dict[int, dict[str, Any]] = {}  # those of them that are not in the database yet
        self._unchecked: dict[int, PublishedVersion] = {}
        self._has_read = False
        self._refreshing = threading.Lock()
        self._loading = threading.Lock()
        self.loaded_seq = 0
        self.fresh_until = math.inf

    def refresh(self, *, timeout_s: float = BUSY_S) -> None:
        """Applies the changes that any process has made since the last call. One small query if there are none.

        Raises:
            StoreUnavailable: the database is unavailable, or another thread has been refreshing for `timeout_s`.
        """
        if not self._refreshing.acquire(timeout=timeout_s):
            raise StoreUnavailable("The database does not answer in time. Try again.")
        try:
            changes = self._store.versions.changes_after(self.loaded_seq) if self._has_read else []
            if not self._has_read or (changes and changes[0].seq > self.loaded_seq + 1):
                self._read_all()
                changes = []
            elif changes:
                self._apply(changes)
        finally:
            self._refreshing.release()
        for change in changes:  # what has just been published is asked for next
            if change.published is not None and change.published.seq == change.seq:
                self._load(change.published)

    def _read_all(self) -> None:
        """Reads every row: at the start, or if changes were forgotten that this process has not seen."""
        seq = self._store.versions.last_seq()  # first: what changes meanwhile is read again
        rows = self._store.versions.all()
        self._newest = {name: one.newest for name, one in rows.items()}
        self._replace(models.from_rows(rows), self._models.keys() | rows.keys())
        self._has_read = True
        self.loaded_seq = seq

    def _apply(self, changes: Sequence[RegistryChange]) -> None:
        changed: dict[str, PublishedModel | None] = {}
        for name, own in groupby(sorted(changes, key=attrgetter("model")), attrgetter("model")):
            of_model = [*own]
            changed[name] = models.with_changes(self._models.get(name), of_model)
            if any(change.version is None and change.alias is None for change in of_model):
                rows = self._store.versions.all(name)
                changed[name] = models.from_rows(rows).get(name)
            newest = max((change.version or 0 for change in of_model), default=0)
            self._newest[name] = max(self._newest.get(name, 0), newest)
        kept = {name: model for name, model in self._models.items() if name not in changed}
        present = {name: model for name, model in changed.items() if model is not None}
        self._replace({**kept, **present}, changed.keys())
        self.loaded_seq = changes[-1].seq

    def _replace(self, after: Mapping[str, PublishedModel], changed: Iterable[str]) -> None:
        """Replaces the models, of which those of these names have changed."""
        before, self._models = self._models, after
        added: dict[int, tuple[bool, PublishedVersion]] = {}
        for name in changed:
            old = {one.seq for one in before[name].versions.values()} if name in before else set()
            new = {one.seq: one for one in after[name].versions.values()} if name in after else {}
            for seq in old - new.keys():
                self._forget(seq)
            named = {*after[name].aliases.values()} if name in after else set()
            added |= {seq: (new[seq].version in named, new[seq]) for seq in new.keys() - old}
        for seq in sorted(added, key=lambda seq: (added[seq][0], seq), reverse=True):
            self._unchecked[seq] = added[seq][1]

    def _forget(self, seq: int) -> None:
        self._loaded.remove(seq)
        self._broken.pop(seq, None)
        self._summaries.pop(seq, None)
        self._unsaved.pop(seq, None)
        self._unchecked.pop(seq, None)

    def models(self) -> Mapping[str, PublishedModel]:
        """Every model that has a version, by name. A later refresh does not change the result."""
        return self._models

    def model(self, name: str) -> PublishedModel:
        """One model. A later refresh does not change the result.

        Raises:
            ModelNotFound: the model has no version.
        """
        if name not in self._models:
            raise ModelNotFound
        return self._models[name]

    def published(self, model: str, reference: Reference = None) -> PublishedVersion:
        """The version that a reference names. `LATEST` passes over versions that are known to be broken.

        Raises:
            ModelNotFound: the model has no version.
            VersionNotFound, AliasNotFound: the model has no such version or alias.
            VersionBroken: for `LATEST`, every version that it may name is known to be broken.
        """
        found = self.model(model)
        version = found.find(reference)
        if version.seq not in self._broken or not _is_latest(reference):
            return version
        for older in found.or_older(version):
            if older.seq not in self._broken:
                return older
        raise VersionBroken("Every version of this model is damaged. Train the model again.")

    def is_current(self, published: PublishedVersion, reference: Reference) -> bool:
        """Whether a reference is known to name this version still."""
        with suppress(ServiceError):
            return self.is_fresh and self.published(published.model, reference).seq == published.seq
        return False

    def loaded(self, model: str, reference: Reference = None) -> LoadedVersion | None:
        """As `resolve`, but None where that raises or reads files, and where a refresh is needed first."""
        found = self._models.get(model)
        if found is None or not self.is_fresh:
            return None
        if not isinstance(reference, int):
            reference = found.aliases.get(LATEST if reference is None else reference)
        published = found.versions.get(reference) if reference is not None else None
        return None if published is None else self._loaded.get(published.seq)

    def resolve(self, model: str, reference: Reference = None) -> LoadedVersion:
        """The version that a reference names: a number, an alias, or for None `LATEST`. Reads its files if necessary.

        Raises:
            ModelNotFound: the model has no version.
            VersionNotFound, AliasNotFound: the model has no such version or alias.
            VersionBroken: the version is broken; for `LATEST`, every version that it may name is.
        """
        while True:  # until one is loaded: each round finds a version to be broken or deleted
            version = self._load(self.published(model, reference))
            if isinstance(version, LoadedVersion):
                return version
            if version is not None and not _is_latest(reference):
                raise VersionBroken("Request another version. The list of versions shows which ones are served.")

    def version(self, model: str, number: int) -> Version:
        """One version, which may be broken. Reads its files if necessary.

        Raises:
            ModelNotFound: the model has no version.
            VersionNotFound: the model has no version with this number.
        """
        while True:
            version = self._load(self.published(model, number))
            if version is not None:
                return version

    def summary(self, published: PublishedVersion) -> dict[str, Any] | None:
        """What lists show of a version, see `Card.summary`; None if it is broken.

        Reads the files of a version that an old release published, once.
        """
        seq = published.seq
        if published.summary is None and seq not in self._summaries and seq not in self._broken:
            self._load(published)
        return None if seq in self._broken else published.summary or self._summaries.get(seq)

    def broken(self, published: PublishedVersion) -> BrokenVersion | None:
        """Why a version is broken, as far as is known: its files may not have been read yet."""
        return self._broken.get(published.seq)

    @property
    def broken_count(self) -> int:
        """Number of versions that are known to be broken."""
        return len(self._broken)

    def ensure_known(self, model: str, number: int | None) -> None:
        """Applies the publication of a version by another process, before this process reports it. None does nothing.

        Raises:
            StoreUnavailable: a refresh is needed, and the database is unavailable.
        """
        if number is not None and number > self._newest.get(model, 0):
            self.refresh()

    @property
    def is_fresh(self) -> bool:
        """Whether the meaning of each reference is known without a refresh."""
        return time.monotonic() < self.fresh_until

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
                self._load(broken.published)
        while (published := self._next_unchecked()) is not None:
            if time.monotonic() - started > for_s:
                break
            self._load(published, keep=False)
        if self._unsaved:
            saved, self._unsaved = self._unsaved, {}
            self._store.versions.add_summaries(saved)
        return (time.monotonic() - started) / CHECK_SHARE if self._unchecked else CHECK_PAUSE_S

    def _load(self, published: PublishedVersion, *, keep: bool = True) -> Version | None:
        """The version, read from its files if necessary; None if it was deleted meanwhile.

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

    def _still_exists(self, published: PublishedVersion) -> bool:
        """Whether a version still has a row, as far as is known: files are removed only after the row."""
        with suppress(StoreUnavailable):
            self.refresh()
        model = self._models.get(published.model)
        return model is not None and published.version in model.versions


def _is_latest(reference: Reference) -> bool:
    return reference is None or reference == LATEST


def _log_broken(broken: BrokenVersion, folder: Path) -> None:
    name = f"version {broken.published.version} of {broken.published.model}"
    if broken.is_damaged:
        advice = "restore the file and restart the service"
        logger.error("%s is broken and will not be served: %s in %s; %s", name, broken.reason, folder, advice)
    else:
        logger.error("%s cannot be read; retrying: %s in %s", name, broken.reason, folder)
