"""A data folder as the commands use it, no server needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.registry.registry import Registry
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store


@dataclass(frozen=True)
class Workspace:
    """The lasting parts of a data folder."""

    store: Store
    files: Files
    registry: Registry


@contextmanager
def open_workspace(settings: Settings, *, make: bool = False) -> Iterator[Workspace]:
    """Opens the data folder with every published version loaded.

    Raises:
        OSError: the directory is missing, unless it is to be made.
        StoreUnavailable: its database cannot be opened.
    """
    files = Files(settings.data_dir, make=make)
    store = Store.of(settings, files)
    try:
        registry = Registry(store, files)
        registry.refresh()
        yield Workspace(store, files, registry)
    finally:
        store.close()
