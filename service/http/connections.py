"""Connections of clients: the deadlines and limits that an application cannot enforce, since it sees whole heads only.

uvicorn closes a connection that is idle after a response. Whatever else a client may delay has its deadline here: the
head of a request, its body, and the reading of the response.

The parser is httptools: h11, the other one of uvicorn, lets Content-Length beside Transfer-Encoding through.
"""

import asyncio
import fcntl
import math
import socket
import struct
import sys
import termios
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.errors import BodyTooSlow, HeadTooLarge, HeadTooSlow, TooManyConnections
from service.http import problems
from service.settings import Settings

LONGEST_LOOK_S = 1.0
"""Maximum seconds between two looks at all connections. So no request needs a timer, but a deadline is met this much
later."""

MAX_HEAD_BYTES = 64 * 1024
"""Maximum length of the request line and headers together. Web servers commonly allow 8 to 64 KB."""

TOO_LARGE = (
    f"The request line and the headers may have {MAX_HEAD_BYTES:,} bytes together. "
    "Send fewer or shorter headers and parameters."
)

MIN_BODY_BYTES_PER_S = 1_000
"""A body may take `body_timeout_s`, and a second more for each `MIN_BODY_BYTES_PER_S` bytes. A slow mobile connection
sends 10,000."""


RESET = struct.pack("ii", 1, 0)
"""The value of SO_LINGER by which the kernel forgets what it has not sent yet."""


class Awaited(Enum):
    """What a connection waits for."""

    REQUEST = auto()  # after a response; uvicorn's own deadline
    HEAD = auto()
    BODY = auto()
    SERVICE = auto()


@dataclass(frozen=True)
class Limits:
    """What clients may take. The settings of the same names describe them.

    Attributes:
        head_timeout_s, body_timeout_s, write_timeout_s: in seconds.
        max_connections: at a time, for each process.
        max_unread_bytes: of all responses of a process that wait for their clients to read them.
    """

    head_timeout_s: float
    body_timeout_s: float
    write_timeout_s: float
    max_connections: int
    max_unread_bytes: int

    @property
    def look_s(self) -> float:
        """Seconds between two checks of all connections."""
        return min(LONGEST_LOOK_S, min(self.head_timeout_s, self.body_timeout_s, self.write_timeout_s) / 4)


def protocol(settings: Settings) -> Any:
    """The class of connections, as uvicorn's setting `http` takes it."""
    limits = Limits(
        settings.head_timeout_s,
        settings.body_timeout_s,
        settings.write_timeout_s,
        settings.max_connections,
        settings.max_unread_bytes,
    )
    return partial(Connection, supervisor=Supervisor(limits))


class Supervisor:
    """Checks all connections of a process at intervals, as long as there are any."""

    def __init__(self, limits: Limits) -> None:
        """Nothing happens before the first connection."""
        self.limits = limits
        self._is_looking = False

    def supervise(self, connection: "Connection") -> None:
        """Enforces the deadlines of this connection and of all others of its server."""
        if not self._is_looking:
            self._is_looking = True
            connection.loop.call_later(self.limits.look_s, self._look, connection)

    def _look(self, one: "Connection") -> None:
        self._is_looking = False
        connections = [found for found in one.connections if isinstance(found, Connection)]
        for connection in connections:
            connection.enforce_deadlines()
            self.supervise(connection)
        self._free_memory(connections)

    def _free_memory(self, connections: list["Connection"]) -> None:
        """Resets the connections that have read nothing for longest, until the unread bytes are within the limit."""
        unread = [(connection, connection.unread_bytes) for connection in connections]
        total = sum(size for _, size in unread)
        if total <= self.limits.max_unread_bytes:
            return
        for connection, size in sorted(unread, key=lambda one: one[0].unread_since):
            if size:
                connection.reset()
                total -= size
            if total <= self.limits.max_unread_bytes:
                return


