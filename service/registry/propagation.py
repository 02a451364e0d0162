"""Changes of the registry that a client has asked for: reported when every process has applied them."""

import time

from service.registry.membership import LEASE_S
from service.registry.registry import Registry
from service.store.store import Store

POLL_S = 0.01
"""How often to look whether the other processes have applied a change."""


def wait_until_applied(store: Store, registry: Registry | None, seq: int) -> None:
    """Returns when every running process has applied a registry change, so that no process still answers as before.

    A process that does not announce so is waited for until its lease expires, `LEASE_S` at most.

    Args:
        store: in which the change was made.
        registry: of this process, if it serves.
        seq: of the change.

    Raises:
        StoreUnavailable: the database is unavailable. The change is made all the same.
    """
    if registry is not None:
        registry.refresh()
    until = time.monotonic() + LEASE_S
    while not store.servers.others_have_seen(seq) and time.monotonic() < until:
        time.sleep(POLL_S)
