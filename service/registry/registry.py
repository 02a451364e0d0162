"""The published versions as this process serves them: each loaded once, then answered for from memory."""

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
    """A version with what is needed to answer for it. Loaded once, it is equal to itself alone."""

    published: PublishedVersion
    card: Card
    plan: Plan


@dataclass(frozen=True)
class BrokenVersion:
    """A version that cannot be served: its checkpoint is damaged, or cannot be read yet. `reason` holds no path."""

    published: PublishedVersion
    reason: str


Version = LoadedVersion | BrokenVersion


class Registry:
    """All published versions, by model name and number.

    Readers take no lock: each refresh puts new mappings in the place of the old.

    Attributes:
        seen_seq: every version up to that one is served.
        fresh_until: the time (`time.monotonic`) until which others take it for granted that this process learns of
            every version before anybody is told; later, it looks before it says which one is the latest.
    """

    def __init__(self, store: Store, files: Files) -> None:
        """Starts empty; `refresh` fills it."""
        self._store = store
        self._files = files
        self._models: Mapping[str, Mapping[int, Version]] = {}
        self._loaded: Mapping[tuple[str, int | None], LoadedVersion] = {}
        self.seen_seq = 0
        self.fresh_until = math.inf
        self._unread: dict[int, PublishedVersion] = {}  # by seq
        self._refreshing = threading.Lock()

    def refresh(self, *, within_s: float = BUSY_S) -> None:
        """Loads the versions published since the last call, by whichever process. One small query if there are none.

        Raises:
            StoreUnavailable: the database is away, or another thread that asks it has had no answer for so long.
        """
        if not self._refreshing.acquire(timeout=within_s):
            raise StoreUnavailable("It does not answer in time.")
        try:
            new = self._store.versions.after(self.seen_seq)
            if unread := [*self._unread.values(), *new]:
                self._take(unread)
            self.seen_seq = new[-1].seq if new else self.seen_seq
        finally:
            self._refreshing.release()

    def _take(self, unread: Sequence[PublishedVersion]) -> None:
        changed: dict[str, dict[int, Version]] = {}
        for published in unread:
            versions = changed.setdefault(published.model, {**self._models.get(published.model, {})})
            versions[published.version] = self._load(published)
        models = {**self._models, **{model: dict(sorted(versions.items())) for model, versions in changed.items()}}
        self._loaded = _loaded(models)
        self._models = models  # last: what `know` finds here is served

    def _load(self, published: PublishedVersion) -> Version:
        folder = self._files.checkpoint_folder(published.checkpoint_id)
        try:
            card, plan = cards.read(folder, card_digest=published.card_digest)
        except DamagedCheckpoint as error:
            logger.error(
                "version %d of %s is broken and will not be served: %s in %s; restore the file and start again",
                published.version,
                published.model,
                error,
                folder,
            )
            self._unread.pop(published.seq, None)
            return BrokenVersion(published, str(error))
        except OSError as error:  # too many open files, say: no damage, and tried again at the next refresh
            if published.seq not in self._unread:
                logger.error("version %d of %s cannot be read yet: %s", published.version, published.model, error)
            self._unread[published.seq] = published
            return BrokenVersion(published, f"cannot be read yet ({error.strerror})")
        self._unread.pop(published.seq, None)
        return LoadedVersion(published, card, plan)

    def models(self) -> Mapping[str, Mapping[int, Version]]:
        """Every version by model and number. Later refreshes do not change what was given."""
        return self._models

    def versions(self, model: str) -> Mapping[int, Version]:
        """Every version of one model, by number, ascending.

        Raises:
            ModelNotFound: no version of that model was ever published.
        """
        if model not in self._models:
            raise ModelNotFound("GET /models, or separatrix models, lists those that there are.")
        return self._models[model]

    def version(self, model: str, number: int) -> Version:
        """One version, broken or not.

        Raises:
            ModelNotFound: no version of that model was ever published.
            VersionNotFound: the model has no version of that number.
        """
        versions = self.versions(model)
        if number not in versions:
            raise VersionNotFound(f"The latest version of this model is {max(versions)}.")
        return versions[number]

    def loaded(self, model: str, number: int | None) -> LoadedVersion | None:
        """What `resolve` finds; None where it raises, or has yet to look for what another process published."""
        if number is None and not self.is_fresh:
            return None
        return self._loaded.get((model, number))

    def know(self, model: str, number: int | None) -> None:
        """Has this process serve a version that it is about to tell of, if it does not yet; nothing if there is none.

        Raises:
            StoreUnavailable: it had to look, and the database is away.
        """
        if number is not None and number not in self._models.get(model, {}):
            self.refresh()

    @property
    def is_fresh(self) -> bool:
        """Whether the latest versions are known, without a look."""
        return time.monotonic() < self.fresh_until

    def resolve(self, model: str, number: int | None) -> LoadedVersion:
        """The version that is to answer: the one of that number, or the latest that is not broken.

        Raises:
            ModelNotFound: no version of that model was ever published.
            VersionNotFound: the model has no version of that number.
            VersionBroken: its checkpoint is damaged, or that of every version of the model.
        """
        if number is not None:
            found = self.version(model, number)
            if isinstance(found, BrokenVersion):
                raise VersionBroken("Ask for another version; the list of models says which are served.")
            return found
        self.versions(model)
        latest = self._loaded.get((model, None))
        if latest is not None:
            return latest
        raise VersionBroken("Every version of this model is damaged.")


def _loaded(models: Mapping[str, Mapping[int, Version]]) -> dict[tuple[str, int | None], LoadedVersion]:
    """Every version that can be served by model and number, and the latest of each model by None."""
    found: dict[tuple[str, int | None], LoadedVersion] = {}
    for model, versions in models.items():
        for number, version in versions.items():
            if isinstance(version, LoadedVersion):
                found[model, number] = found[model, None] = version
    return found
