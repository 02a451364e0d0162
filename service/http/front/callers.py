"""Clients and the limits of their requests. A client is a key or, in a service without keys, an address."""

import ipaddress
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path

from service.access.keys import Key
from service.access.rates import Rates
from service.errors import TooManyAtOnce, TooManyRequests
from service.settings import Settings

CACHED_ADDRESSES = 1_000
"""Number of addresses whose callers are cached."""

IPV6_NETWORK = 64
"""Leading bits of an IPv6 address that tell clients apart. A client usually has all addresses with the same 64 bits."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The client that sends a request.

    Attributes:
        key: the name of the key; None in a service without keys.
        id: identifies the client, in all its requests.
        rate: maximum number of requests a second; 0 sets no limit.
        concurrency: maximum number of requests at a time, in each process; 0 sets no limit.
        queued: maximum number of jobs of the key that wait for a training process.
    """

    key: str | None
    id: str
    rate: float
    concurrency: int
    queued: int

    @property
    def subject(self) -> str:
        """The name of the client in messages."""
        return "An address" if self.key is None else "This key"


class Callers:
    """Limits the requests of each client. The limits of a key replace the limits of the settings."""

    def __init__(self, settings: Settings, shared_folder: Path | None = None) -> None:
        """All processes share `shared_folder`; None for a single process."""
        self._settings = settings
        self._rates = Rates(shared_folder / "rates" if shared_folder else None)
        self._at_once: Counter[str] = Counter()
        self.of_address = lru_cache(CACHED_ADDRESSES)(self._of_address)

    @property
    def limits_addresses(self) -> bool:
        """Whether addresses have a limit of requests a second."""
        return self._settings.max_requests_per_s > 0

    def of_key(self, key: Key) -> Caller:
        """The caller with a key."""
        rate, concurrency, queued = self._defaults
        return Caller(
            key.name,
            f"key {key.digest}",
            rate if key.rate is None else key.rate,
            concurrency if key.concurrency is None else key.concurrency,
            queued if key.queued is None else key.queued,
        )

    def _of_address(self, address: str) -> Caller:
        """The caller with an address, in a service without keys."""
        try:
            found = ipaddress.ip_address(address)
            if found.version == 6:
                address = str(ipaddress.ip_network((found, IPV6_NETWORK), strict=False))
        except ValueError:
            pass  # a Unix socket, or a name that a proxy has sent
        return Caller(None, f"address {address}", *self._defaults)

    @property
    def _defaults(self) -> tuple[float, int, int]:
        settings = self._settings
        return settings.max_requests_per_s, settings.max_requests_at_once, settings.max_queued_jobs_per_key

    def count(self, caller: Caller) -> None:
        """Counts a request.

        Raises:
            TooManyRequests: the caller sends more a second than it may.
        """
        if caller.rate and (wait_s := self._rates.take(caller.id, caller.rate)):
            raise TooManyRequests(
                f"{caller.subject} may send {caller.rate:g} requests a second. Send fewer, or several points in each.",
                retry_after_s=ceil(wait_s),
            )

    def begin(self, caller: Caller) -> None:
        """Counts a request that is in progress from now on, until `end`.

        Raises:
            TooManyAtOnce: the caller has as many in progress as it may.
        """
        if caller.concurrency and self._at_once[caller.id] >= caller.concurrency:
            raise TooManyAtOnce(
                f"{caller.subject} may have {caller.concurrency:,} requests in progress at a time, event streams "
                "included. Wait for the responses to other requests first."
            )
        self._at_once[caller.id] += 1

    def end(self, caller: Caller) -> None:
        """Ends a request that `begin` has counted."""
        self._at_once[caller.id] -= 1
        if not self._at_once[caller.id]:
            del self._at_once[caller.id]
