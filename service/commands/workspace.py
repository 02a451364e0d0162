"""A data folder as the commands use it, without a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.records import Reference
from service.registry.registry import LoadedVersion, Registry
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store


@dataclass(frozen=True)
class Workspace:
    """The parts of a data folder."""

    store: Store
    files: Files
    registry: Registry

    def version(self, model: str, version: Reference, epoch: int | None) -> LoadedVersion:
        """A version, as it was after an epoch of its training if one is given.

        Raises:
            ServiceError: there is no such version, or it is broken.
            InvalidInput: its training had no such epoch, or cannot be repeated.
        """
        found = self.registry.resolve(model, version)
        if epoch is None:
            return found
        from service.time_travel.task import at_epoch  # torch takes seconds to import

        return at_epoch(found, epoch, self.files)


@contextmanager
def open_workspace(settings: Settings, *, make: bool = False) -> Iterator[Workspace]:
    """Opens the data folder and reads which versions exist; `make` creates the folder and its database if missing.

    Raises:
        OSError: the folder is missing, or cannot be created.
        StoreUnavailable: its database is missing, cannot be opened, or is not the one of the folder.
    """
    files = Files(settings.data_dir, make=make)
    store = Store.of(settings, files, make=make)
    try:
        registry = Registry(store, files)
        registry.refresh()
        yield Workspace(store, files, registry)
    finally:
        store.close()
