"""A connection to PostgreSQL with deadlines. Imported only where PostgreSQL is used."""

import time
from collections.abc import Generator
from math import inf
from typing import Any

import psycopg


class ServerSilent(psycopg.OperationalError):
    """The server has sent nothing for too long while it owed an answer. The connection is closed."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection of psycopg, which itself has no deadline for answers.

    Attributes:
        silence_s: how long the server may send nothing. A long answer that arrives bit by bit is not silence.
    """

    silence_s = inf

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        """Called by psycopg for every exchange with the server. It resumes `gen` several times a second."""
        try:
            return super().wait(self._bounded(gen), *args, **options)
        except ServerSilent:
            self.close()
            raise

    def _bounded(self, exchange: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        since = time.monotonic()
        try:
            wanted = next(exchange)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    since = now
                elif now - since > self.silence_s:
                    raise ServerSilent("the server does not answer")
                wanted = exchange.send(ready)
        except StopIteration as end:
            return end.value
