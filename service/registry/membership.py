"""What makes this API process one of several: it learns of what others publish, and lets them know that it has."""

import time

from service.errors import StoreUnavailable
from service.registry.registry import Registry
from service.store.store import Store

LEASE_S = 5.0
"""How long the others wait for this process after its last sign, before they report what it may not have learnt of."""

LOOK_S = 0.05
"""How often it looks for new versions: one small indexed query. The others wait for it before they report one."""

LOOK_ALONE_S = 0.25
"""The same where there are no others."""

RENEW_S = 1.0
"""How often it gives a sign when there is nothing new."""


class Membership:
    """Keeps the registry fresh, and tells the other API processes on the database how far it is.

    A job is reported as succeeded only once every process that is there serves its version. A process that has given no
    sign for `LEASE_S` is waited for no longer; by its own clock it knows so too, and then looks before it answers.
    """

    def __init__(self, server: str, store: Store, registry: Registry) -> None:
        """`server` names this process among the others."""
        self._server = server
        self._store = store
        self._registry = registry
        self._announced: tuple[int, float] = (-1, 0.0)
        self._has_others = True

    def renew(self) -> float:
        """Learns of new versions, and says so if there are any, or if it is time for a sign.

        Returns:
            After how many seconds to do so again.

        Raises:
            StoreUnavailable: the database is away. What is known then has to do: to answer is more than to be sure.
        """
        began = time.monotonic()
        try:
            self._registry.refresh()
            seen = self._registry.seen_seq  # once: other threads may refresh meanwhile
            announced, at = self._announced
            if seen != announced or began - at >= RENEW_S:
                self._has_others = self._store.servers.announce(self._server, seen_seq=seen, lease_s=LEASE_S)
                self._announced = seen, began
                self._registry.fresh_until = began + LEASE_S
        except StoreUnavailable:
            self._registry.fresh_until = time.monotonic() + LEASE_S
            raise
        return LOOK_S if self._has_others else LOOK_ALONE_S

    def end(self) -> None:
        """Says that this process ends."""
        self._store.servers.withdraw(self._server)
