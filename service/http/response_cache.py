"""Answers to GET that are kept, whatever their format, so that the same question is not worked out twice.

They are found by the question as it stands in the request, before any of it is parsed, and given out by the edge.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from cachetools import LRUCache

from service.registry.registry import LoadedVersion, Registry

OVERHEAD_BYTES = 2_000
"""About what an answer takes beside its question and its body."""


Question = tuple[bytes, bytes]
"""A request's query and its `Accept`, as they came."""


@dataclass(frozen=True)
class CachedResponse:
    """What a version answered.

    Attributes:
        question: to what.
        model, number: for whom was asked, the number None for the latest.
        version: which answered, while it is still the one that would.
        tag: the answer's entity tag.
        short: the headers of an answer that the client has already.
        headers, body: of the whole answer; None if only its tag was needed so far.
    """

    question: Question
    model: str
    number: int | None
    version: LoadedVersion
    tag: str
    short: Sequence[tuple[bytes, bytes]]
    headers: Sequence[tuple[bytes, bytes]] | None = None
    body: bytes = b""


class ResponseCache:
    """The last of them, of no more than `max_bytes` together. For the event loop alone."""

    def __init__(self, registry: Registry, max_bytes: int) -> None:
        """Of the versions in `registry`."""
        self._registry = registry
        self._answers: LRUCache[Question, CachedResponse] = LRUCache(max_bytes, getsizeof=_size)

    def keep(self, answer: CachedResponse) -> None:
        """Keeps it, and forgets those that have not been asked for the longest; too long a one is not kept."""
        with suppress(ValueError):  # the cache's word for what is larger than itself
            self._answers[answer.question] = answer

    def find(self, question: Question) -> CachedResponse | None:
        """The answer to that question, if it is kept and its version would still be the one to answer."""
        answer = self._answers.get(question)
        if answer is None or self._registry.loaded(answer.model, answer.number) is not answer.version:
            return None
        return answer


def _size(answer: CachedResponse) -> int:
    return OVERHEAD_BYTES + sum(map(len, answer.question)) + len(answer.body)
