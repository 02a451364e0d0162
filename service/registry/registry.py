"""The published versions, each loaded once and then served from memory."""

import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.checkpoints import cards
from models.checkpoints.cards import Card, DamagedCheckpoint
from models.networks.plans import Plan
from service.errors import ModelNotFound, StoreUnavailable, VersionBroken, VersionNotFound
from service.records import PublishedVersion
from service.store.database import BUSY_S
from service.store.files import Files
from service.store.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LoadedVersion:
    """A version that can be served. It is loaded once, and equal only to itself."""

    published: PublishedVersion
    card: Card
    plan: Plan


@dataclass(frozen=True)
class BrokenVersion:
    """A version that cannot be served, because its checkpoint is damaged or unreadable. `reason` contains no path."""

    published: PublishedVersion
    reason: str


Version = LoadedVersion | BrokenVersion


class Registry:
    """All published versions, by model name and version number.

    Readers take no lock: each refresh replaces the mappings with new ones.

    Attributes:
        loaded_seq: every version up to this `PublishedVersion.seq` is loaded.
        fresh_until: until this time (`time.monotonic`), no client is told of a version that is not loaded here. After
            it, the registry must be refreshed before it can say which version is the latest.
    """

    def __init__(self, store: Store, files: Files) -> None:
        """Starts empty; `refresh` loads the versions."""
        self._store = store
        self._files = files
        self._models: Mapping[str, Mapping[int, Version]] = {}
        self._loaded: Mapping[tuple[str, int | None], LoadedVersion] = {}
        self._unreadable: dict[int, PublishedVersion] = {}  # by seq; each refresh tries them again
        self._refreshing = threading.Lock()
        self.loaded_seq = 0
        self.fresh_until = math.inf

    def refresh(self, *, timeout_s: float = BUSY_S) -> None:
        """Loads the versions that any process has published since the last call. One small query if there are none.

        Raises:
            StoreUnavailable: the database is unavailable, or another thread has been refreshing for `timeout_s`.
        """
        if not self._refreshing.acquire(timeout=timeout_s):
            raise StoreUnavailable("The database does not answer in time. Try again.")
        try:
            new = self._store.versions.after(self.loaded_seq)
            if pending := [*self._unreadable.values(), *new]:
                self._add(pending)
            self.loaded_seq = new[-1].seq if new else self.loaded_seq
        finally:
            self._refreshing.release()

    def _add(self, pending: Sequence[PublishedVersion]) -> None:
        changed: dict[str, dict[int, Version]] = {}
        for published in pending:
            versions = changed.setdefault(published.model, {**self._models.get(published.model, {})})
            versions[published.version] = self._load(published)
        models = {**self._models, **{model: dict(sorted(versions.items())) for model, versions in changed.items()}}
        self._loaded = _loaded(models)
        self._models = models  # last, so that a version that `ensure_loaded` finds here is served

    def _load(self, published: PublishedVersion) -> Version:
        folder = self._files.checkpoint_folder(published.checkpoint_id)
        try:
            card, plan = cards.read(folder, card_digest=published.card_digest)
        except DamagedCheckpoint as error:
            logger.error(
                "version %d of %s is broken and will not be served: %s in %s; restore the file and restart the service",
                published.version,
                published.model,
                error,
                folder,
            )
            self._unreadable.pop(published.seq, None)
            return BrokenVersion(published, str(error))
        except OSError as error:  # no damage: too many open files, for example
            if published.seq not in self._unreadable:
                logger.error("version %d of %s cannot be read; retrying: %s", published.version, published.model, error)
            self._unreadable[published.seq] = published
            return BrokenVersion(published, f"cannot be read yet ({error.strerror})")
        self._unreadable.pop(published.seq, None)
        return LoadedVersion(published, card, plan)

    def models(self) -> Mapping[str, Mapping[int, Version]]:
        """Every version, by model name and version number. A later refresh does not change the result."""
        return self._models

    def versions(self, model: str) -> Mapping[int, Version]:
        """Every version of one model by number, ascending. A later refresh does not change the result.

        Raises:
            ModelNotFound: the model has no version.
        """
        if model not in self._models:
            raise ModelNotFound
        return self._models[model]

    def version(self, model: str, number: int) -> Version:
        """One version, which may be broken.

        Raises:
            ModelNotFound: the model has no version.
            VersionNotFound: the model has no version with this number.
        """
        versions = self.versions(model)
        if number not in versions:
            raise VersionNotFound(f"The newest version of this model is {max(versions)}.")
        return versions[number]

    def loaded(self, model: str, number: int | None) -> LoadedVersion | None:
        """As `resolve`, but None where that raises, and where a refresh is needed to know the latest version."""
        if number is None and not self.is_fresh:
            return None
        return self._loaded.get((model, number))

    def ensure_loaded(self, model: str, number: int | None) -> None:
        """Loads a version that another process has published, before this process reports it. None does nothing.

        Raises:
            StoreUnavailable: a refresh is needed, and the database is unavailable.
        """
        if number is not None and number not in self._models.get(model, {}):
            self.refresh()

    @property
    def is_fresh(self) -> bool:
        """Whether the latest version of each model is known without a refresh."""
        return time.monotonic() < self.fresh_until

    def resolve(self, model: str, number: int | None) -> LoadedVersion:
        """The version with this number, or for None the latest version that is not broken.

        Raises:
            ModelNotFound: the model has no version.
            VersionNotFound: the model has no version with this number.
            VersionBroken: the version is broken, or for None every version of the model.
        """
        if number is not None:
            found = self.version(model, number)
            if isinstance(found, BrokenVersion):
                raise VersionBroken("Request another version. The list of versions shows which ones are served.")
            return found
        self.versions(model)
        latest = self._loaded.get((model, None))
        if latest is not None:
            return latest
        raise VersionBroken("Every version of this model is damaged. Train the model again.")


def _loaded(models: Mapping[str, Mapping[int, Version]]) -> dict[tuple[str, int | None], LoadedVersion]:
    """Every version that is not broken, by model and number; and the latest of them of each model, by None."""
    found: dict[tuple[str, int | None], LoadedVersion] = {}
    for model, versions in models.items():
        for number, version in versions.items():
            if isinstance(version, LoadedVersion):
                found[model, number] = found[model, None] = version
    return found
