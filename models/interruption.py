"""Interrupts long computations whose result is no longer needed, between two blocks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

BLOCK_WORK = 3 * 10**8
"""Multiplications of a block: about ten milliseconds of one core."""


def _never() -> None:
    pass


_check: ContextVar[Callable[[], None]] = ContextVar("_check", default=_never)


def check() -> None:
    """Raises what the caller's `check` raises; see `checking`. Long computations call this before each block."""
    _check.get()()


@contextmanager
def checking(check: Callable[[], None]) -> Iterator[None]:
    """Within the context, long computations call `check` before each block. It stops them by raising an exception."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def block_of(count: int, work: int) -> int:
    """How many of `count` items make a block, at `work` multiplications each."""
    return max(1, min(count, BLOCK_WORK // max(1, work)))
