"""Rates of requests by client, counted together by all processes of a service.

Each client has one number: the time when its next request would be due if its requests came evenly at the highest
allowed rate. This is the generic cell rate algorithm, a form of the token bucket. It needs no lock: if two processes
count a request of the same client in the same microsecond, only one of the two requests counts.
"""

import mmap
import time
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

SLOTS = 4_096
"""Number of clients that are counted at a time, in 64 KB. A client that has been quiet for a while needs no slot."""

PROBES = 16
"""Number of slots in which a client can be stored."""

BURST_S = 5.0
"""After a pause, a client may send the requests of this many seconds at once, as a page does when it starts."""

ROUNDING_S = 1e-6
"""Rounding errors of times are smaller than this, so a shorter wait counts as no wait."""

CACHED_TAGS = 1_000
"""Number of clients whose tags are cached."""


class Rates:
    """The rates of all clients. A new client takes, of its possible slots, the one that has been quiet for longest."""

    def __init__(self, file: Path | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """All processes share `file`, which the first one creates; None for a single process.

        `clock` returns the time in seconds. It must be the same for all processes, and must never go back.

        Raises:
            OSError: the file cannot be created.
        """
        self._clock = clock
        size = 16 * SLOTS
        if file is None:
            memory = mmap.mmap(-1, size)
        else:
            with file.open("a+b") as shared:
                shared.truncate(size)
                memory = mmap.mmap(shared.fileno(), size)
        numbers = memoryview(memory)
        self._tags = numbers[: 8 * SLOTS].cast("Q")
        self._until = numbers[8 * SLOTS :].cast("d")

    def take(self, client: str, rate: float) -> float:
        """Counts a request of a client that may send `rate` requests a second.

        Returns:
            0 if the request may be answered, else the seconds after which the client should try again.
        """
        now = self._clock()
        slot = self._slot(_tag(client), now)
        interval = 1 / rate
        due = max(self._until[slot], now)
        wait_s = due - now - max(BURST_S - interval, 0.0)
        if wait_s > ROUNDING_S:
            return wait_s
        self._until[slot] = due + interval
        return 0.0

    def _slot(self, tag: int, now: float) -> int:
        """The slot of a client. A client without a slot gets one."""
        slots = [(tag + number) % SLOTS for number in range(PROBES)]
        for slot in slots:
            if self._tags[slot] == tag:
                return slot
        quietest = min(slots, key=self._until.__getitem__)
        self._tags[quietest] = tag
        self._until[quietest] = now
        return quietest


@lru_cache(CACHED_TAGS)
def _tag(client: str) -> int:
    """A number for a client, the same in all processes."""
    return int.from_bytes(blake2b(client.encode(), digest_size=8).digest(), "little")
