"""Request bodies that are too large for the memory: received into a file."""

import zlib
from typing import IO, TYPE_CHECKING

from anyio import to_thread
from starlette.types import Receive

from service.http.bodies import request_body
from service.http.bodies.request_body import Headers

if TYPE_CHECKING:
    from service.http.bodies.request_body import Decompressor

WRITE_BYTES = 2**20
"""How many bytes are collected before they are written."""


async def receive_into(
    file: IO[bytes], headers: Headers, receive: Receive, *, max_bytes: int, timeout_s: float
) -> None:
    """Writes the body to a file, decompressed if it is gzip or deflate. Holds about `WRITE_BYTES` in memory.

    Raises:
        BodyTooLarge: the body, or what it decompresses to, is longer than `max_bytes`.
        BodyTooSlow, ClientDisconnect: see `request_body.received`.
        UnsupportedMediaType: the body has another encoding.
        InvalidInput: the body is not the stream that its `Content-Encoding` declares.
        OSError: the file cannot be written.
    """
    decompressor = request_body.decompressor_of(headers)
    writer = _Decompressed(file, decompressor, max_bytes) if decompressor else _Plain(file)
    parts: list[bytes] = []
    length = 0
    async for part in request_body.received(headers, receive, max_bytes=max_bytes, timeout_s=timeout_s):
        parts.append(part)
        length += len(part)
        if length >= WRITE_BYTES:
            await to_thread.run_sync(writer.write, b"".join(parts))
            parts, length = [], 0
    await to_thread.run_sync(writer.end, b"".join(parts))


class _Plain:
    """Writes a body as it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, content: bytes) -> None:
        self._file.write(content)

    def end(self, content: bytes) -> None:
        self._file.write(content)
        self._file.seek(0)


class _Decompressed:
    """Writes the content of a compressed stream, up to `max_bytes`."""

    def __init__(self, file: IO[bytes], decompressor: "Decompressor", max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._stream = decompressor
        self._length = 0

    def write(self, content: bytes) -> None:
        while content:
            try:
                found = self._stream.decompress(content, WRITE_BYTES)
            except zlib.error:
                raise request_body.not_as_declared() from None
            self._length += len(found)
            if self._length > self._max_bytes:
                raise request_body.too_large(self._max_bytes)
            self._file.write(found)
            if self._stream.eof:
                break
            content = self._stream.unconsumed_tail

    def end(self, content: bytes) -> None:
        self.write(content)
        self.write(self._stream.unconsumed_tail)
        if not self._stream.eof or self._stream.unused_data:
            raise request_body.incomplete()
        self._file.seek(0)