class Connection(HttpToolsProtocol):
    """A connection of uvicorn that a client cannot hold by sending or reading slowly.

    What it waits for is derived from uvicorn's state when the supervisor looks at it. Nearly nothing runs for each
    request, so small ones stay fast.
    """

    def __init__(self, *args: Any, supervisor: Supervisor, **options: Any) -> None:
        """`args` and `options` are those of uvicorn's class."""
        super().__init__(*args, **options)
        self._supervisor = supervisor
        self._limits = supervisor.limits
        self._head_bytes = 0  # received so far of an incomplete head
        self._head_end = b""  # its last three bytes
        self._received_bytes = 0
        self._awaited: tuple[Awaited, object] = (Awaited.HEAD, None)
        self._since = self.loop.time()
        self._received_before = 0
        self._unsent_bytes = 0
        self._unsent_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by asyncio."""
        super().connection_made(transport)
        self._supervisor.supervise(self)
        if len(self.connections) > self._limits.max_connections:
            self._refuse(TooManyConnections())

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        before = self.cycle
        is_body = before is not None and before.more_body
        if not is_body and self._head_bytes + len(data) > MAX_HEAD_BYTES and not self._head_ends_in(data):
            self._refuse(HeadTooLarge(TOO_LARGE))  # before it is parsed
            return
        super().data_received(data)
        self._received_bytes += len(data)
        if is_body or self.cycle is not before:
            self._head_bytes, self._head_end = 0, b""
            return
        self._head_bytes += len(data)
        self._head_end = (self._head_end + data[-3:])[-3:]

    def _head_ends_in(self, data: bytes) -> bool:
        """Whether the head ends in these bytes, within `MAX_HEAD_BYTES`."""
        return b"\r\n\r\n" in self._head_end + data[: max(MAX_HEAD_BYTES - self._head_bytes, 0)]

    def on_message_complete(self) -> None:
        """Called by the parser."""
        super().on_message_complete()
        self.cycle.more_body = False  # uvicorn leaves this out if the response came before the end of the body

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Called by uvicorn when the parser fails."""
        self._refuse(HTTPException(400))

    def enforce_deadlines(self) -> None:
        """Ends the connection if its client has exceeded one."""
        now = self.loop.time()
        if self._reads_too_slowly(now):
            self.reset()
            return
        awaited = self._awaits()
        if (awaited, self.cycle) != self._awaited or awaited in (Awaited.SERVICE, Awaited.REQUEST):
            self._awaited = (awaited, self.cycle)
            self._since = now
            self._received_before = self._received_bytes
        elif now - self._since > self._allowed_s(awaited) and not self.transport.is_closing():
            self._end(awaited)

    def _awaits(self) -> Awaited:
        """What the connection waits for at the moment.

        The service does not read the rest of a body before it has processed the beginning, nor a second request before
        it has answered the first.
        """
        if self.flow.read_paused:
            return Awaited.SERVICE
        if self.cycle is not None and self.cycle.more_body:
            return Awaited.BODY
        if self.cycle is not None and not self.cycle.response_complete:
            return Awaited.SERVICE
        return Awaited.HEAD if self.timeout_keep_alive_task is None else Awaited.REQUEST

    def _allowed_s(self, awaited: Awaited) -> float:
        if awaited is Awaited.HEAD:
            return self._limits.head_timeout_s
        return self._limits.body_timeout_s + (self._received_bytes - self._received_before) / MIN_BODY_BYTES_PER_S

    def _end(self, awaited: Awaited) -> None:
        """Closes the connection, after a problem if its client waits for a response."""
        if awaited is Awaited.BODY and not self.cycle.response_complete:
            self._refuse(BodyTooSlow(f"Send at least {MIN_BODY_BYTES_PER_S:,} bytes of the body a second."))
        elif awaited is Awaited.HEAD and self._head_bytes:
            self._refuse(HeadTooSlow())
        else:
            self.transport.close()

    @property
    def unread_bytes(self) -> int:
        """How many bytes of responses wait in this process for the client to read them."""
        return 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()

    @property
    def unread_since(self) -> float:
        """When the client last read something while a response waited for it; infinite if none waits."""
        return math.inf if self._unsent_since is None else self._unsent_since

    def _reads_too_slowly(self, now: float) -> bool:
        """Whether the client has long read nothing of what waits to be sent to it."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes:  # the kernel takes more only now and then: its own buffer shows a slow client's progress
            unsent_bytes += _kernel_buffer_bytes(self._socket())
        if unsent_bytes == 0:
            self._unsent_since = None
        elif self._unsent_since is None or unsent_bytes < self._unsent_bytes:
            self._unsent_since = now
        self._unsent_bytes = unsent_bytes
        return self._unsent_since is not None and now - self._unsent_since > self._limits.write_timeout_s

    def _socket(self) -> socket.socket:
        found: socket.socket = self.transport.get_extra_info("socket")
        return found

    def reset(self) -> None:
        """Drops the connection with everything that waits to be sent. Closing it would wait for the client."""
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def _refuse(self, error: Exception) -> None:
        """Closes the connection, after a problem if no response has begun."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            response = problems.response(error, "")
            head = [f"HTTP/1.1 {response.status_code} {HTTPStatus(response.status_code).phrase}".encode()]
            head += [name + b": " + value for name, value in [*response.raw_headers, (b"connection", b"close")]]
            self.transport.write(b"\r\n".join([*head, b"", bytes(response.body)]))
        if self.cycle is not None:
            self.cycle.disconnected = True  # whatever the application still sends is dropped
            self.cycle.message_event.set()
        self.transport.close()


def _kernel_buffer_bytes(connection: socket.socket) -> int:
    """The bytes that the kernel has not sent, or that are not acknowledged; on Linux only."""
    if sys.platform != "linux":
        return 0
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)
