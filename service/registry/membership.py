"""Membership of this API process in the group of API processes that share a database."""

import time

from service.errors import StoreUnavailable
from service.registry.registry import Registry
from service.store.store import Store

LEASE_S = 5.0
"""How long the other processes wait for this one after its last announcement, before they report a version."""

POLL_S = 0.05
"""How often to look for changes, by one small indexed query. Others wait for it before they report one."""

POLL_ALONE_S = 1.0
"""How often to look for changes when there are no other processes. Commands in the same data folder wait for it."""

ANNOUNCE_S = 2.0
"""How often to announce this process when nothing is new. The announcement may be late by half of the lease."""


class Membership:
    """Keeps the registry fresh, and announces to the other processes which changes this one has applied.

    A job is reported as succeeded only when every process that holds a lease knows its version, and the move of an
    alias or a deletion only when every one has applied it. When its own lease has expired, a process refreshes the
    registry before it answers, because the others may have stopped waiting for it.
    """

    def __init__(self, server: str, store: Store, registry: Registry) -> None:
        """`server` identifies this process among the others."""
        self._server = server
        self._store = store
        self._registry = registry
        self._announced: tuple[int, float] = (-1, 0.0)
        self._has_others = True

    def renew(self) -> float:
        """Applies changes of the registry, and announces them, or renews the lease when `ANNOUNCE_S` have passed.

        Returns:
            After how many seconds to call this again.

        Raises:
            StoreUnavailable: the database is unavailable. For `LEASE_S` the versions are served as they are,
                since an answer that may be out of date is better than none.
        """
        started = time.monotonic()
        try:
            self._registry.refresh()
            loaded_seq = self._registry.loaded_seq  # read once: other threads may refresh too
            announced_seq, announced_at = self._announced
            if loaded_seq != announced_seq or started - announced_at >= ANNOUNCE_S:
                self._has_others = self._store.servers.announce(self._server, seen_seq=loaded_seq, lease_s=LEASE_S)
                self._announced = loaded_seq, started
                self._registry.fresh_until = started + LEASE_S
        except StoreUnavailable:
            self._registry.fresh_until = time.monotonic() + LEASE_S
            raise
        return POLL_S if self._has_others else POLL_ALONE_S

    def leave(self) -> None:
        """Announces that this process ends."""
        self._store.servers.withdraw(self._server)
