"""Rates of requests by client, counted together by all processes of a service.

Each client has one number: the time until which its requests so far would take if they came evenly. This is the
generic cell rate algorithm, a token bucket without tokens. It needs no lock between processes: two of them that count a
request of the same client in the same microsecond count it once.
"""

import mmap
import time
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

SLOTS = 4_096
"""Clients that are counted at a time: 64 KB. One that has been quiet for a while needs no slot."""

PROBES = 16
"""Slots in which a client can be."""

BURST_S = 5.0
"""Seconds of requests that a client may send at once after a pause, as a page or a script does when it starts."""

CACHED_TAGS = 1_000
"""How many clients are kept with their tag."""


class Rates:
    """The rates of all clients. A client without a slot, in a full table, takes that of the quietest one."""

    def __init__(self, file: Path | None = None) -> None:
        """`file` is shared by all processes, and made by the first; None if there is only this process.

        Raises:
            OSError: the file cannot be made.
        """
        size = 16 * SLOTS
        if file is None:
            memory = mmap.mmap(-1, size)
        else:
            with file.open("a+b") as shared:
                shared.truncate(size)
                memory = mmap.mmap(shared.fileno(), size)
        numbers = memoryview(memory)
        self._tags = numbers[: 8 * SLOTS].cast("Q")
        self._until = numbers[8 * SLOTS :].cast("d")  # by the monotonic clock, which all processes share

    def take(self, client: str, rate: float) -> float:
        """Counts a request of a client that may send `rate` requests a second.

        Returns:
            0 if it may be answered, else after how many seconds the client should try again.
        """
        now = time.monotonic()
        slot = self._slot(_tag(client), now)
        interval = 1 / rate
        until = max(self._until[slot], now) + interval
        wait_s = until - now - max(BURST_S, interval)
        if wait_s > 0:
            return wait_s
        self._until[slot] = until
        return 0.0

    def _slot(self, tag: int, now: float) -> int:
        """The slot of a client, which becomes its own if it has none."""
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
