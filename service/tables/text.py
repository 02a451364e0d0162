"""The lines of a file: its encoding, its line endings and its bounds."""

import io
import re
from collections.abc import Iterator
from typing import IO

from models.limits import MAX_LINE_LENGTH, MAX_TABLE_BYTES
from models.specs import InvalidInput

_PREFIX_BYTES = 4_096

_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")

_ADVICE = "save it as UTF-8"

_OTHER_FORMATS = {
    b"PK\x03\x04": "is an Excel workbook or a zip file: save the table as CSV",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook: save the table as CSV",
    b"\x1f\x8b": "is compressed: decompress it first",
    b"PAR1": "is a Parquet file: save the table as CSV",
    b"ARROW1": "is an Arrow file: save the table as CSV",
    b"\x93NUMPY": "is an .npy file: save the array with numpy.savetxt",
    b"%PDF": "is a PDF file: save the table as CSV",
    b"{": "is JSON: save the table as CSV",
    b"[{": "is JSON: save the table as CSV",
    b"@relation": "is an ARFF file: save the table as CSV",
    b"<": "is HTML or XML: save the table as CSV",
}

_COMMENTS_OF_ARFF = re.compile(rb"(?:\s*%[^\n]*\n)*\s*")


def lines(stream: IO[bytes], name: str) -> Iterator[str]:
    r"""The lines of a CSV file, each with its end as `\n`. The encoding is UTF-8, or UTF-16 if the first bytes show it.

    Raises:
        InvalidInput: the bytes are not such text, or a bound is exceeded.
        OSError: the stream cannot be read.
    """
    prefix = stream.read(_PREFIX_BYTES)
    encoding = _encoding(prefix)
    start = _COMMENTS_OF_ARFF.sub(b"", prefix.removeprefix(b"\xef\xbb\xbf"), count=1).lower()
    for magic, advice in _OTHER_FORMATS.items():
        if start.startswith(magic.lower()):
            raise InvalidInput(name, advice)
    errors = "surrogateescape" if encoding == "utf-8-sig" else "strict"  # to find the line of a wrong byte
    text = io.TextIOWrapper(io.BufferedReader(_Bounded(prefix, stream, name)), encoding, errors, newline=None)
    number = 0
    try:
        while line := text.readline(MAX_LINE_LENGTH):
            number += 1
            if "\0" in line:
                raise InvalidInput(f"line {number}", f"contains a zero byte, so {name} is not text")
            if len(line) >= MAX_LINE_LENGTH:
                raise InvalidInput(f"line {number}", f"must have less than {MAX_LINE_LENGTH:,} characters")
            if not line.isascii() and (found := _ESCAPED_BYTE.search(line)):
                byte = ord(found[0]) & 0xFF
                raise InvalidInput(name, f"is not a UTF-8 CSV file: line {number} has the byte 0x{byte:02x}: {_ADVICE}")
            yield line
    except UnicodeError:
        raise InvalidInput(name, f"is not a UTF-16 CSV file: {_ADVICE}") from None


def _encoding(prefix: bytes) -> str:
    """The encoding that a byte order mark or the zero bytes of UTF-16 indicate."""
    if prefix.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    zeros = [prefix[parity:200:2].count(0) for parity in (0, 1)]
    if len(prefix) >= 4 and max(zeros) > len(prefix[:200]) // 3 and min(zeros) == 0:
        return "utf-16-be" if zeros[0] else "utf-16-le"
    return "utf-8-sig"


class _Bounded(io.RawIOBase):
    """A stream, after the bytes that were already read from it, up to `MAX_TABLE_BYTES`."""

    def __init__(self, prefix: bytes, stream: IO[bytes], name: str) -> None:
        self._prefix = prefix
        self._stream = stream
        self._name = name
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]  # of io's buffers
        part = self._prefix[: len(buffer)] or self._stream.read(len(buffer))
        self._prefix = self._prefix[len(part) :]
        self._count += len(part)
        if self._count > MAX_TABLE_BYTES:
            raise InvalidInput(self._name, f"must have at most {MAX_TABLE_BYTES:,} bytes")
        buffer[: len(part)] = part
        return len(part)
