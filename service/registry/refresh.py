"""Lookups in the registry that know of versions which other processes have just published."""

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from anyio import move_on_after, to_thread

from service.errors import AliasNotFound, ModelNotFound, StoreUnavailable, VersionNotFound
from service.records import Reference
from service.registry.registry import LoadedVersion, Registry

Found = TypeVar("Found")

TIMEOUT_S = 1.0
"""How long to wait for the database before the lookup uses the versions that are loaded."""

RETRY_S = 5.0
"""How long loaded versions are served without another refresh after the database did not answer."""


async def resolve_fresh(registry: Registry, lookup: Callable[[], Found]) -> Found:
    """What `lookup` returns from a fresh registry. It must read no files.

    Costs neither SQL nor a thread if the registry is fresh. What is not found is looked up once more after a refresh.

    Raises:
        ModelNotFound, VersionNotFound, AliasNotFound, VersionBroken: see `lookup`.
        StoreUnavailable: it is not found, and the database does not answer.
    """
    if not registry.is_fresh:
        try:
            await _refresh(registry)
        except StoreUnavailable:
            registry.fresh_until = time.monotonic() + RETRY_S  # the next requests need not wait as well
    try:
        return lookup()
    except (ModelNotFound, VersionNotFound, AliasNotFound):
        await _refresh(registry)
        return lookup()


async def resolve(registry: Registry, model: str, reference: Reference = None) -> LoadedVersion:
    """The version that a number or an alias names, for None `LATEST`. A loaded version costs neither SQL nor a thread.

    Raises:
        ModelNotFound, VersionNotFound, AliasNotFound, VersionBroken: see `Registry.resolve`.
        StoreUnavailable: the version is not found, and the database does not answer.
    """
    loaded = registry.loaded(model, reference)
    if loaded is not None:
        return loaded
    await resolve_fresh(registry, lambda: registry.published(model, reference))
    return await to_thread.run_sync(registry.resolve, model, reference)


async def _refresh(registry: Registry) -> None:
    """Loads new versions, within `TIMEOUT_S`, whether another thread holds the refresh or this one runs it."""
    with move_on_after(TIMEOUT_S) as timeout:
        await to_thread.run_sync(partial(registry.refresh, timeout_s=TIMEOUT_S), abandon_on_cancel=True)
    if timeout.cancelled_caught:
        raise StoreUnavailable("The database does not answer in time. Try again.")
