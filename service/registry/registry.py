"""The published versions: which exist, and which one answers. Their networks are loaded when they are asked for."""

import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import Any

from service.errors import ModelNotFound, ServiceError, StoreUnavailable, VersionBroken
from service.records import LATEST, PublishedVersion, Reference, RegistryChange
from service.registry import models
from service.registry.loading import LOADED_BYTES, BrokenVersion, LoadedVersion, Version, VersionLoader
from service.registry.models import PublishedModel
from service.store.database import BUSY_S
from service.store.files import Files
from service.store.store import Store

__all__ = ["BrokenVersion", "LoadedVersion", "Registry", "Version"]


class Registry:
    """All published versions, by model name and version number.

    The rows of all versions are in memory, and the networks of those that were asked for last. Readers take no lock:
    each refresh replaces the models with new ones.

    Attributes:
        loader: has the networks, and knows which versions are broken.
        loaded_seq: every `RegistryChange` up to this `seq` is applied.
        fresh_until: until this time (`time.monotonic`), no client is told of a change that is not applied here. After
            it, the registry must be refreshed before it can say what a reference means.
    """

    def __init__(self, store: Store, files: Files, *, loaded_bytes: int = LOADED_BYTES) -> None:
        """Starts empty; `refresh` reads the rows. `loaded_bytes` bounds the memory for loaded versions."""
        self._store = store
        self.loader = VersionLoader(store.versions, files, loaded_bytes=loaded_bytes, still_exists=self._still_exists)
        self._models: Mapping[str, PublishedModel] = {}
        self._newest: dict[str, int] = {}  # the highest number that each model has ever had
        self._has_read = False
        self._refreshing = threading.Lock()
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
                self.loader.load(change.published)

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
        """Replaces the models. `changed` are the names of the models that differ."""
        before, self._models = self._models, after
        added: dict[int, tuple[bool, PublishedVersion]] = {}
        for name in changed:
            old = {one.seq for one in before[name].versions.values()} if name in before else set()
            new = {one.seq: one for one in after[name].versions.values()} if name in after else {}
            for seq in old - new.keys():
                self.loader.forget(seq)
            named = {*after[name].aliases.values()} if name in after else set()
            added |= {seq: (new[seq].version in named, new[seq]) for seq in new.keys() - old}
        # those with an alias first, then the newest ones
        self.loader.add(added[seq][1] for seq in sorted(added, key=lambda seq: (added[seq][0], seq), reverse=True))

    def models(self) -> Mapping[str, PublishedModel]:
        """Every model that has a version, by name. A later refresh does not change the result."""
        return self._models

    def model(self, name: str) -> PublishedModel:
        """One model. A later refresh does not change the result.

        Raises:
            ModelNotFound: the model has no version.
        """
        if name not in self._models:
            raise ModelNotFound.named(name)
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
        if not _is_latest(reference) or self.broken(version) is None:
            return version
        for older in found.or_older(version):
            if self.broken(older) is None:
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
        return None if published is None else self.loader.in_memory(published)

    def resolve(self, model: str, reference: Reference = None) -> LoadedVersion:
        """The version that a reference names: a number, an alias, or for None `LATEST`. Reads its files if necessary.

        Raises:
            ModelNotFound: the model has no version.
            VersionNotFound, AliasNotFound: the model has no such version or alias.
            VersionBroken: the version is broken; for `LATEST`, every version that it may name is.
        """
        while True:  # until one is loaded: each round finds a version to be broken or deleted
            version = self.loader.load(self.published(model, reference))
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
            version = self.loader.load(self.published(model, number))
            if version is not None:
                return version

    def summary(self, published: PublishedVersion) -> dict[str, Any] | None:
        """What lists show of a version; see `VersionLoader.summary`."""
        return self.loader.summary(published)

    def broken(self, published: PublishedVersion) -> BrokenVersion | None:
        """Why a version is broken, as far as is known; see `VersionLoader.broken`."""
        return self.loader.broken(published)

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

    def _still_exists(self, published: PublishedVersion) -> bool:
        """Whether a version still has a row, as far as is known: files are removed only after the row."""
        with suppress(StoreUnavailable):
            self.refresh()
        model = self._models.get(published.model)
        return model is not None and published.version in model.versions


def _is_latest(reference: Reference) -> bool:
    return reference is None or reference == LATEST
