"""A cache of bounded size that any thread may read without a lock."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from typing import Generic, TypeVar

Value = TypeVar("Value")


class RecentlyUsed(Generic[Value]):
    """The most recently used values by key, up to `max_bytes` in total, and always the last one."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._bytes = 0
        self._changing = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        """The value under this key, if it is still kept."""
        found = self._values.get(key)
        if found is None:
            return None
        with suppress(KeyError):  # another thread has just removed it
            self._values.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: Value, *, size_bytes: int) -> None:
        """Keeps a value, in place of the least recently used ones."""
        with self._changing:
            self._remove(key)
            self._values[key] = value, size_bytes
            self._bytes += size_bytes
            while self._bytes > self._max_bytes and len(self._values) > 1:
                _, (_, freed) = self._values.popitem(last=False)
                self._bytes -= freed

    def has_room(self, size_bytes: int) -> bool:
        """Whether a value of this size can be kept beside all others."""
        return self._bytes + size_bytes <= self._max_bytes

    @property
    def total_bytes(self) -> int:
        """The size of all values that are kept."""
        return self._bytes

    def remove(self, key: Hashable) -> None:
        """Removes a value if it is kept."""
        with self._changing:
            self._remove(key)

    def _remove(self, key: Hashable) -> None:
        _, freed = self._values.pop(key, (None, 0))
        self._bytes -= freed
