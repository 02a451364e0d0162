import asyncio
import gzip
import tempfile
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from service.errors import BodyTooLarge
from service.http.bodies import body_file

MIB = 2**20


def receive(parts: Iterator[bytes], headers: dict[bytes, bytes], *, max_bytes: int) -> tuple[int, int]:
    """The length of the file, and the most memory that receiving it took."""

    async def next_part() -> dict[str, Any]:
        part = next(parts, None)
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    with tempfile.TemporaryFile() as file:
        tracemalloc.start()
        try:
            asyncio.run(body_file.receive_into(file, headers, next_part, max_bytes=max_bytes, timeout_s=10))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return file.seek(0, 2), peak


@pytest.mark.slow
def test_a_large_body_takes_little_memory() -> None:
    length, peak = receive((bytes(65_536) for _ in range(1_024)), {}, max_bytes=64 * MIB)
    assert length == 64 * MIB
    assert peak < 6 * MIB


@pytest.mark.slow
def test_a_body_that_decompresses_to_much_takes_little_memory() -> None:
    packed = gzip.compress(bytes(64 * MIB), 1)
    headers = {b"content-encoding": b"gzip"}
    length, peak = receive(iter([packed]), headers, max_bytes=64 * MIB)
    assert length == 64 * MIB
    assert peak < 6 * MIB
    with pytest.raises(BodyTooLarge):
        receive(iter([packed]), headers, max_bytes=64 * MIB - 1)


def test_a_body_longer_than_allowed_is_not_received_to_its_end() -> None:
    parts = (bytes(MIB) for _ in range(100))
    with pytest.raises(BodyTooLarge):
        receive(parts, {}, max_bytes=4 * MIB)
    assert len([*parts]) > 90
